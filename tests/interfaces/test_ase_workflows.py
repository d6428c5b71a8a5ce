"""What people do with a calculator of ASE: dynamics, relaxation, paths and vibrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _cases import crystal, molecule
from _compare import same

pytest.importorskip("ase")

from _soft import POTENTIAL, atoms_of
from ase import Atoms, units
from ase.filters import FrechetCellFilter
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS, FIRE
from ase.phonons import Phonons
from ase.vibrations import Vibrations

from multifit.interfaces.ase import MultifitCalculator


def warm(atoms: Atoms) -> Atoms:
    """Give the atoms velocities at 300 K."""
    mass = atoms.get_masses()[:, None]
    drawn = np.random.default_rng(3).normal(size=(len(atoms), 3))
    atoms.set_momenta(drawn * np.sqrt(mass * units.kB * 300))
    return atoms


@pytest.fixture(scope="module")
def relaxed() -> Atoms:
    atoms = atoms_of(crystal())
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=300)
    assert np.abs(atoms.get_forces()).max() < 1e-3
    return atoms


def test_dynamics_conserves_the_energy() -> None:
    atoms = warm(atoms_of(crystal()).repeat((2, 2, 1)))
    atoms.calc = MultifitCalculator(POTENTIAL)
    start = atoms.get_total_energy()
    kinetic = []
    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    for _ in dynamics.irun(120):
        kinetic.append(atoms.get_kinetic_energy() / len(atoms))
    assert abs(atoms.get_total_energy() - start) / len(atoms) < 2e-4
    assert np.ptp(kinetic) > 2e-3  # energy went back and forth


def test_constant_pressure_conserves_its_energy_and_moves_the_cell() -> None:
    atoms = warm(atoms_of(crystal()))
    dynamics = IsotropicMTKNPT(
        atoms, 0.5 * units.fs, 300, 1e3 * units.bar, tdamp=50 * units.fs, pdamp=200 * units.fs
    )
    start, volume = dynamics.get_conserved_energy(), atoms.get_volume()
    dynamics.run(60)
    assert abs(dynamics.get_conserved_energy() - start) / len(atoms) < 1e-3
    assert abs(atoms.get_volume() / volume - 1) > 1e-4


def test_cells_relax(relaxed: Atoms) -> None:
    atoms = relaxed.copy()
    atoms.calc = MultifitCalculator(POTENTIAL)
    before = atoms.get_potential_energy()
    stress = np.abs(atoms.get_stress()).max()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.003, steps=150)
    assert atoms.get_potential_energy() < before
    assert np.abs(atoms.get_stress()).max() < 0.3 * stress


def test_a_path_is_relaxed_by_one_calculator(relaxed: Atoms) -> None:
    end = relaxed.copy()
    end.positions[3] += [0.5, -0.3, 0.2]
    end.calc = MultifitCalculator(POTENTIAL)
    FIRE(end, logfile=None).run(fmax=0.01, steps=200)
    images = [relaxed, *(relaxed.copy() for _ in range(3)), end]
    band = NEB(images, allow_shared_calculator=True, method="improvedtangent")
    band.interpolate(mic=True)
    shared = MultifitCalculator(POTENTIAL)
    for image in images[1:-1]:
        image.calc = shared
    before = band.get_forces()
    FIRE(band, logfile=None).run(fmax=0.02, steps=40)
    assert np.abs(band.get_forces()).max() < max(0.03, 0.5 * np.abs(before).max())


def test_vibrations_of_a_molecule_are_those_of_the_hessian(tmp_path: Path) -> None:
    atoms = atoms_of(molecule())
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=300)
    vibrations = Vibrations(atoms, name=str(tmp_path / "vib"), delta=1e-3)
    vibrations.run()
    found = vibrations.get_vibrations().get_hessian_2d()
    symbols = atoms.get_chemical_symbols()
    want = POTENTIAL.predict(atoms.positions, symbols, hessian=True)["hessian"][0]
    same(found, want, atol=2e-4)


def test_phonons_at_gamma_are_those_of_the_hessian(relaxed: Atoms, tmp_path: Path) -> None:
    phonons = Phonons(
        relaxed, MultifitCalculator(POTENTIAL), (1, 1, 1), delta=1e-3, name=str(tmp_path / "ph")
    )
    phonons.run()
    phonons.read(acoustic=False)
    symbols = relaxed.get_chemical_symbols()
    found = POTENTIAL.predict(relaxed.positions, symbols, relaxed.cell.array, hessian=True)
    mass = np.repeat(relaxed.get_masses(), 3) ** -0.5
    squares = np.linalg.eigvalsh(found["hessian"][0] * mass * mass[:, None])
    energies = phonons.band_structure([[0, 0, 0]])[0]
    unit = units._hbar * 1e10 / np.sqrt(units._e * units._amu)
    same(np.sign(energies) * energies**2, np.sort(squares) * unit**2, atol=1e-6)
