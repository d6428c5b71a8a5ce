"""The settings of the energy loss, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..errors import ConfigError
from . import _checks as check
from ._rules import ENERGY_RULES, has
from ._terms import ENERGY_TERMS, LABELS, Kind, Table

#: Options that must be above zero, and those that must not be below.
_ABOVE_ZERO = ("starter_learning_rate", "relative_f")
_NOT_NEGATIVE = (
    *(f"{when}_pref_{term}" for term in ENERGY_TERMS for when in ("start", "limit")),
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
        check.require_loss_func(self)
        check.require_above_zero(self, _ABOVE_ZERO)
        check.require_not_negative(self, _NOT_NEGATIVE)
        check.require_integers(self, ("numb_generalized_coord",))
        check.require_flags(self, _FLAGS)
        if not all(check.in_range(delta, False) for delta in self.huber_delta):
            raise ConfigError(f"huber_delta must be > 0, but is {list(self.huber_delta)}")
        check.require_rules(self, ENERGY_RULES)

    @property
    def table(self) -> Table:
        """The terms that there are."""
        return ENERGY_TERMS

    def prefactors(self, term: str) -> tuple[float, float]:
        """Return the prefactor at the start and its limit."""
        return getattr(self, f"start_pref_{term}"), getattr(self, f"limit_pref_{term}")

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms that count: their prefactor is not zero at the start, or not in the limit."""
        return tuple(term for term in ENERGY_TERMS if has(self, term))

    def needs(self, term: str) -> tuple[str, ...]:
        """Return the labels without which a term is off."""
        more = () if term == "pf" and self.use_default_pf else ENERGY_TERMS[term].more
        return (ENERGY_TERMS[term].label, *more)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that the terms make use of, those that have a default included."""
        terms = [ENERGY_TERMS[term] for term in self.terms]
        found = [key for term in terms for key in (term.label, *term.more)]
        coefficients = ["atom_ener_coeff"] if self.enable_atom_ener_coeff else []
        return tuple(dict.fromkeys(found + coefficients))

    def prediction(self, term: str) -> str:
        """Return the key of the prediction that a term is computed from."""
        if term == "e" and self.enable_atom_ener_coeff:
            return "atom_energy"
        return ENERGY_TERMS[term].prediction

    @property
    def needs_forces(self) -> bool:
        """Whether a term needs the derivative of the energy."""
        needed = {self.prediction(term) for term in self.terms}
        return bool(needed & {"force", "virial", "hessian"})

    @property
    def needs_hessian(self) -> bool:
        """Whether a term needs the second derivative of the energy."""
        return "h" in self.terms

    @property
    def coefficients(self) -> bool:
        """Whether atomic energies have coefficients before they are summed."""
        return self.enable_atom_ener_coeff

    def title(self, term: str) -> str:
        """Return what a term fits, in words."""
        return ENERGY_TERMS[term].title

    def kind(self, label: str) -> Kind:
        """Return what a label is like."""
        return LABELS[label]

    def axes(self, label: str, natoms: int) -> tuple[int, ...]:
        """Return the shape of one atom's or frame's numbers of a label."""
        return LABELS[label].axes(natoms, generalized=self.numb_generalized_coord)

    def metric(self, term: str) -> str:
        """Return the key of a term's error; generalized forces have squared errors only."""
        return f"mae_{term}" if self.loss_func == "mae" and term != "gf" else f"rmse_{term}"

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The keys of the metrics, in the order of the columns of ``lcurve.out``."""
        names = ["rmse", *(self.metric(term) for term in self.terms)]
        if self.loss_func == "mae" and "e" in self.terms:
            names.append("mae_e_all")
        return tuple(sorted(names))
