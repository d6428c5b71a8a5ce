"""The start of a run: the structure, its checks, minimization and velocities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import read as ase_read
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE

from ...errors import ConfigError, DataError, EngineError
from ...inference.potential import Potential
from ...neighbors.search import find_pairs
from ..ase import MultifitCalculator
from ._dynamics import degrees_of_freedom, rests
from ._observables import temperature
from ._settings import Settings

#: Å; closer atoms are a mistake: the shortest bond, of H2, has 0.74.
CLOSEST = 0.5

#: Largest force after minimization in eV/Å, and the maximum number of steps.
FORCE, MINIMIZATION = 0.05, 1000


def load(
    potential: Potential,
    path: Path,
    settings: Settings,
    *,
    fparam: Sequence[float] | None = None,
    aparam: np.ndarray | None = None,
) -> Any:
    """Return the last structure of a file as ``ase.Atoms`` with the model as calculator.

    Raises
    ------
    DataError, ConfigError
        If the file, the structure or the parameters do not fit the model.
    """
    _check_model(potential, fparam, aparam)
    atoms = _read(path)
    try:
        potential.type_indices(atoms.get_chemical_symbols())
    except DataError as exc:
        raise DataError(f"{path}: {exc}") from exc
    if settings.ensemble == "npt":
        if not (atoms.pbc.all() and atoms.cell.rank == 3):
            raise ConfigError(f"{path} is not periodic in three directions, as npt needs; use nvt")
        if atoms.constraints:
            raise ConfigError(f"{path} has constraints, which npt does not support; use nvt")
    _check_positions(atoms, path)
    atoms.calc = MultifitCalculator(potential, skin=settings.skin, fparam=fparam, aparam=aparam)
    if degrees_of_freedom(atoms, settings) < 1:
        raise DataError(f"{path}: no atom can move; remove constraints")
    return atoms


def _read(path: Path) -> Any:
    """Return the last structure of a file, without a calculator."""
    if not path.is_file():
        raise DataError(f"{path} does not exist; check the name of the structure file")
    try:
        atoms = ase_read(path, index=-1)
    except Exception as exc:  # readers of a hundred formats raise anything
        raise DataError(
            f"{path} cannot be read by ASE ({type(exc).__name__}: {exc}); give a structure such as "
            "an xyz, cif or POSCAR file"
        ) from exc
    if not len(atoms):
        raise DataError(f"{path} has no atoms; give a structure")
    atoms.calc = None
    return atoms


def _check_model(
    potential: Potential, fparam: Sequence[float] | None, aparam: np.ndarray | None
) -> None:
    """Raise if the model has no forces, or lacks parameters."""
    model = potential.model
    if "force" not in model.output.variables:
        raise ConfigError(
            f"the model predicts {model.output.plural}, but dynamics needs forces; use "
            "an energy model"
        )
    fitting = model.fitting
    needs = {
        "fparam": (fparam, 0 if fitting.default_fparam is not None else fitting.numb_fparam),
        "aparam": (aparam, fitting.numb_aparam),
    }
    for name, (given, number) in needs.items():
        if given is None and number:
            raise ConfigError(f"the model needs {name}, {number} numbers; give --{name}")


def _check_positions(atoms: Any, path: Path) -> None:
    """Raise for positions that are not finite, and for atoms at the same place."""
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if bad.size:
        raise DataError(f"{path}: the position of atom {bad[0]} is not finite; correct the file")
    cell = atoms.cell.complete().array if atoms.pbc.any() else None
    pairs = find_pairs(atoms.positions, cell, atoms.pbc, CLOSEST)
    if len(pairs.i):
        k = int(np.argmin(pairs.distance))
        raise DataError(
            f"{path}: atoms {pairs.i[k]} and {pairs.j[k]} are only {pairs.distance[k]:.3f} Å "
            "apart; move them apart, or check the cell"
        )


def minimized(atoms: Any) -> int:
    """Move the atoms to a minimum of the energy, and return the number of steps.

    Raises
    ------
    EngineError
        If the energy is not finite.
    """
    optimizer = FIRE(atoms, logfile=None)
    optimizer.run(fmax=FORCE, steps=MINIMIZATION)
    if not np.isfinite(atoms.get_potential_energy()):
        raise EngineError("the minimization failed: the energy is not finite; check the structure")
    return int(optimizer.nsteps)


def set_velocities(
    atoms: Any, settings: Settings, rng: np.random.Generator, draw: bool = False
) -> None:
    """Draw velocities at the temperature, unless the structure has some.

    Parameters
    ----------
    draw
        True to draw them in any case.
    """
    given = atoms.has("momenta") and bool(np.abs(atoms.get_momenta()).max(initial=0.0) > 0)
    if given and not np.isfinite(atoms.get_momenta()).all():
        raise DataError("the structure has velocities that are not finite; correct the file")
    if draw or not given:
        MaxwellBoltzmannDistribution(atoms, temperature_K=settings.temperature, rng=rng)
    if rests(atoms, settings):
        velocities = atoms.get_velocities()
        mass = atoms.get_masses()[:, None]
        atoms.set_velocities(velocities - (mass * velocities).sum(axis=0) / mass.sum())
    if draw or not given:
        now = temperature(atoms.get_kinetic_energy(), degrees_of_freedom(atoms, settings))
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(settings.temperature / now))
