"""Options of the fitting net as the whole model has them: energies, forces, files, the bias."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from _backends import INSTALLED
from _cases import build, crystal, draw, molecule
from _compare import same
from _derivatives import by_differences

import multifit
from multifit import files
from multifit import models as mdl
from multifit.errors import ConfigError, DataError, FileFormatError, UnsupportedError
from multifit.evaluation import bias
from multifit.inference.potential import Potential
from multifit.support import FEATURES
from multifit.tree import Tree, flatten

OPTIONS: dict[str, dict[str, Any]] = {
    "dim_case_embd": {"dim_case_embd": 2},
    "atom_ener": {"atom_ener": (-3.0, None)},
    "layer_name": {"layer_name": ("a", "b", None)},
    "use_aparam_as_mask": {"numb_aparam": 1, "use_aparam_as_mask": True},
    "tot_ener_zero": {"tot_ener_zero": True},
    "float16": {"precision": "float16"},
    "all": {
        **{"dim_case_embd": 2, "numb_aparam": 1, "use_aparam_as_mask": True},
        **{"atom_ener": (-3.0, None), "layer_name": ("a", "b", "c")},
    },
}
EVERY = pytest.mark.parametrize("key", OPTIONS)


def _model(**options: Any) -> tuple[mdl.Model, Tree]:
    """Return a model with these options, and parameters in which nothing is zero."""
    base = build()
    descriptor = replace(base.descriptor, set_davg_zero=True)
    model = replace(base, descriptor=descriptor, fitting=replace(base.fitting, **options))
    params = draw(model)
    params["descriptor"]["davg"][:] = 0.0
    for a, energy in enumerate(model.fitting.atom_ener or ()):
        if energy is not None:
            params["fitting"]["bias_atom_e"][a], params["out_bias"][a] = energy, 0.0
    if model.fitting.dim_case_embd:
        params["fitting"]["case_embd"] = np.eye(model.fitting.dim_case_embd)[1]
    return model, params


def _inputs(model: mdl.Model) -> dict[str, Any]:
    system = crystal()
    found: dict[str, Any] = {"coord": system.coord, "types": system.atype, "cell": system.cell}
    if model.fitting.use_aparam_as_mask:
        found["aparam"] = np.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])[:, None]
    return found


@pytest.mark.parametrize("name", INSTALLED)
def test_every_backend_agrees(name: str) -> None:
    model, params = _model(**OPTIONS["all"])
    inputs = _inputs(model)
    want = Potential(model, params).predict(**inputs, atom_virial=True)
    got = Potential(model, params, name).predict(**inputs, atom_virial=True)
    same(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("key", [key for key in OPTIONS if key != "float16"])
def test_forces_are_derivatives(key: str) -> None:
    model, params = _model(**OPTIONS[key])
    inputs, potential = _inputs(model), Potential(model, params)
    force = potential.predict(**inputs)["force"][0]

    def energy(coord: np.ndarray) -> float:
        return float(potential.predict(**inputs | {"coord": coord})["energy"][0])

    same(force, -by_differences(energy, inputs["coord"], 1e-3), rtol=1e-6, atol=1e-7)


@EVERY
@pytest.mark.parametrize("suffix", [".dp", ".json"])
def test_a_model_survives_its_file(key: str, suffix: str, tmp_path: Path) -> None:
    model, params = _model(**OPTIONS[key])
    path = tmp_path / f"model{suffix}"
    files.write(path, mdl.to_content(model, params))
    again = multifit.load(path)
    assert again.model == replace(
        model, fitting=replace(model.fitting, trainable=again.model.fitting.trainable)
    )
    same(again.params, params, rtol=0.0)
    # What DeePMD-kit's NumPy core refuses though it can compute it is beside the model.
    assert files.read(path)["model"]["fitting"]["layer_name"] is None


def test_shared_layers_are_in_the_file_once(tmp_path: Path) -> None:
    model, params = _model(layer_name=("a", "b", "c"))
    files.write(tmp_path / "model.dp", mdl.to_content(model, params))
    own = [name for name in flatten(params) if not name.startswith("fitting.")]
    with h5py.File(tmp_path / "model.dp") as file:
        # Three layers, one of which has a time step, the bias of the net, and out_std.
        assert len(file) == len(own) + 2 + 3 + 2 + 1 + 1
    content = files.read(tmp_path / "model.dp")
    layer = content["model"]["fitting"]["nets"]["networks"][1]["layers"][2]["@variables"]
    layer["b"] = layer["b"] + 1.0
    files.write(tmp_path / "other.dp", content)
    with pytest.raises(FileFormatError, match=r"other.dp: fitting.nets.1.layers.2.b differs from"):
        multifit.load(tmp_path / "other.dp")


# Energies of isolated atoms.


def test_an_isolated_atom_has_its_energy_and_no_force() -> None:
    model, params = _model(atom_ener=(-3.0, 0.25))
    potential = Potential(model, params)
    far = np.array([[0.0, 0, 0], [50.0, 0, 0], [0, 50.0, 0]])
    out = potential.predict(far, [0, 1, 0])
    same(out["atom_energy"][0], np.array([-3.0, 0.25, -3.0]), rtol=1e-14)
    same(out["force"][0], np.zeros((3, 3)), atol=0.0)


def test_the_bias_of_such_a_type_stays() -> None:
    model, params = _model(atom_ener=(-3.0, None))
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 5, size=(8, 2)).astype(float)
    energy = counts @ np.array([[-7.0], [2.0]])
    bias_data = bias.BiasData(counts, energy, rng.normal(size=(8, 1)), counts.sum(axis=1))
    for mode in ("change", "set"):
        new = bias.fit_bias(model, params, bias_data, mode)  # type: ignore[arg-type]
        out_bias = bias.with_type_bias(model, params, new)
        assert out_bias[0, 0] == 0.0
        assert out_bias[1, 0] != params["out_bias"][1, 0]
    assert new[0] == -3.0
    with pytest.raises(ConfigError, match=r"energy of O cannot become -2 eV: .* fixed it at -3"):
        bias.with_type_bias(model, params, np.array([[-2.0], [1.0]]))


def test_fixed_energies_are_one_list() -> None:
    model, _ = _model(atom_ener=(-3.0, None))
    same(model.fixed_bias, [[-3.0], [np.nan]], rtol=0.0)
    same(replace(model, preset_out_bias=(None, 2.0)).fixed_bias, [[-3.0], [2.0]], rtol=0.0)
    same(replace(model, fitting=build().fitting).fixed_bias, [[np.nan], [np.nan]], rtol=0.0)


# Virtual atoms.


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_an_atom_that_is_not_there_changes_nothing(name: str) -> None:
    model, params = _model(numb_aparam=1, use_aparam_as_mask=True)
    potential = Potential(model, params, name)
    system = crystal()
    frames = np.stack([system.coord, system.coord + 0.01 * np.sin(np.arange(18).reshape(6, 3))])
    real = np.array([[1.0, 0.0, 1.0, 1.0, 2.0, 1.0], [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]])
    out = potential.predict(frames, system.atype, system.cell, aparam=real[:, :, None])
    plain, without = _model()[0], Potential(_model()[0], params)
    assert plain.fitting.numb_aparam == 0
    for f in range(2):
        there = real[f] != 0.0
        want = without.predict(frames[f, there], system.atype[there], system.cell)
        for key in ("atom_energy", "force"):
            same(out[key][f, there], want[key][0], atol=1e-10)
            assert not out[key][f, ~there].any()
        same(out["energy"][f], want["energy"][0])
        same(out["virial"][f], want["virial"][0], atol=1e-10)
    nothing = potential.predict(frames, system.atype, system.cell, aparam=np.zeros((6, 1)))
    assert not any(np.any(value) for value in nothing.values())
    with pytest.raises(DataError, match="the model needs aparam"):
        potential.predict(frames, system.atype, system.cell)


# A total that is zero.


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_the_total_is_zero_and_does_not_move(name: str) -> None:
    base, params = _model(tot_ener_zero=True)
    model = replace(base, atom_exclude_types=(0,))
    system = molecule()
    plain = replace(model, fitting=replace(model.fitting, tot_ener_zero=False))
    want = Potential(plain, params).predict(system.coord, system.atype)["atom_energy"][0]
    hydrogen = system.atype == 1
    want[hydrogen] -= want[hydrogen].mean()
    out = Potential(model, params, name).predict(system.coord, system.atype, atom_virial=True)
    same(out["atom_energy"][0], want)
    same(out["energy"], np.zeros(1), atol=1e-12)
    shapes = {"force": (1, 5, 3), "virial": (1, 3, 3), "atom_virial": (1, 5, 3, 3)}
    for key, shape in shapes.items():
        same(out[key], np.zeros(shape), atol=0.0)
    alone = Potential(model, params, name).predict(system.coord[:1], system.atype[:1])
    same(alone["energy"], np.zeros(1), atol=0.0)


def test_a_total_that_is_zero_says_nothing_about_the_bias() -> None:
    model, params = _model(tot_ener_zero=True)
    bias_data = bias.BiasData(np.ones((3, 2)), np.ones((3, 1)), np.zeros((3, 1)), np.full(3, 2.0))
    with pytest.raises(ConfigError, match="always zero"):
        bias.fit_bias(model, params, bias_data, "change")
    same(bias.shifted_bias(Potential(model, params), []), params["out_bias"], rtol=0.0)


# Half precision.


def test_half_precision_is_refused_where_it_is_not() -> None:
    model, params = _model(precision="bfloat16")
    with pytest.raises(UnsupportedError, match=r"numpy backend .* bfloat16; use jax or tensorflow"):
        Potential(model, params)
    base = build()
    descriptor = replace(base.descriptor, precision="bfloat16")
    with pytest.raises(UnsupportedError, match="bfloat16"):
        Potential(replace(base, descriptor=descriptor), draw(base))


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
@pytest.mark.parametrize(("precision", "eps"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_half_precision_rounds_the_networks_alone(name: str, precision: str, eps: float) -> None:
    if name not in FEATURES[precision].backends:
        pytest.skip(f"{name} has no {precision}")
    base, params = _model()
    model = replace(
        base,
        descriptor=replace(base.descriptor, precision=precision),
        fitting=replace(base.fitting, precision=precision),
    )
    inputs = _inputs(model)
    want = Potential(base, params).predict(**inputs)
    got = Potential(model, params, name).predict(**inputs)
    scale = np.abs(want["atom_energy"]).max()
    same(got["atom_energy"], want["atom_energy"], atol=10 * eps * scale)
    same(got["force"], want["force"], atol=20 * eps * np.abs(want["force"]).max())
    assert np.abs(got["atom_energy"] - want["atom_energy"]).max() > 0.0
    # Newton's third law is not a matter of the networks.
    same(got["force"].sum(axis=1), np.zeros((1, 3)), atol=1e-12)
