"""Potentials: shapes that people give, files, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import build, crystal, draw, evaluate, molecule, parameters
from _compare import same

import multifit
from multifit import files
from multifit import models as mdl
from multifit.descriptors import EMBEDDINGS
from multifit.errors import BackendError, ConfigError, DataError, FileFormatError, UnsupportedError
from multifit.inference.model_file import read_model
from multifit.inference.potential import Potential

SYSTEM = crystal()
MODEL = build(type_one_side=False, numb_fparam=1, numb_aparam=2)
PARAMS = draw(MODEL)
EXTRA = parameters(MODEL, [SYSTEM])


def _plain(**options: Any) -> Potential:
    model = build(**options)
    return Potential(model, draw(model))


def _want(model: mdl.Model, params: Any, system: Any, **extra: Any) -> dict[str, Any]:
    out = evaluate(model, params, [system], **extra)
    return {k: x if k in ("energy", "virial") else x[None] for k, x in out.items()}


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_predictions_are_those_of_the_core(name: str) -> None:
    potential = Potential(MODEL, PARAMS, name)
    got = potential.predict(SYSTEM.coord, SYSTEM.atype, SYSTEM.cell, **EXTRA, atom_virial=True)
    same(got, _want(MODEL, PARAMS, SYSTEM, **EXTRA), rtol=1e-9)
    assert {type(x) for x in got.values()} == {np.ndarray}


def test_what_it_is_can_be_seen() -> None:
    says = "of O H, rcut 3.6 Å, sel [8, 12], neuron [3, 6] and [5, 5]"
    assert repr(_plain()) == f"<Potential {says} on numpy>"


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_pairs_closer_than_any_before_are_exact(activation: str, precision: str) -> None:
    """Whatever range the embedding nets are interpolated in, it grows with the data."""
    model = build(activation=activation, precision=precision)
    params = draw(model)
    potential, rtol = Potential(model, params), 1e-8 if precision == "float64" else 1e-4
    for distance in (1.2, 0.6, 0.25, 0.9):
        near = molecule()
        near.coord[1] = near.coord[0] + [0.0, distance, 0.0]
        got = potential.predict(near.coord, near.atype)
        want = _want(model, params, near)
        same(got, {key: want[key] for key in got}, rtol=rtol)


def test_shapes_that_mean_the_same() -> None:
    potential = Potential(MODEL, PARAMS)
    want = potential.predict(SYSTEM.coord, SYSTEM.atype, SYSTEM.cell, **EXTRA)
    fparam, aparam = EXTRA["fparam"], EXTRA["aparam"]
    for coord in (SYSTEM.coord, SYSTEM.coord[None], SYSTEM.coord.tolist()):
        for cell in (SYSTEM.cell, SYSTEM.cell[None], SYSTEM.cell.reshape(9), SYSTEM.cell.tolist()):
            got = potential.predict(coord, ["O", "H", "H", "O", "H", "H"], cell, fparam[0], aparam)
            same(got, want, rtol=1e-13)
    same(potential.predict(SYSTEM.coord, SYSTEM.atype, SYSTEM.cell, fparam, aparam[0]), want)


def test_many_frames_are_many_times_one() -> None:
    potential = _plain()
    systems = [molecule(k) for k in range(5)]
    coord = np.stack([one.coord for one in systems])
    want = [potential.predict(one.coord, one.atype) for one in systems]
    for at_once in (1, 12, 1000):
        some = Potential(potential.model, draw(potential.model), atoms_at_once=at_once)
        got = some.predict(coord, systems[0].atype)
        for key, x in got.items():
            same(x, np.concatenate([one[key] for one in want]), rtol=1e-11)


def test_a_cell_for_each_frame() -> None:
    potential = _plain()
    cells = np.stack([SYSTEM.cell, 1.1 * SYSTEM.cell])
    coord = np.stack([SYSTEM.coord, 1.1 * SYSTEM.coord])
    got = potential.predict(coord, SYSTEM.atype, cells.reshape(2, 9))
    for k in range(2):
        one = potential.predict(coord[k], SYSTEM.atype, cells[k])
        same(got["virial"][k], one["virial"][0], rtol=1e-11)


def test_a_cell_repeats_where_it_is_told_to() -> None:
    potential, one = _plain(), molecule()
    box = np.diag([5.0, 6.0, 7.0])
    open_ = potential.predict(one.coord, one.atype)
    same(potential.predict(one.coord, one.atype, box, pbc=False), open_, rtol=1e-12)
    along = potential.predict(one.coord, one.atype, box, pbc=(True, False, False))
    wide = potential.predict(one.coord, one.atype, np.diag([5.0, 60.0, 70.0]))
    same(along, wide, rtol=1e-11)
    assert np.abs(along["energy"] - open_["energy"]) > 1e-6


def test_virtual_atoms_have_zeros() -> None:
    one = molecule()
    got = _plain().predict(np.vstack([[[9.0, 9, 9]], one.coord]), [-1, *one.atype])
    want = _plain().predict(one.coord, one.atype)
    same(got["force"][:, 1:], want["force"], rtol=1e-14)
    same(got["force"][:, 0], np.zeros((1, 3)), atol=0.0)
    same(got["energy"], want["energy"], rtol=1e-14)


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_frames_without_real_atoms_have_no_energy(name: str) -> None:
    model = build()
    got = Potential(model, draw(model), name).predict(np.zeros((2, 3)), [-1, -1])
    same(got["energy"], [0.0], atol=0.0)
    same(got["force"], np.zeros((1, 2, 3)), atol=0.0)


def test_a_default_fparam_is_used() -> None:
    model = build(numb_fparam=1)
    with_default = mdl.Model(
        model.type_map,
        model.descriptor,
        type(model.fitting)(**{**vars_of(model.fitting), "default_fparam": (0.3,)}),
    )
    params = draw(model)
    same(
        Potential(with_default, params).predict(SYSTEM.coord, SYSTEM.atype, SYSTEM.cell),
        Potential(model, params).predict(SYSTEM.coord, SYSTEM.atype, SYSTEM.cell, [0.3]),
        rtol=0.0,
    )


def vars_of(settings: Any) -> dict[str, Any]:
    """Return the fields of a frozen dataclass."""
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"types": ["O", "H", "H", "O", "H", "he"]}, "atom 5 is 'he', but the model knows O, H"),
        ({"types": [0, 1, 1, 0, 1, 2]}, r"atom 5 has the type 2, but the model has 2 types \(O, H"),
        ({"types": [0, 1, 1, 0, 1, -2]}, "atom 5 has the type -2"),
        ({"types": [0.0] * 6}, "types must be integers or element symbols"),
        ({"types": [0, 1]}, r"types has the shape \(2,\), but coord has 6 atoms"),
        ({"coord": np.zeros((6, 2))}, r"must have \(natoms, 3\) or \(nframes, natoms, 3\)"),
        ({"coord": np.zeros(18)}, r"coord has the shape \(18,\)"),
        ({"coord": np.zeros((0, 6, 3))}, "there are no frames; give at least 1"),
        ({"coord": np.zeros((0, 3)), "types": []}, "there are no atoms; give at least 1"),
        ({"coord": [["a", "b", "c"]], "types": [0]}, "coord must be numbers in an array"),
        ({"coord": [[0.0, 1.0, 2.0], [0.0, 1.0]], "types": [0, 1]}, "coord must be numbers"),
        ({"types": [[0, 1], [1]]}, "types must be integers or element symbols"),
        ({"cell": "cubic"}, "cell must be numbers in an array"),
        ({"pbc": [True] * 4}, "pbc must be one or three of True and False, not"),
        ({"pbc": "xyz"}, "pbc must be one or three of True and False, not 'xyz'"),
        ({"coord": np.full((6, 3), np.nan)}, "frame 0"),
        ({"cell": np.zeros((2, 2))}, r"cell has the shape \(2, 2\), but must be \(3, 3\)"),
        ({"cell": np.zeros((3, 3))}, "frame 0"),
        ({"fparam": [1.0]}, "fparam was given, but the model has numb_fparam = 0"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"coord": SYSTEM.coord, "types": SYSTEM.atype, "cell": SYSTEM.cell} | change
    with pytest.raises(DataError, match=message):
        _plain().predict(**given)


def test_missing_and_misshapen_parameters_are_refused() -> None:
    potential = Potential(MODEL, PARAMS)
    where = (SYSTEM.coord, SYSTEM.atype, SYSTEM.cell)
    with pytest.raises(DataError, match="the model needs fparam, 1 numbers each; give fparam="):
        potential.predict(*where)
    with pytest.raises(DataError, match=r"aparam has the shape \(4,\), but must have \(1, 6, 2\)"):
        potential.predict(*where, [0.5], np.zeros(4))
    with pytest.raises(DataError, match="fparam must be numbers in an array"):
        potential.predict(*where, ["warm"], np.zeros((6, 2)))
    with pytest.raises(DataError, match="fparam holds nan; give finite numbers"):
        potential.predict(*where, [np.nan], np.zeros((6, 2)))
    with pytest.raises(DataError, match="aparam holds inf; give finite numbers"):
        potential.predict(*where, [0.5], np.full((6, 2), np.inf))


# Files.


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".dp", "numpy"), (".json", "numpy"), (".yaml", "numpy"), *((".dp", x) for x in INSTALLED)],
)
def test_a_file_gives_the_model_back(tmp_path: Path, suffix: str, name: str) -> None:
    path = tmp_path / f"model{suffix}"
    files.write(path, {"model": mdl.serialize(MODEL, PARAMS), "software": "multifit"})
    potential = multifit.load(path, name)
    got = potential.predict(SYSTEM.coord, SYSTEM.atype, SYSTEM.cell, **EXTRA)
    want = _want(MODEL, PARAMS, SYSTEM, **EXTRA)
    same(got, {key: want[key] for key in got}, rtol=1e-9)
    assert potential.type_map == ("O", "H")
    assert potential.rcut == MODEL.descriptor.rcut


def test_a_model_is_read_with_everything_else_in_the_file(tmp_path: Path) -> None:
    files.write(tmp_path / "a.dp", {"model": mdl.serialize(MODEL, PARAMS), "extra": {"x": 3}})
    _, params, content = read_model(tmp_path / "a.dp")
    assert content["extra"] == {"x": 3}
    same(params, PARAMS, rtol=0.0)


def test_files_that_hold_no_model_are_refused(tmp_path: Path) -> None:
    node = mdl.serialize(MODEL, PARAMS)
    broken = {key: x for key, x in node["descriptor"].items() if key != "rcut"}
    for name, content, error, message in (
        ("no", {"something": 1}, FileFormatError, "holds no model"),
        ("half", {"model": {**node, "descriptor": broken}}, FileFormatError, "rcut is missing"),
        ("new", {"model": {**node, "@version": 9}}, FileFormatError, "newer multifit"),
        ("other", {"model": {**node, "type": "zbl"}}, UnsupportedError, "of type 'zbl'"),
    ):
        path = tmp_path / f"{name}.json"
        files.write(path, content)
        with pytest.raises(error, match=message) as caught:
            multifit.load(path)
        assert error is UnsupportedError or str(path) in str(caught.value)
    with pytest.raises(FileFormatError, match="nowhere"):
        multifit.load(tmp_path / "nowhere.dp")


def test_an_unknown_backend_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="unknown backend"):
        multifit.load(tmp_path / "nowhere.dp", "tensorfow2")


# How embedding nets are evaluated.


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_series_and_nets_agree(tmp_path: Path, name: str) -> None:
    model = build()
    files.write(tmp_path / "m.dp", {"model": mdl.serialize(model, draw(model))})
    got = {}
    for embedding in EMBEDDINGS:
        potential = multifit.load(tmp_path / "m.dp", name, embedding=embedding)
        batches: list[Any] = []
        functions = potential.runner.evaluator._functions
        run = functions[""]

        def watch(params: Any, batch: Any, run: Any = run, batches: Any = batches) -> Any:
            batches.append(batch)
            return run(params, batch)

        functions[""] = watch
        got[embedding] = potential.predict(SYSTEM.coord, SYSTEM.atype, SYSTEM.cell)
        assert ("plan" in batches[0]) == (embedding != "direct")
    same(got["spectral"], got["direct"], rtol=1e-9)
    same(got["auto"], got["spectral"], rtol=0.0)


def test_series_that_can_not_be_are_refused() -> None:
    kinked = build(activation="relu")
    assert _plain(activation="relu").predict(SYSTEM.coord, SYSTEM.atype, SYSTEM.cell)
    with pytest.raises(UnsupportedError, match="'spectral' needs a smooth activation"):
        Potential(kinked, draw(kinked), embedding="spectral")
    half = build(precision="float16")
    with pytest.raises(UnsupportedError, match=r"'spectral' needs .*, but the model has tanh in"):
        Potential(half, draw(half), embedding="spectral")
    with pytest.raises(ConfigError, match=r"embedding is 'spectrl' \(did you mean 'spectral'"):
        Potential(MODEL, PARAMS, embedding="spectrl")


def test_nets_that_vary_too_quickly_for_series_are_refused() -> None:
    model = build()
    params = draw(model)
    for net in params["descriptor"]["embeddings"].values():
        net["layers"]["0"]["w"] = net["layers"]["0"]["w"] * 1e4
    given = (SYSTEM.coord, SYSTEM.atype, SYSTEM.cell)
    want = Potential(model, params, embedding="direct").predict(*given)
    same(Potential(model, params).predict(*given), want, rtol=0.0)
    with pytest.raises(UnsupportedError, match="vary too quickly"):
        Potential(model, params, embedding="spectral").predict(*given)
