"""The uncertainty of energies from the last layer."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import System, build, crystal, draw, molecule, parameters
from _cli_files import dos_model, frames, write_labelled, write_model, write_system
from _compare import same

import multifit
from multifit import files
from multifit import models as mdl
from multifit.cli import main
from multifit.cli._coefficients import trained_with
from multifit.data import open_systems
from multifit.errors import ConfigError, DataError, FileFormatError
from multifit.evaluation.calibration import Evidence, calibrate, coverage, evidence
from multifit.inference.last_layer import LastLayer
from multifit.inference.potential import Potential
from multifit.inference.structure import structures
from multifit.inference.uncertainty import KEY, ONE_SIGMA, Uncertainty, from_content, rigidity
from multifit.tree import Tree

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one net": {"mixed_types": True},
    "shared layers": {"layer_name": ("a", None, "b")},
    "excluded": {"fitting_exclude": (0,)},
    "no energy of a type": {"atom_exclude_types": (1,)},
    "atom_ener": {"atom_ener": (-1.5, None), "numb_fparam": 1},
    "parameters": {"numb_fparam": 2, "numb_aparam": 1, "dim_case_embd": 2},
    "no hidden layers": {"fitting_neuron": ()},
}


def _evidence(rng: np.random.Generator, number: int, size: int = 6) -> Evidence:
    """Return frames whose errors are of a ridge regression with too few data, and of noise."""
    natoms = rng.integers(2, 9, number)
    features = rng.normal(size=(number, size)) * np.linspace(0.1, 2.0, size) * natoms[:, None]
    weights = np.random.default_rng(1).normal(size=size)
    return Evidence(features, natoms, features @ weights * 0.02 + 0.01 * rng.standard_t(4, number))


def _last(params: Tree, model: mdl.Model) -> list[np.ndarray]:
    """Return the weights of the last layer for each type."""
    from multifit.fitting._shared import network_params

    fit, layer = model.fitting, str(len(model.fitting.neuron))
    return [
        network_params(np, params["fitting"]["nets"], fit.owners, (fit.network_index(a),))[
            "layers"
        ][layer]["w"][:, 0]
        for a in range(model.ntypes)
    ]


@pytest.mark.parametrize("name", CASES)
def test_energies_are_linear_in_the_features(name: str) -> None:
    model = build(**CASES[name])
    params = draw(model)
    system = crystal()
    extra = parameters(model, [system])
    moved = [system.coord, system.coord + np.random.default_rng(0).normal(size=(6, 3)) * 0.1]
    given = [structures(model, x, system.atype, system.cell, **extra)[0] for x in moved]
    layer = LastLayer(model, params, Potential(model, params).backend)
    features = layer.features(given)
    weights = _last(params, model)
    of_atoms = [
        np.array([x @ weights[a] for x, a in zip(rows, system.atype, strict=True)])
        for rows in features
    ]
    found = [
        Potential(model, params).predict(x, system.atype, system.cell, **extra)["atom_energy"][0]
        for x in moved
    ]
    same(of_atoms[1] - of_atoms[0], found[1] - found[0], rtol=1e-9, atol=1e-11)
    total = layer.total(features[0], given[0].atype)
    assert total.shape == (layer.blocks * layer.width,)
    assert layer.blocks == (1 if name in ("one net", "shared layers") else 2)
    stacked = np.concatenate(weights[: layer.blocks])
    same(total @ stacked, of_atoms[0].sum(), rtol=1e-9)


def test_every_backend_has_the_features(backends) -> None:
    model, system = build(), molecule()
    params = draw(model)
    given = structures(model, system.coord, system.atype)
    wanted = LastLayer(model, params, Potential(model, params).backend).features(given)[0]
    for name in backends:
        backend = multifit.backend.get_backend(name)
        same(LastLayer(model, params, backend).features(given)[0], wanted, rtol=1e-9, atol=1e-12)


def test_intervals_hold_the_wanted_share_of_new_frames() -> None:
    rng = np.random.default_rng(5)
    known = calibrate(_evidence(rng, 60), _evidence(rng, 400))
    new = _evidence(rng, 4000)
    spread = known.energy_std(new.features)
    for share in (ONE_SIGMA, 0.9, 0.95):
        inside = (np.abs(new.error) <= known.half_width(spread, share)).mean()
        assert abs(inside - share) < 0.05
    found, width = coverage(known, _evidence(rng, 1000), 0.9)
    assert abs(found - 0.9) < 0.05
    assert width > 0


def test_the_variance_is_that_of_a_regression() -> None:
    rng = np.random.default_rng(2)
    training = _evidence(rng, 200)
    known = calibrate(training, _evidence(rng, 50))
    x = training.features / training.natoms[:, None]
    inverse = np.linalg.inv(known.factor.T @ known.factor)
    rest = inverse - x.T @ x
    same(rest, np.eye(6) * rest[0, 0], atol=1e-8 * np.trace(inverse))
    h = rng.normal(size=(3, 6))
    same(rigidity(known.factor, h) ** 2, np.einsum("fi,ij,fj->f", h, np.linalg.inv(inverse), h))


def test_quantiles_are_those_of_the_conformal_prediction() -> None:
    known = Uncertainty(np.eye(1), np.arange(1.0, 20.0))
    assert [known.scale(p) for p in (0.05, 0.5, 0.95)] == [1.0, 10.0, 19.0]
    same(known.half_width(2.0, 0.5), 20.0 / known.one_sigma * known.scale() / known.one_sigma)
    with pytest.raises(ConfigError, match="at least 99 held-out frames"):
        known.scale(0.99)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        known.scale(1.0)


def _spread(folder: Path, potential: Potential, name: str, number: int, seed: int) -> None:
    """Write frames of a crystal and of a molecule, with energies that are wrong at random."""
    rng = np.random.default_rng(seed)
    for kind, system in (("crystal", crystal()), ("molecule", molecule())):
        coord = system.coord + rng.normal(scale=0.05, size=(number, *system.coord.shape))
        energy = potential.predict(coord, system.atype, system.cell)["energy"]
        wrong = energy + rng.normal(scale=0.01, size=number)
        write_system(folder / name / kind, coord, system, energy=wrong)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Potential]:
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    potential = write_model(tmp_path / "model.dp")
    _spread(tmp_path, potential, "train", 12, 1)
    _spread(tmp_path, potential, "other", 16, 2)
    return tmp_path, potential


def test_a_calibrated_model_knows_where_it_is_unsure(case, capsys) -> None:
    _, plain = case
    assert main(["uncertainty", "model.dp", "-s", "train", "-v", "other", "-o", "u.dp"]) == 0
    assert "calibrated with 24 training frames and 32 held-out frames" in capsys.readouterr().out
    model, system = multifit.load("u.dp"), crystal()
    coord, _ = frames(3)
    found = model.predict(coord, system.atype, system.cell, uncertainty=True)
    same(found["force"], plain.predict(coord, system.atype, system.cell)["force"])
    assert found["energy_std"].shape == (3,)
    assert found["atom_energy_std"].shape == (3, 6)
    far = system.coord + np.random.default_rng(0).normal(scale=0.4, size=(6, 3))
    away = model.predict(far, system.atype, system.cell, uncertainty=True, skin=1.0)
    assert away["energy_std"][0] > 2 * found["energy_std"].max()
    one = System(system.coord, system.atype, system.cell)
    many = model.predict_many(
        [{"coord": one.coord, "types": one.atype, "cell": one.cell}], uncertainty=True
    )
    again = pickle.loads(pickle.dumps(model))
    same(
        again.predict(one.coord, one.atype, one.cell, uncertainty=True)["energy_std"][0],
        many[0]["energy_std"],
    )
    model.set_params(draw(model.model, 1))
    with pytest.raises(ConfigError, match="calibrate it first"):
        model.predict(one.coord, one.atype, one.cell, uncertainty=True)


def test_virtual_atoms_have_no_uncertainty(case) -> None:
    assert main(["uncertainty", "model.dp", "-s", "train", "-v", "other"]) == 0
    model, system = multifit.load("model_uncertainty.dp"), molecule()
    coord = np.concatenate([system.coord, [[9.0, 9, 9]]])
    found = model.predict(coord, [*system.atype, -1], uncertainty=True)
    want = model.predict(system.coord, system.atype, uncertainty=True)
    same(found["energy_std"], want["energy_std"], rtol=1e-12)
    same(found["atom_energy_std"][0, :-1], want["atom_energy_std"][0], rtol=1e-12)
    assert found["atom_energy_std"][0, -1] == 0.0


def _weighted(folder: Path, potential: Potential, number: int, seed: int) -> np.ndarray:
    """Write frames whose energies are sums with coefficients, and return their errors."""
    rng, system = np.random.default_rng(seed), crystal()
    coord = system.coord + rng.normal(scale=0.05, size=(number, *system.coord.shape))
    weight = rng.choice([-1.0, 1.0, 0.5], (number, len(system.atype)))
    energies = potential.predict(coord, system.atype, system.cell)["atom_energy"]
    error = rng.normal(scale=0.01, size=number)
    label = (weight * energies).sum(axis=1) - error
    write_system(folder, coord, system, energy=label, atom_ener_coeff=weight)
    return error


def test_coefficients_of_atoms_are_those_of_the_model(case, capsys) -> None:
    folder, potential = case
    write_model(folder / "c.dp", enable_atom_ener_coeff=True)
    wrong = [_weighted(folder / name, potential, 12, k) for k, name in enumerate(("tr", "ho"))]
    systems = open_systems(["tr"], potential.type_map)
    found = evidence(potential, systems, coefficients=True)
    same(found.error, wrong[0], rtol=1e-9, atol=1e-11)
    weight = np.load(folder / "tr/set.000/atom_ener_coeff.npy")
    coord = np.load(folder / "tr/set.000/coord.npy").reshape(12, 6, 3)
    given = structures(potential.model, coord, crystal().atype, crystal().cell)
    features = potential.last_layer.features(given)
    totals = [
        potential.last_layer.total(c[:, None] * x, crystal().atype)
        for c, x in zip(weight, features, strict=True)
    ]
    same(found.features, np.array(totals), rtol=1e-12, atol=1e-14)
    assert np.abs(evidence(potential, systems).error - wrong[0]).max() > 1.0
    for name, said in (("c.dp", "energies with the coeff"), ("model.dp", "energies without the")):
        assert main(["uncertainty", name, "-s", "tr", "-v", "ho", "-o", "u.dp", "--force"]) == 0
        assert said in capsys.readouterr().out
        assert trained_with(files.read(folder / "u.dp")) == (name == "c.dp")


def test_mistakes_are_one_sentence(case, capsys) -> None:
    folder, potential = case
    write_model(folder / "dos.dp", dos_model())
    write_model(folder / "zero.dp", build(tot_ener_zero=True))
    write_labelled(folder / "few", potential, 3)
    coord, system = frames(2)
    write_system(folder / "bare", coord, system)
    for message, options in {
        "at least 10 are needed": ("model.dp", "-s", "train", "-v", "few"),
        "has no energy": ("model.dp", "-s", "bare", "-v", "other"),
        "only energies have an uncertainty": ("dos.dp", "-s", "bare", "-v", "other"),
        "tot_ener_zero": ("zero.dp", "-s", "train", "-v", "other"),
    }.items():
        assert main(["uncertainty", *options]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert [message in line for line in lines] == [True], lines


def test_training_frames_are_not_held_out(case, capsys) -> None:
    folder, _ = case
    shutil.copytree(folder / "train/crystal", folder / "copy")
    for held_out in (["train"], ["other", "copy"]):
        assert main(["uncertainty", "model.dp", "-s", "train", "-v", *held_out]) == 2
        said = capsys.readouterr().err
        assert "set.000, frame 0 and" in said
        assert "of the held-out data (-v) are among the training data (-s)" in said


def test_an_output_is_not_replaced_silently(case, capsys) -> None:
    given = ["uncertainty", "model.dp", "-s", "train", "-v", "other", "-o"]
    before = Path("model.dp").read_bytes()
    Path("u.dp").write_text("mine")
    for name, message in (("model.dp", "an input of the command"), ("u.dp", "add --force")):
        assert main([*given, name]) == 2
        assert message in capsys.readouterr().err
    assert main([*given, "u.txt"]) == 2
    assert "unknown ending" in capsys.readouterr().err
    assert Path("model.dp").read_bytes() == before
    assert main([*given, "u.dp", "--force"]) == 0


def test_frames_without_features_are_refused() -> None:
    rng = np.random.default_rng(0)
    good, empty = _evidence(rng, 20), _evidence(rng, 20)
    empty.features[3] = 0.0
    with pytest.raises(DataError, match="frame 3 of the held-out data no features"):
        calibrate(good, empty)
    empty.features[:] = 0.0
    with pytest.raises(DataError, match="the training data no features"):
        calibrate(empty, good)


def test_damaged_entries_are_refused(case) -> None:
    folder, potential = case
    size = 2 * potential.model.fitting.neuron[-1]
    content = Uncertainty(np.eye(size), np.ones(10)).to_content()
    same(from_content(content, size).factor, np.eye(size))
    wrong = {
        "scores is missing": {**content, "@variables": {"factor": np.eye(size)}},
        "but its settings ask for": {
            **content,
            "@variables": {**content["@variables"], "factor": 1.0},
        },
        "newer multifit": {**content, "@version": 9},
    }
    for message, entry in wrong.items():
        stored = files.read(folder / "model.dp")
        files.write(folder / "bad.dp", {**stored, KEY: entry})
        with pytest.raises(FileFormatError, match=rf"bad\.dp: .*{message}"):
            multifit.load(folder / "bad.dp")
