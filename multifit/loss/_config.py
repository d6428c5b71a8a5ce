"""The settings of the energy loss, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..errors import ConfigError
from ._rules import broken, has
from ._terms import TERMS

#: Options that must be above zero, and those that must not be below.
_ABOVE_ZERO = ("starter_learning_rate", "relative_f")
_NOT_NEGATIVE = (
    *(f"{when}_pref_{term}" for term in TERMS for when in ("start", "limit")),
    "numb_generalized_coord",
)
_FLAGS = (
    "enable_atom_ener_coeff",
    "use_huber",
    "f_use_norm",
    "use_default_pf",
    "intensive_ener_virial",
)


def huber_deltas(delta: float | Sequence[float]) -> tuple[float, float, float]:
    """Return [energy, force, virial] from one number or three.

    Raises
    ------
    ConfigError
        For anything else.
    """
    if isinstance(delta, Real):
        return (float(delta),) * 3
    if isinstance(delta, str) or not isinstance(delta, Sequence | np.ndarray):
        raise ConfigError(
            f"huber_delta must be a number or [energy, force, virial], but is {delta!r}"
        )
    if len(delta) != 3:
        raise ConfigError(
            f"huber_delta must be a number or [energy, force, virial], but has {len(delta)} numbers"
        )
    for number in delta:
        if not isinstance(number, Real):
            raise ConfigError(f"huber_delta must hold three numbers, but has {number!r}")
    e, f, v = delta
    return float(e), float(f), float(v)


@dataclass(frozen=True)
class EnergyLossConfig:
    """The settings of the energy loss, under the names of ``input.json``."""

    starter_learning_rate: float
    start_pref_e: float = 0.02
    limit_pref_e: float = 1.0
    start_pref_f: float = 1000.0
    limit_pref_f: float = 1.0
    start_pref_v: float = 0.0
    limit_pref_v: float = 0.0
    start_pref_ae: float = 0.0
    limit_pref_ae: float = 0.0
    start_pref_pf: float = 0.0
    limit_pref_pf: float = 0.0
    relative_f: float | None = None
    enable_atom_ener_coeff: bool = False
    start_pref_gf: float = 0.0
    limit_pref_gf: float = 0.0
    numb_generalized_coord: int = 0
    start_pref_h: float = 0.0
    limit_pref_h: float = 0.0
    use_huber: bool = False
    huber_delta: tuple[float, float, float] = (0.01, 0.01, 0.01)
    loss_func: str = "mse"
    f_use_norm: bool = False
    use_default_pf: bool = False
    intensive_ener_virial: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and combinations in which an option would be ignored."""
        if self.loss_func not in ("mse", "mae"):
            raise ConfigError(f"loss_func must be 'mse' or 'mae', but is {self.loss_func!r}")
        for names, least, words in ((_ABOVE_ZERO, False, "> 0"), (_NOT_NEGATIVE, True, "≥ 0")):
            for name in names:
                value = getattr(self, name)
                if value is not None and not _in_range(value, least):
                    raise ConfigError(f"{name} must be a number {words}, but is {value!r}")
        if not isinstance(self.numb_generalized_coord, Integral):
            raise ConfigError(
                f"numb_generalized_coord must be an integer, but is {self.numb_generalized_coord!r}"
            )
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ConfigError(f"{name} must be True or False, but is {getattr(self, name)!r}")
        if not all(_in_range(delta, False) for delta in self.huber_delta):
            raise ConfigError(f"huber_delta must be > 0, but is {list(self.huber_delta)}")
        rule = broken(self)
        if rule is not None:
            raise ConfigError(f"{rule.key or 'the loss'} {rule.says(self)}")

    def prefactors(self, term: str) -> tuple[float, float]:
        """Return the prefactor at the start and its limit."""
        return getattr(self, f"start_pref_{term}"), getattr(self, f"limit_pref_{term}")

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms that count: their prefactor is not zero at the start, or not in the limit."""
        return tuple(term for term in TERMS if has(self, term))

    def needs(self, term: str) -> tuple[str, ...]:
        """Return the labels without which a term is off."""
        more = () if term == "pf" and self.use_default_pf else TERMS[term].more
        return (TERMS[term].label, *more)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that the terms make use of, those that have a default included."""
        found = [key for term in self.terms for key in (TERMS[term].label, *TERMS[term].more)]
        coefficients = ["atom_ener_coeff"] if self.enable_atom_ener_coeff else []
        return tuple(dict.fromkeys(found + coefficients))

    def prediction(self, term: str) -> str:
        """Return the key of the prediction that a term is computed from."""
        if term == "e" and self.enable_atom_ener_coeff:
            return "atom_energy"
        return TERMS[term].prediction

    @property
    def needs_forces(self) -> bool:
        """Whether a term needs the derivative of the energy."""
        needed = {self.prediction(term) for term in self.terms}
        return bool(needed & {"force", "virial", "hessian"})

    @property
    def needs_hessian(self) -> bool:
        """Whether a term needs the second derivative of the energy."""
        return "h" in self.terms


def _in_range(value: Any, least: bool) -> bool:
    """Return whether a value is a finite number above zero, or with ``least`` not below."""
    if not isinstance(value, Real):
        return False
    number = float(value)
    return math.isfinite(number) and (number >= 0 if least else number > 0)


def metric_names(config: EnergyLossConfig) -> tuple[str, ...]:
    """Return the keys of the metrics, in the order of the columns of ``lcurve.out``."""
    names = ["rmse", *(metric_name(config, term) for term in config.terms)]
    if config.loss_func == "mae" and "e" in config.terms:
        names.append("mae_e_all")
    return tuple(sorted(names))


def metric_name(config: EnergyLossConfig, term: str) -> str:
    """Return the key of a term's error; generalized forces have squared errors only."""
    return f"mae_{term}" if config.loss_func == "mae" and term != "gf" else f"rmse_{term}"
