"""The start of a run: the structure, minimization and velocities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.optimize import FIRE

from ...errors import ConfigError, DataError, EngineError
from ...inference.potential import Potential
from .._structure import load_structure
from ._dynamics import degrees_of_freedom, rests
from ._observables import temperature
from ._settings import Settings

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
        If the file, the structure or the parameters do not fit the model or the ensemble.
    """
    atoms = load_structure(potential, path, skin=settings.skin, fparam=fparam, aparam=aparam)
    if settings.ensemble == "npt":
        if not (atoms.pbc.all() and atoms.cell.rank == 3):
            raise ConfigError(f"{path} is not periodic in three directions, as npt needs; use nvt")
        if atoms.constraints:
            raise ConfigError(f"{path} has constraints, which npt does not support; use nvt")
    if degrees_of_freedom(atoms, settings) < 1:
        raise DataError(f"{path}: no atom can move; remove constraints")
    return atoms


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
        # Only the direction in the space of momenta counts: they are scaled below.
        mass = atoms.get_masses()[:, None]
        atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * np.sqrt(mass))
    if rests(atoms, settings):
        velocities = atoms.get_velocities()
        mass = atoms.get_masses()[:, None]
        atoms.set_velocities(velocities - (mass * velocities).sum(axis=0) / mass.sum())
    if draw or not given:
        now = temperature(atoms.get_kinetic_energy(), degrees_of_freedom(atoms, settings))
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(settings.temperature / now))
