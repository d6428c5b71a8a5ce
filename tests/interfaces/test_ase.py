"""The calculator of ASE: what it returns, keeps and refuses."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import RCUT, System, build, crystal, draw, molecule, parameters
from _cli_files import write_model
from _compare import same

from multifit.errors import BackendError, DataError
from multifit.inference.potential import Potential

pytest.importorskip("ase")

from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.io import read, write

from multifit.interfaces.ase import MultifitCalculator

MODEL = build()
POTENTIAL = Potential(MODEL, draw(MODEL))
WITH_PARAMETERS = build(numb_fparam=2, numb_aparam=1)


def atoms_of(system: System, pbc: Any = None, calc: Any = None) -> Atoms:
    """Return a system as ASE has it."""
    symbols = [MODEL.type_map[t] for t in system.atype]
    pbc = system.cell is not None if pbc is None else pbc
    made = Atoms(symbols, positions=system.coord, cell=system.cell, pbc=pbc)
    made.calc = MultifitCalculator(POTENTIAL) if calc is None else calc
    return made


def symmetric(x: np.ndarray) -> np.ndarray:
    """Return the symmetric part of matrices."""
    return 0.5 * (x + np.swapaxes(x, -1, -2))


def test_all_properties_are_those_of_predict() -> None:
    system = crystal()
    atoms = atoms_of(system)
    want = POTENTIAL.predict(system.coord, system.atype, system.cell, atom_virial=True)
    volume = atoms.get_volume()
    same(atoms.get_potential_energy(), want["energy"][0])
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    same(atoms.get_potential_energies(), want["atom_energy"][0])
    same(atoms.get_forces(), want["force"][0])
    # Not symmetric for parameters that were drawn: the means of x, y and z are not zero.
    same(atoms.get_stress(voigt=False), -symmetric(want["virial"][0]) / volume)
    same(atoms.get_stresses(voigt=False), -symmetric(want["atom_virial"][0]) / volume)


@pytest.mark.parametrize("pbc", [True, (True, True, False), (False, True, False)])
def test_forces_and_stress_are_derivatives_in_crystals_slabs_and_wires(pbc: Any) -> None:
    atoms = atoms_of(crystal(), pbc)
    same(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=1e-7)
    same(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-9)
    same(atoms.get_stresses().sum(axis=0), atoms.get_stress(), atol=1e-12)
    same(atoms.get_potential_energies().sum(), atoms.get_potential_energy())


def test_molecules_have_forces_but_no_stress() -> None:
    atoms = atoms_of(molecule())
    same(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=1e-7)
    boxed = atoms_of(crystal(), pbc=False)
    for each in (atoms, boxed):
        for name in ("stress", "stresses"):
            with pytest.raises(PropertyNotImplementedError):
                each.calc.get_property(name, each)


def test_the_open_direction_of_a_slab_needs_no_cell_vector() -> None:
    system = crystal()
    cell = system.cell.copy()
    cell[2] = 0
    slab = atoms_of(System(system.coord, system.atype, cell), (True, True, False))
    whole = atoms_of(system, (True, True, False))
    same(slab.get_forces(), whole.get_forces())
    with pytest.raises(PropertyNotImplementedError):
        slab.get_stress()


def test_densities_of_states_are_properties() -> None:
    model = build(numb_dos=5)
    potential, system = Potential(model, draw(model)), crystal()
    atoms = atoms_of(system, calc=MultifitCalculator(potential))
    want = potential.predict(system.coord, system.atype, system.cell)
    same(atoms.calc.get_property("dos", atoms), want["dos"][0])
    same(atoms.calc.get_property("atom_dos", atoms), want["atom_dos"][0])
    assert dict(atoms.calc.export_properties()) == {}  # ASE has no names for them
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_potential_energy()


def test_nothing_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    run = POTENTIAL.predict
    monkeypatch.setattr(POTENTIAL, "predict", lambda *a, **k: calls.append(1) or run(*a, **k))
    atoms = atoms_of(crystal())
    atoms.get_forces(), atoms.get_potential_energy(), atoms.get_stress()
    assert len(calls) == 1
    atoms.get_stresses()
    assert len(calls) == 2  # those of atoms cost more: on request only
    atoms.positions[0] += 0.01
    atoms.get_forces(), atoms.get_stress()
    assert len(calls) == 3


def test_a_skin_reuses_lists_and_changes_nothing() -> None:
    skinned = atoms_of(crystal())
    own = Potential(MODEL, draw(MODEL))  # a potential keeps one list
    plain = atoms_of(crystal(), calc=MultifitCalculator(own, skin=0))
    before = POTENTIAL.runner.neighbors._own.kept
    start = 0 if before is None else before.neighbours.searches
    rng = np.random.default_rng(4)
    for _ in range(5):
        step = rng.normal(scale=0.02, size=(6, 3))
        for atoms in (skinned, plain):
            atoms.positions += step
        same(skinned.get_forces(), plain.get_forces(), rtol=1e-12)
    after = POTENTIAL.runner.neighbors._own.kept.neighbours
    assert after.searches - start <= 1
    assert after.reuses >= 4


def test_changed_elements_are_noticed() -> None:
    atoms = atoms_of(crystal())
    before = atoms.get_potential_energy()
    atoms.symbols[0] = "H"
    assert atoms.get_potential_energy() != before
    atoms.symbols[0] = "N"
    with pytest.raises(DataError, match="atom 0 is 'N', but the model knows O, H"):
        atoms.get_potential_energy()


def test_parameters_of_the_model_reset_the_calculator() -> None:
    potential, system = Potential(WITH_PARAMETERS, draw(WITH_PARAMETERS)), crystal()
    given = {key: x[0] for key, x in parameters(WITH_PARAMETERS, [system]).items()}
    atoms = atoms_of(system, calc=MultifitCalculator(potential, **given))
    want = potential.predict(system.coord, system.atype, system.cell, **given)
    same(atoms.get_potential_energy(), want["energy"][0])
    given["fparam"] += 1.0  # ours, not the calculator's
    assert atoms.calc.set(fparam=given["fparam"])
    want = potential.predict(system.coord, system.atype, system.cell, **given)
    same(atoms.get_potential_energy(), want["energy"][0])
    assert not atoms.calc.set(fparam=given["fparam"].copy())
    assert atoms.calc.results
    with pytest.raises(DataError, match="no parameter 'fparm' \\(did you mean 'fparam'"):
        atoms.calc.set(fparm=1)
    atoms.calc.set(fparam=None)
    with pytest.raises(DataError, match="the model needs fparam, 2 numbers"):
        atoms.get_potential_energy()


def test_copies_share_the_potential_and_pickles_rebuild_it() -> None:
    atoms = atoms_of(crystal())
    want = atoms.get_forces()
    twin = copy.deepcopy(atoms)
    assert twin.calc is not atoms.calc
    assert twin.calc.potential is POTENTIAL
    twin.positions[0] += 0.1
    assert np.abs(twin.get_forces() - want).max() > 1e-6
    assert np.array_equal(atoms.get_forces(), want)
    again = pickle.loads(pickle.dumps(atoms))
    again.calc.reset()
    same(again.get_forces(), want)
    assert again.calc.potential.rcut == RCUT


def test_models_come_from_files_and_run_on_the_named_backend(tmp_path: Path) -> None:
    want = write_model(tmp_path / "model.dp")
    system = crystal()
    calc = MultifitCalculator(tmp_path / "model.dp", backend="numpy", label="water")
    found = atoms_of(system, calc=calc)
    same(found.get_forces(), want.predict(system.coord, system.atype, system.cell)["force"][0])
    with pytest.raises(BackendError, match="unknown backend 'trch'"):
        MultifitCalculator(tmp_path / "model.dp", backend="trch")
    assert MultifitCalculator(POTENTIAL, "numpy").potential is POTENTIAL


def test_a_loaded_potential_keeps_its_backend(backends: tuple[str, ...]) -> None:
    other = next((name for name in backends if name != "numpy"), None)
    if other is None:
        pytest.skip("no second backend is installed")
    with pytest.raises(BackendError, match=f"is on numpy, not on {other}"):
        MultifitCalculator(POTENTIAL, other)


def test_every_backend_gives_the_same_forces(backends: tuple[str, ...], tmp_path: Path) -> None:
    write_model(tmp_path / "model.dp")
    atoms = atoms_of(crystal())
    want, stress = atoms.get_forces(), atoms.get_stress()
    for name in backends:
        atoms.calc = MultifitCalculator(tmp_path / "model.dp", name)
        same(atoms.get_forces(), want)
        same(atoms.get_stress(), stress)


def test_results_survive_extended_xyz(tmp_path: Path) -> None:
    atoms = atoms_of(crystal())
    atoms.get_forces(), atoms.get_stress()
    write(tmp_path / "one.xyz", atoms, format="extxyz")
    found = read(tmp_path / "one.xyz")
    same(found.get_forces(), atoms.get_forces(), atol=1e-7)
    same(found.get_stress(), atoms.get_stress(), atol=1e-7)
