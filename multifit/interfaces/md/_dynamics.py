"""The integrators of ASE, their degrees of freedom and their state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import units
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT
from ase.md.verlet import VelocityVerlet

from ...errors import EngineError
from ...tree import Tree
from ._settings import Settings


def degrees_of_freedom(atoms: Any, settings: Settings) -> int:
    """Return the number of degrees of freedom that have a temperature.

    The centre of mass rests, so that its three are not counted, except in Langevin dynamics, where
    it diffuses, and with constraints, which hold it in their own way.
    """
    free = int(atoms.get_number_of_degrees_of_freedom())
    return free - 3 * rests(atoms, settings)


def rests(atoms: Any, settings: Settings) -> bool:
    """Return True if the total momentum is zero, and stays so."""
    return settings.friction is None and not atoms.constraints and len(atoms) > 1


def integrator(atoms: Any, settings: Settings, rng: np.random.Generator) -> Any:
    """Return the integrator of an ensemble, which moves the atoms by its ``step()``."""
    step, kelvin = settings.timestep * units.fs, settings.temperature
    if settings.ensemble == "nve":
        return VelocityVerlet(atoms, step)
    free = degrees_of_freedom(atoms, settings)
    if settings.ensemble == "npt":
        kind = IsotropicMTKNPT if settings.cell == "isotropic" else MTKNPT
        return kind(
            atoms,
            step,
            # ASE counts the degrees of freedom of the centre of mass, whose share goes to the rest.
            temperature_K=kelvin * free / (3 * len(atoms)),
            pressure_au=settings.pressure * units.bar,
            tdamp=settings.tau_t * units.fs,
            pdamp=settings.tau_p * units.fs,
        )
    if settings.friction is not None:
        friction = settings.friction / (1000 * units.fs)
        return Langevin(atoms, step, temperature_K=kelvin, friction=friction, fixcm=False, rng=rng)
    made = Bussi(atoms, step, temperature_K=kelvin, taut=settings.tau_t * units.fs, rng=rng)
    made.ndof = free
    made.target_kinetic_energy = 0.5 * made.temp * free
    return made


def _numbers(owner: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield the name, the owner and the attribute of each number or array of an integrator."""
    for name, value in vars(owner).items():
        if isinstance(value, int | float | np.number | np.ndarray) and not isinstance(value, bool):
            if np.asarray(value).dtype.kind in "iuf":
                yield prefix + name, owner, name
        elif type(value).__module__.startswith("ase.md."):
            yield from _numbers(value, f"{prefix}{name}.")


def state_of(dynamics: Any, rng: np.random.Generator) -> Tree:
    """Return the numbers of an integrator and of its thermostats, and of the random generator."""
    numbers = {key: np.array(getattr(owner, name)) for key, owner, name in _numbers(dynamics)}
    return {"generator": json.dumps(rng.bit_generator.state), "@variables": numbers}


def restore(dynamics: Any, rng: np.random.Generator, state: Tree) -> None:
    """Give a new integrator the state of an old one.

    Raises
    ------
    EngineError
        If it is the state of another kind of integrator.
    """
    numbers = state["@variables"]
    places = {key: (owner, name) for key, owner, name in _numbers(dynamics)}
    # A state may hold more: arrays that an integrator makes anew in each step.
    lacking = sorted(places.keys() - numbers.keys())
    if lacking:
        raise EngineError(
            f"the saved state is not of this version of ASE ({lacking[0]} is missing); start a new "
            "run from the last frame of the trajectory"
        )
    for key, (owner, name) in places.items():
        old, value = getattr(owner, name), numbers[key]
        setattr(owner, name, value if isinstance(old, np.ndarray) else type(old)(value))
    rng.bit_generator.state = json.loads(state["generator"])
