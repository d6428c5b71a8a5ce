"""Models that deepmd-kit wrote give the energies that deepmd-kit computed (see ``make.py``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _backends import INSTALLED
from _compare import same

import multifit

HERE = Path(__file__).parent
CASES = sorted(path.stem for path in HERE.glob("*.npz"))
SYSTEMS = ("crystal", "molecule")


def test_the_cases_are_there() -> None:
    assert len(CASES) >= 8
    assert all((HERE / f"{name}.dp").stat().st_size < 100_000 for name in CASES)


@pytest.mark.parametrize("backend", ["numpy", *INSTALLED])
@pytest.mark.parametrize("name", CASES)
def test_energies_are_deepmd_kits(name: str, backend: str) -> None:
    with np.load(HERE / f"{name}.npz") as stored:
        data = dict(stored)
    potential = multifit.load(HERE / f"{name}.dp", backend)
    assert potential.type_map == ("O", "H")
    extra = {key: data[key] for key in ("fparam", "aparam") if key in data}
    rtol = 1e-10 if name != "float32" else 1e-5
    for system in SYSTEMS:
        cell = data["cell"] if system == "crystal" else None
        got = potential.predict(data["coord"], data["atype"], cell, **extra)
        for key in ("energy", "atom_energy"):
            same(got[key], data[f"{system}_{key}"], rtol=rtol)
