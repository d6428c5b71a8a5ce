"""Models that deepmd-kit wrote give the numbers that deepmd-kit computed (see ``make.py``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _backends import INSTALLED
from _compare import same

import multifit
from multifit.loss import DOSLoss

HERE = Path(__file__).parent
CASES = sorted(path.stem for path in HERE.glob("*.dp"))
SYSTEMS = ("crystal", "molecule")
BACKENDS = pytest.mark.parametrize("backend", ["numpy", *INSTALLED])


def _stored(name: str) -> dict[str, np.ndarray]:
    with np.load(HERE / f"{name}.npz") as stored:
        return dict(stored)


def test_the_cases_are_there() -> None:
    assert len([name for name in CASES if name.startswith("dos")]) >= 4
    assert len(CASES) >= 12
    assert all((HERE / f"{name}.dp").stat().st_size < 100_000 for name in CASES)


@BACKENDS
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_deepmd_kits(name: str, backend: str) -> None:
    data = _stored(name)
    potential = multifit.load(HERE / f"{name}.dp", backend)
    assert potential.type_map == ("O", "H")
    extra = {key: data[key] for key in ("fparam", "aparam") if key in data}
    rtol = 1e-10 if "float32" not in name else 1e-5
    keys = ("dos", "atom_dos") if name.startswith("dos") else ("energy", "atom_energy")
    for system in SYSTEMS:
        cell = data["cell"] if system == "crystal" else None
        got = potential.predict(data["coord"], data["atype"], cell, **extra)
        for key in keys:
            same(got[key], data[f"{system}_{key}"], rtol=rtol)


def test_a_default_of_deepmd_kits_is_taken() -> None:
    data, potential = _stored("dos_cases"), multifit.load(HERE / "dos_cases.dp")
    given = (data["coord"], data["atype"], data["cell"])
    assert potential.model.fitting.trainable == (True, False, True)
    default = np.array([0.3, -0.6])
    same(potential.predict(*given), potential.predict(*given, fparam=default), rtol=0.0)


# The loss of densities of states.

LOSSES = ("dos", "cdf", "ados", "acdf", "defaults", "all")


@BACKENDS
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("case", LOSSES)
def test_losses_are_deepmd_kits(case: str, masked: bool, backend: str) -> None:
    data = _stored("dos_losses")
    prefactors = {
        key.removeprefix(f"{case}."): float(x)
        for key, x in data.items()
        if key.startswith(f"{case}.") and "_pref_" in key
    }
    assert len(prefactors) == 8
    loss = DOSLoss(float(data["start"]), 6, **prefactors, backend=backend)
    prediction, label = (
        {key: data[f"{side}_{key}"] for key in ("dos", "atom_dos")}
        for side in ("prediction", "label")
    )
    natoms = data["mask"].sum(axis=1) if masked else None
    value, metrics = loss(float(data["learning_rate"]), prediction, label, natoms)
    where = f"{case}." if masked else f"{case}.whole."
    want = {key.removeprefix(where): x for key, x in data.items() if key.startswith(where)}
    got = {"loss": value, **metrics}
    same(got, {key: want[key] for key in got})
    assert set(got) == {key for key in want if "." not in key and "_pref_" not in key}
