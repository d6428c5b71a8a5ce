"""The settings of the loss of densities of states, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from . import _checks as check
from ._rules import DOS_RULES, has
from ._terms import DOS_TERMS, LABELS, Kind, Table

#: The middle of the metrics' names: what a term is of.
_METRICS = {
    "dos": "global_dos",
    "cdf": "global_cdf",
    "ados": "local_dos",
    "acdf": "local_cdf",
}


@dataclass(frozen=True)
class DosLossConfig:
    """The settings of the loss of densities of states, under the names of ``input.json``.

    The defaults are those of DeePMD-kit's class; ``input.json`` has others.
    """

    starter_learning_rate: float
    numb_dos: int
    start_pref_dos: float = 1.0
    limit_pref_dos: float = 1.0
    start_pref_cdf: float = 1000.0
    limit_pref_cdf: float = 1.0
    start_pref_ados: float = 0.0
    limit_pref_ados: float = 0.0
    start_pref_acdf: float = 0.0
    limit_pref_acdf: float = 0.0
    loss_func: str = "mse"
    use_huber: bool = False
    huber_delta: float = 0.01
    shift_agnostic: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and combinations in which an option would be ignored."""
        prefactors = [f"{when}_pref_{term}" for term in DOS_TERMS for when in ("start", "limit")]
        check.require_loss_func(self)
        check.require_integers(self, ("numb_dos", "shift_agnostic"))
        check.require_above_zero(self, ("starter_learning_rate", "numb_dos", "huber_delta"))
        check.require_not_negative(self, (*prefactors, "shift_agnostic"))
        check.require_flags(self, ("use_huber",))
        if self.shift_agnostic >= self.numb_dos:
            raise ConfigError(
                f"shift_agnostic is {self.shift_agnostic}, but must be below numb_dos, which is "
                f"{self.numb_dos}: a shift must leave grid points to compare"
            )
        check.require_rules(self, DOS_RULES)

    @property
    def table(self) -> Table:
        """The terms that there are."""
        return DOS_TERMS

    def prefactors(self, term: str) -> tuple[float, float]:
        """Return the prefactor at the start and its limit."""
        return getattr(self, f"start_pref_{term}"), getattr(self, f"limit_pref_{term}")

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms that count: their prefactor is not zero at the start, or not in the limit."""
        return tuple(term for term in DOS_TERMS if has(self, term))

    def needs(self, term: str) -> tuple[str, ...]:
        """Return the labels without which a term is off."""
        return (DOS_TERMS[term].label,)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that the terms make use of."""
        return tuple(dict.fromkeys(DOS_TERMS[term].label for term in self.terms))

    def prediction(self, term: str) -> str:
        """Return the key of the prediction that a term is computed from."""
        return DOS_TERMS[term].prediction

    @property
    def needs_forces(self) -> bool:
        """Whether a term needs a derivative: none does."""
        return False

    @property
    def needs_hessian(self) -> bool:
        """Whether a term needs a second derivative: none does."""
        return False

    @property
    def coefficients(self) -> bool:
        """Whether what atoms give has coefficients before it is summed: it has none."""
        return False

    def title(self, term: str) -> str:
        """Return what a term fits, in words."""
        return DOS_TERMS[term].title

    def kind(self, label: str) -> Kind:
        """Return what a label is like."""
        return LABELS[label]

    def axes(self, label: str, natoms: int) -> tuple[int, ...]:
        """Return the shape of one atom's or frame's numbers of a label."""
        return LABELS[label].axes(natoms, numb_dos=self.numb_dos)

    def metric(self, term: str) -> str:
        """Return the key of a term's error."""
        return f"{'mae' if self.loss_func == 'mae' else 'rmse'}_{_METRICS[term]}"

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The keys of the metrics, in the order of the columns of ``lcurve.out``."""
        return tuple(sorted(["rmse", *(self.metric(term) for term in self.terms)]))
