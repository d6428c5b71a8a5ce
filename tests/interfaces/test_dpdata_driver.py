"""The driver of dpdata."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest
from _cases import System, build, crystal, draw, molecule, parameters
from _compare import same

from multifit.errors import DataError, EngineError
from multifit.inference.potential import Potential

pytest.importorskip("dpdata")

import dpdata

from multifit.interfaces.dpdata import MultifitDriver

MODEL = build()
POTENTIAL = Potential(MODEL, draw(MODEL))


def system_of(system: System, names: tuple[str, ...] = ("H", "O"), nframes: int = 3) -> Any:
    """Return frames in dpdata's form, with the elements in its own order."""
    symbols = [MODEL.type_map[t] for t in system.atype]
    types = np.array([names.index(symbol) for symbol in symbols])
    rng = np.random.default_rng(6)
    coords = system.coord + rng.normal(scale=0.03, size=(nframes, *system.coord.shape))
    cell = np.eye(3) * 100 if system.cell is None else system.cell
    data = {
        "atom_names": list(names),
        "atom_numbs": [int((types == k).sum()) for k in range(len(names))],
        "atom_types": types,
        "orig": np.zeros(3),
        "cells": np.tile(cell, (nframes, 1, 1)),
        "coords": coords,
    }
    if system.cell is None:
        data["nopbc"] = True
    return dpdata.System(data=data)


def test_labels_of_cells_are_those_of_predict() -> None:
    if "multifit" not in entry_points(group="dpdata.plugins").names:
        pytest.skip("multifit was installed without its entry points")
    system = system_of(crystal())
    found = system.predict(POTENTIAL, driver="multifit")
    want = POTENTIAL.predict(system["coords"], crystal().atype, system["cells"])
    same(found["energies"], want["energy"])
    same(found["forces"], want["force"])
    same(found["virials"], want["virial"])


def test_molecules_have_no_virial() -> None:
    system = system_of(molecule())
    found = system.predict(driver=MultifitDriver(POTENTIAL))
    want = POTENTIAL.predict(system["coords"], molecule().atype)
    same(found["energies"], want["energy"])
    same(found["forces"], want["force"])
    assert "virials" not in found.data


def test_parameters_are_passed_on() -> None:
    model = build(numb_fparam=2, numb_aparam=1)
    potential, system = Potential(model, draw(model)), system_of(crystal())
    given = {key: x[0] for key, x in parameters(model, [crystal()]).items()}
    found = system.predict(driver=MultifitDriver(potential, **given))
    want = potential.predict(system["coords"], crystal().atype, system["cells"], **given)
    same(found["energies"], want["energy"])
    with pytest.raises(DataError, match="the model needs fparam"):
        system.predict(driver=MultifitDriver(potential))


def test_bad_input_is_refused() -> None:
    other = system_of(crystal())
    other.data["atom_names"] = ["H", "N"]
    with pytest.raises(DataError, match="'N', but the model knows O, H"):
        other.predict(driver=MultifitDriver(POTENTIAL))
    spectra = build(numb_dos=4)
    with pytest.raises(EngineError, match="densities of states"):
        MultifitDriver(Potential(spectra, draw(spectra)))


@pytest.mark.parametrize("first", ["multifit.interfaces.dpdata", "dpdata"])
def test_either_package_may_be_imported_first(first: str) -> None:
    if "multifit" not in entry_points(group="dpdata.plugins").names:
        pytest.skip("multifit was installed without its entry points")
    code = f"import {first}, dpdata.driver; print(dpdata.driver.Driver.get_driver('multifit'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "<class 'multifit.interfaces.dpdata.MultifitDriver'>", done.stderr
