"""Forces of OpenMM, and the potential of openmm-ml."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
from _cases import build, crystal, draw, molecule
from _compare import same

from multifit.errors import DataError, EngineError
from multifit.inference.potential import Potential

pytest.importorskip("openmm")

import openmm
from openmm import app

from multifit.interfaces.openmm import ANGSTROM, KJ_PER_MOL, python_force

MODEL = build()
POTENTIAL = Potential(MODEL, draw(MODEL))
WATER = crystal()
SYMBOLS = [MODEL.type_map[t] for t in WATER.atype]
#: OpenMM wants reduced vectors: the first along x, the second in the xy plane.
BOX = np.array([[4.3, 0.0, 0.0], [0.7, 4.0, 0.0], [-0.5, 0.4, 4.6]])


def context(system: openmm.System, coord: np.ndarray = WATER.coord) -> openmm.Context:
    """Return a system ready to run, with atoms at these positions in Å."""
    platform = openmm.Platform.getPlatformByName("Reference")
    made = openmm.Context(system, openmm.VerletIntegrator(2e-4), platform)
    made.setPositions(coord / ANGSTROM)
    return made


def found(made: openmm.Context) -> tuple[float, np.ndarray]:
    """Return energy in eV and forces in eV/Å."""
    state = made.getState(getEnergy=True, getForces=True)
    forces = state.getForces(asNumpy=True)._value
    return state.getPotentialEnergy()._value / KJ_PER_MOL, forces / (KJ_PER_MOL * ANGSTROM)


def system_of(force: openmm.Force, symbols: list[str], box: np.ndarray | None) -> openmm.System:
    """Return a system with one force."""
    system = openmm.System()
    for symbol in symbols:
        system.addParticle({"O": 16.0, "H": 1.0}[symbol])
    if box is not None:
        system.setDefaultPeriodicBoxVectors(*box / ANGSTROM)
    system.addForce(force)
    return system


def topology(symbols: list[str] = SYMBOLS, box: np.ndarray | None = None) -> app.Topology:
    """Return a topology of one residue."""
    made = app.Topology()
    residue = made.addResidue("WAT", made.addChain())
    for symbol in symbols:
        made.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    if box is not None:
        made.setPeriodicBoxVectors([openmm.Vec3(*row) for row in box / ANGSTROM])
    return made


def test_periodic_energies_and_forces_are_those_of_predict() -> None:
    made = context(system_of(python_force(POTENTIAL, SYMBOLS, periodic=True), SYMBOLS, BOX))
    want = POTENTIAL.predict(WATER.coord, SYMBOLS, BOX)
    energy, forces = found(made)
    same(energy, want["energy"][0])
    same(forces, want["force"][0])
    made.setPeriodicBoxVectors(*BOX * 1.02 / ANGSTROM)
    same(found(made)[0], POTENTIAL.predict(WATER.coord, SYMBOLS, BOX * 1.02)["energy"][0])


def test_molecules_have_no_box_and_conserve_the_energy() -> None:
    small = molecule()
    symbols = [MODEL.type_map[t] for t in small.atype]
    made = context(system_of(python_force(POTENTIAL, symbols), symbols, None), small.coord)
    same(found(made)[0], POTENTIAL.predict(small.coord, symbols)["energy"][0])
    made.setVelocitiesToTemperature(300, 1)

    def total() -> float:
        state = made.getState(getEnergy=True)
        return float((state.getPotentialEnergy() + state.getKineticEnergy())._value)

    before = total()
    made.getIntegrator().step(100)
    assert abs(total() - before) / KJ_PER_MOL / len(symbols) < 1e-3


def test_some_particles_of_a_system() -> None:
    force = python_force(POTENTIAL, topology(), particles=[1, 0, 4])
    _, forces = found(context(system_of(force, SYMBOLS, None)))
    chosen = [SYMBOLS[k] for k in (1, 0, 4)]
    want = POTENTIAL.predict(WATER.coord[[1, 0, 4]], chosen)["force"][0]
    same(forces[[1, 0, 4]], want)
    assert not forces[[2, 3, 5]].any()


def test_forces_are_serialized() -> None:
    system = system_of(python_force(POTENTIAL, topology(box=BOX)), SYMBOLS, BOX)
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    same(found(context(again))[1], found(context(system))[1])


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="atom 1 is 'He', but the model knows O, H"):
        python_force(POTENTIAL, ["O", "He"])
    strange = topology()
    strange.addAtom("EP", None, next(strange.residues()))
    with pytest.raises(DataError, match=r"atom 6 \(EP\) of the topology has no element"):
        python_force(POTENTIAL, strange)
    spectra = build(numb_dos=4)
    with pytest.raises(EngineError, match="densities of states, but OpenMM needs forces"):
        python_force(Potential(spectra, draw(spectra)), SYMBOLS)
    together = WATER.coord.copy()
    together[1] = together[0]
    made = context(system_of(python_force(POTENTIAL, SYMBOLS), SYMBOLS, None), together)
    with pytest.raises(openmm.OpenMMException, match=r"atoms 0 and 1 .* are at the same place"):
        found(made)


@pytest.fixture
def ml_potential() -> type:
    pytest.importorskip("openmmml")
    if "multifit" not in entry_points(group="openmmml.potentials").names:
        pytest.skip("multifit was installed without its entry points")
    from openmmml import MLPotential

    return MLPotential


def test_openmm_ml_finds_the_potential(ml_potential: type) -> None:
    potential = ml_potential("multifit", model_path=POTENTIAL)
    energy, forces = found(context(potential.createSystem(topology(box=BOX))))
    want = POTENTIAL.predict(WATER.coord, SYMBOLS, BOX)
    same(energy, want["energy"][0])
    same(forces, want["force"][0])
    with pytest.raises(EngineError, match="takes model_path and backend; model_path is missing"):
        ml_potential("multifit")
    with pytest.raises(EngineError, match=r"not model$"):
        ml_potential("multifit", model="model.dp")


def test_mixed_systems_add_the_model_to_a_force_field(ml_potential: type) -> None:
    classical = openmm.NonbondedForce()
    system = system_of(classical, SYMBOLS, None)
    for _ in SYMBOLS:
        classical.addParticle(0.0, 0.2, 0.05)
    chosen = [0, 1, 2]
    mixed = ml_potential("multifit", model_path=POTENTIAL).createMixedSystem(
        topology(), system, chosen
    )
    energy, _ = found(context(mixed))
    # What the force field says of pairs in the chosen part is replaced by the model.
    pairs = [(i, j) for i in range(6) for j in range(i) if not {i, j} <= set(chosen)]
    r = np.array([np.linalg.norm(WATER.coord[i] - WATER.coord[j]) for i, j in pairs]) / ANGSTROM
    classical_energy = (4 * 0.05 * ((0.2 / r) ** 12 - (0.2 / r) ** 6)).sum() / KJ_PER_MOL
    small = POTENTIAL.predict(WATER.coord[chosen], SYMBOLS[:3])["energy"][0]
    same(energy, small + classical_energy, rtol=1e-6)


@pytest.mark.parametrize("first", ["multifit.interfaces._openmmml", "openmmml"])
def test_either_package_may_be_imported_first(first: str, ml_potential: type) -> None:
    code = f"import {first}; from openmmml import MLPotential; MLPotential('multifit', x=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("takes model_path and backend; not x")
