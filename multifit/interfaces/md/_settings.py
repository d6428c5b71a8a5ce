"""The settings of a simulation, with their ranges and relations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from ...errors import ConfigError

ENSEMBLES = ("nve", "nvt", "npt")
CELLS = ("isotropic", "full")

#: Settings that have an effect in some ensembles only.
IDLE = {"pressure": ("npt",), "tau_p": ("npt",), "tau_t": ("nvt", "npt")}

#: The default of ``max_temperature``: so many times the temperature, and at least so many K.
HOT, HOT_K = 10.0, 5000.0

#: Settings that must be > 0, and those that must be ≥ 0.
POSITIVE = ("timestep", "tau_t", "tau_p", "max_temperature", "friction", "interval", "temperature")
NOT_NEGATIVE = ("skin", "steps", "seed")


@dataclass(frozen=True)
class Settings:
    """Settings of a simulation.

    Attributes
    ----------
    ensemble
        ``nve``: velocity Verlet. ``nvt``: stochastic velocity rescaling (Bussi, Donadio and
        Parrinello 2007), or with ``friction`` Langevin dynamics. ``npt``: the equations of Martyna,
        Tobias and Klein with chains of Nosé-Hoover thermostats.
    temperature
        Of thermostats and initial velocities, K.
    pressure
        Of ``npt``, bar.
    cell
        With ``npt``: ``isotropic`` to keep its shape, ``full`` to let it change.
    timestep
        fs.
    steps
        Number of steps of the whole run, including those before a restart.
    interval
        Steps between two rows of the log and two frames of the trajectory.
    tau_t, tau_p
        Time constants of thermostat and barostat, fs.
    friction
        Of Langevin dynamics, 1/ps.
    seed
        Of initial velocities and thermostats.
    skin
        Å by which neighbour lists extend beyond the cutoff.
    max_temperature
        K; the run is stopped above. By default ten times the temperature and at least 5000 K.
    """

    ensemble: str = "nvt"
    temperature: float = 300.0
    pressure: float = 1.0
    cell: str = "isotropic"
    timestep: float = 0.5
    steps: int = 1000
    interval: int = 10
    tau_t: float = 100.0
    tau_p: float = 1000.0
    friction: float | None = None
    seed: int = 1
    skin: float = 1.0
    max_temperature: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for values out of range, or that do not fit together."""
        for name, known in (("ensemble", ENSEMBLES), ("cell", CELLS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(known)}"
                )
        for name in (*POSITIVE, *NOT_NEGATIVE, "pressure"):
            value = getattr(self, name)
            if value is None:
                continue
            if not math.isfinite(value):
                raise ConfigError(f"{name} is {value}; give a finite number")
            if (name in POSITIVE and value <= 0) or (name in NOT_NEGATIVE and value < 0):
                sign = ">" if name in POSITIVE else "≥"
                raise ConfigError(f"{name} is {value}, but must be {sign} 0")
        if self.friction is not None and self.ensemble != "nvt":
            raise ConfigError(
                "friction is for the ensemble nvt, which then uses Langevin dynamics; leave it out "
                f"for {self.ensemble}"
            )
        if self.cell != "isotropic" and self.ensemble != "npt":
            raise ConfigError(f"the cell only changes in the ensemble npt, not in {self.ensemble}")
        defaults = {each.name: each.default for each in fields(self)}
        self.require_used([key for key in IDLE if getattr(self, key) != defaults[key]])

    def require_used(self, given: Iterable[str]) -> None:
        """Raise ConfigError if one of the given settings has no effect in the ensemble.

        Parameters
        ----------
        given
            Names of settings.
        """
        for name in given:
            if self.ensemble not in IDLE.get(name, ENSEMBLES):
                kept = " and ".join(IDLE[name])
                raise ConfigError(
                    f"{name} has no effect in the ensemble {self.ensemble}, but only in {kept}; "
                    "leave it out, or choose another ensemble"
                )
            if name == "tau_t" and self.friction is not None:
                raise ConfigError(
                    "tau_t has no effect beside friction, which selects Langevin dynamics; leave "
                    "out one of them"
                )

    @property
    def limit(self) -> float:
        """The temperature above which the run is stopped, K."""
        if self.max_temperature is not None:
            return self.max_temperature
        return max(HOT * self.temperature, HOT_K)
