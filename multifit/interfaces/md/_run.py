"""The loop over steps: rows, states, and reasons to stop."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ConfigError, DataError, EngineError
from ...models import to_content
from ...tree import Tree, flatten, map_leaves
from ..ase import MultifitCalculator
from . import _dynamics
from ._files import Files
from ._observables import observables, temperature
from ._settings import Settings
from ._start import minimized, set_velocities

#: Settings that may change at a restart: they do not change the trajectory.
FREE = ("steps", "max_temperature", "skin")


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes
    ----------
    first, last
        The steps at which this part of the run began and ended.
    finished
        True if it has all steps.
    seconds
        Wall time of the steps.
    minimized
        Steps of the minimization; 0 without.
    """

    first: int
    last: int
    finished: bool
    seconds: float
    minimized: int = 0


@dataclass
class _Run:
    """A run under way."""

    atoms: Any
    settings: Settings
    files: Files
    dynamics: Any
    rng: np.random.Generator
    step: int
    saved: int = -1

    def __post_init__(self) -> None:
        self.free = _dynamics.degrees_of_freedom(self.atoms, self.settings)
        self.forces = _forces_of(self.atoms)

    def record(self) -> None:
        """Write a frame and a row of the log."""
        when = self.step * self.settings.timestep
        self.files.add(self.atoms, observables(self.atoms, self.step, when, self.free))

    def save(self) -> None:
        """Save the state."""
        atoms = self.atoms
        self.files.save(
            {
                "step": self.step,
                "settings": dataclasses.asdict(self.settings),
                "symbols": atoms.get_chemical_symbols(),
                "forces": self.forces,
                "@variables": {
                    "positions": atoms.get_positions(),
                    "momenta": atoms.get_momenta(),
                    "cell": atoms.cell.array.copy(),
                },
                "dynamics": _dynamics.state_of(self.dynamics, self.rng),
            }
        )
        self.saved = self.step

    def advance(self) -> None:
        """Make one step.

        Raises
        ------
        EngineError
            If positions, energies or velocities are no longer those of a system.
        """
        try:
            with np.errstate(all="ignore"):  # of numbers that overflow, the next lines report
                self.dynamics.step()
                energy = float(self.atoms.get_potential_energy())
                hot = temperature(float(self.atoms.get_kinetic_energy()), self.free)
        except (DataError, FloatingPointError, np.linalg.LinAlgError) as exc:
            raise self._lost(str(exc)) from exc
        self.step += 1
        if not (np.isfinite(energy) and np.isfinite(hot)):
            raise self._lost("the energy is not finite", 0)
        if hot > self.settings.limit:
            raise self._lost(
                f"its temperature of {hot:.0f} K exceeds {self.settings.limit:.0f} K", 0
            )

    def _lost(self, reason: str, ahead: int = 1) -> EngineError:
        return EngineError(
            f"the simulation fails at step {self.step + ahead}: {reason}; the files are kept up to "
            f"step {self.saved}: use a smaller timestep or minimize first, or the model does not "
            "know such structures"
        )


def simulate(
    atoms: Any,
    settings: Settings,
    files: Files,
    *,
    minimize: bool = False,
    draw: bool = False,
    restart: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    watch: Callable[[int, float], None] = lambda step, kelvin: None,
) -> Outcome:
    """Run dynamics, and return how it ended.

    Parameters
    ----------
    atoms
        ``ase.Atoms`` with a calculator, as from :func:`load`.
    minimize
        True to minimize the energy first.
    draw
        True to draw velocities even if the structure has some.
    restart
        True to continue the run of these files.
    stopped
        Called before each step; if True, the state is saved and the run ends.
    watch
        Called after each step with its number and the temperature in K.

    Raises
    ------
    EngineError
        If the simulation fails (at which step).
    DataError, ConfigError
        If the files cannot be written, or do not belong to this run.
    """
    rng = np.random.default_rng(settings.seed)
    steps = 0
    if restart:
        run = _resumed(atoms, settings, files, rng)
    else:
        steps = minimized(atoms) if minimize else 0
        set_velocities(atoms, settings, rng, draw)
        if not np.isfinite(atoms.get_potential_energy()):
            raise EngineError("the energy of the structure is not finite; check it and the model")
        made = _dynamics.integrator(atoms, settings, rng)
        run = _Run(atoms, settings, files, made, rng, 0)
        files.begin()
    atoms.get_forces()  # compiled before the time is taken
    first, began = run.step, time.monotonic()
    try:
        if not restart:
            run.record()
            run.save()
        _loop(run, stopped, watch)
    finally:
        files.close()
    seconds = time.monotonic() - began
    return Outcome(first, run.step, run.step >= settings.steps, seconds, steps)


