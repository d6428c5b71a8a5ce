"""The class that LAMMPS' ``pair_style mliap unified`` loads, with a stand-in for LAMMPS' data."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import build
from _cli_files import dos_model, write_model
from _lammps_files import Sample, sample

from multifit.cli import main
from multifit.errors import EngineError, FileFormatError
from multifit.interfaces.mliap import export_mliap
from multifit.neighbors.search import find_pairs


class Data:
    """What LAMMPS hands over, as its ``mliap_unified_couple.pyx`` has it."""

    def __init__(self, given: Sample) -> None:
        pairs = find_pairs(given.coord, given.cell, True, given.potential.rcut)
        self.nlistatoms = self.ntotal = len(given.coord)
        self.npairs = len(pairs.i)
        self.pair_i, self.pair_j = pairs.i.astype(np.int32), pairs.j.astype(np.int32)
        self.rij = pairs.rij
        self.elems = given.atype.astype(np.int32)
        self.jelems = self.elems[self.pair_j]
        self.eatoms, self.energy = np.zeros(0), 0.0
        self.force, self.virial = np.zeros((self.ntotal, 3)), np.zeros((3, 3))

    def update_pair_forces(self, fij: np.ndarray) -> None:
        assert fij.flags.c_contiguous
        assert fij.dtype == np.float64
        np.add.at(self.force, self.pair_i, fij)
        np.add.at(self.force, self.pair_j, -fij)
        self.virial -= self.rij.T @ fij


def test_a_pickled_model_equals_predict(tmp_path: Path) -> None:
    given = sample(tmp_path)
    path = export_mliap(given.model, tmp_path / "model.pkl", "numpy")
    model = pickle.loads(path.read_bytes())
    assert model.element_types == ["O", "H"]
    assert 2 * model.rcutfac == given.potential.rcut
    data = Data(given)
    model.interface = object()  # as LAMMPS does
    model.compute_descriptors(data)
    model.compute_gradients(data)
    model.compute_forces(data)
    want = given.potential.predict(given.coord, given.atype, given.cell)
    assert data.energy == pytest.approx(want["energy"][0], abs=1e-10)
    assert np.allclose(data.eatoms, want["atom_energy"][0], rtol=0, atol=1e-11)
    assert np.allclose(data.force, want["force"][0], rtol=0, atol=1e-11)
    assert np.allclose(data.virial, want["virial"][0], rtol=0, atol=1e-10)


def test_a_process_without_atoms_and_pairs_on_a_gpu(tmp_path: Path) -> None:
    given = sample(tmp_path, 1)
    model = pickle.loads(export_mliap(given.model, tmp_path / "m.pkl", "numpy").read_bytes())
    data: Any = Data(given)
    data.nlistatoms = 0
    model.compute_forces(data)
    data.nlistatoms, data.rij = 6, "not NumPy"
    with pytest.raises(EngineError, match="NumPy array"):
        model.compute_forces(data)


@pytest.mark.parametrize(
    ("model", "name", "kind", "message"),
    [
        (build(), "m.pt", FileFormatError, "m.pkl"),
        (dos_model(), "m.pkl", EngineError, "density of states"),
        (build(numb_fparam=1), "m.pkl", EngineError, "fparam"),
        (build(tot_ener_zero=True), "m.pkl", EngineError, "pairs alone"),
        (build(), "none/m.pkl", FileFormatError, "create it first"),
    ],
)
def test_what_cannot_be_exported(
    tmp_path: Path, model: Any, name: str, kind: type[Exception], message: str
) -> None:
    write_model(tmp_path / "m.dp", model)
    with pytest.raises(kind, match=message):
        export_mliap(tmp_path / "m.dp", tmp_path / name)


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, target = tmp_path / "model.dp", tmp_path / "m.pkl"
    write_model(model)
    assert main(["export", "--lammps-mliap", str(model), "-o", str(target)]) == 0
    assert f"wrote {target}" in capsys.readouterr().out
    assert main(["export", "-f", "mliap", str(model), "-o", str(target)]) == 2
    assert "--force" in capsys.readouterr().err