def _loop(run: _Run, stopped: Callable[[], bool], watch: Callable[[int, float], None]) -> None:
    """Make steps until the last one, or until the run is stopped."""
    settings = run.settings
    while run.step < settings.steps and not stopped():
        run.advance()
        if run.step % settings.interval == 0:
            run.record()
            run.save()
        watch(run.step, temperature(float(run.atoms.get_kinetic_energy()), run.free))
    if run.saved != run.step:
        run.save()


def _resumed(atoms: Any, settings: Settings, files: Files, rng: np.random.Generator) -> _Run:
    """Return the run of a saved state."""
    state = files.read_state()
    _check_same(state, settings, atoms, files)
    arrays = state["@variables"]
    atoms.set_cell(arrays["cell"])
    atoms.set_positions(arrays["positions"], apply_constraint=False)
    atoms.set_momenta(arrays["momenta"], apply_constraint=False)
    made = _dynamics.integrator(atoms, settings, rng)
    _dynamics.restore(made, rng, state["dynamics"])
    files.resume(state["sizes"])
    step = int(state["step"])
    return _Run(atoms, settings, files, made, rng, step, step)


def _forces_of(atoms: Any) -> dict[str, str]:
    """Return what the forces depend on besides positions: its name → its fingerprint."""
    calculator = atoms.calc
    if not isinstance(calculator, MultifitCalculator):
        return {}  # another one of ASE, of which nothing is known
    parameters = {
        name: [] if given is None else np.asarray(given, dtype=np.float64).tolist()
        for name in ("fparam", "aparam")
        for given in [calculator.parameters[name]]
    }
    potential = calculator.potential
    content = to_content(potential.model, map_leaves(potential.backend.to_numpy, potential.params))
    parts = {"model": content, **parameters}
    return {name: _fingerprint(part) for name, part in parts.items()}


def _fingerprint(value: Any) -> str:
    """Return a short text that is the same for the same numbers and settings."""
    digest = hashlib.sha256()
    for name, x in sorted(flatten({"": value}).items()):
        array = isinstance(x, np.ndarray)
        text = f"{x.dtype.str}{x.shape}" if array else repr(x)
        digest.update(f"{name}={text};".encode())
        digest.update(np.ascontiguousarray(x).data if array else b"")
    return digest.hexdigest()[:32]


def _check_same(state: Tree, settings: Settings, atoms: Any, files: Files) -> None:
    """Raise if a state is of other atoms or settings."""
    if list(state["symbols"]) != atoms.get_chemical_symbols():
        raise DataError(f"{files.state} is of other atoms; give the structure of that run")
    forces = state.get("forces")  # states of the first version have none
    changed = [key for key, now in _forces_of(atoms).items() if forces and forces.get(key) != now]
    if changed:
        raise ConfigError(
            f"{files.state} was saved with another {' and another '.join(changed)}; continue with "
            "the same, or start a new run from the last frame of the trajectory"
        )
    for key, now in dataclasses.asdict(settings).items():
        before = state["settings"].get(key)
        if key not in FREE and before != now:
            raise ConfigError(
                f"{files.state} was saved with {key} = {before}, not {now}; continue with the same "
                "settings, or start a new run from the last frame of the trajectory"
            )
