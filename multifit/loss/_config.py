"""The settings and methods common to all losses."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..data import weights_of
from ._terms import LABELS, LossLabel, Table, has


@dataclass(frozen=True)
class LossConfig:
    """The settings of a loss, under the names of ``input.json``.

    A loss adds its own options, among them a pair of prefactors for each term of its table.
    ``frame_weights`` are those of the labels :data:`multifit.data.WEIGHTS` that the data have.
    """

    starter_learning_rate: float
    loss_func: str = field(default="mse", kw_only=True)
    use_huber: bool = field(default=False, kw_only=True)
    frame_weights: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def table(self) -> Table:
        """All terms of the loss."""
        raise NotImplementedError

    def prefactors(self, term: str) -> tuple[float, float]:
        """Return the prefactor at the start and its limit."""
        return getattr(self, f"start_pref_{term}"), getattr(self, f"limit_pref_{term}")

    @property
    def terms(self) -> tuple[str, ...]:
        """The active terms: their prefactor is not 0 at the start, or not in the limit."""
        return tuple(term for term in self.table if has(self, term))

    def title(self, term: str) -> str:
        """Return the name of the quantity of a term."""
        return self.table[term].title

    def needs(self, term: str) -> tuple[str, ...]:
        """Return the labels without which a term is off."""
        row = self.table[term]
        return (row.label,) if self._is_on(row.default_option) else (row.label, *row.more)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of all active terms, including those with a default."""
        rows = [self.table[term] for term in self.terms]
        found = [key for row in rows for key in (row.label, *row.more)]
        found += [row.coefficients for row in rows if self._is_on(row.per_atom_option)]
        found += [key for row in rows for key in self.weights(row.label)]
        return tuple(dict.fromkeys(found))

    def weights(self, label: str) -> tuple[str, ...]:
        """Return the keys of the weights that multiply the errors of each frame of a label."""
        return tuple(key for key in weights_of(label) if key in self.frame_weights)

    def prediction(self, term: str) -> str:
        """Return the key of the prediction that a term is computed from."""
        row = self.table[term]
        return row.atomic if self._is_on(row.per_atom_option) else row.prediction

    @property
    def needs_forces(self) -> bool:
        """True if a term needs the derivative of the energy."""
        return bool({"force", "virial", "hessian"} & set(map(self.prediction, self.terms)))

    @property
    def needs_hessian(self) -> bool:
        """True if a term needs the second derivative of the energy."""
        return "hessian" in map(self.prediction, self.terms)

    @property
    def coefficients(self) -> bool:
        """True if atomic predictions have coefficients before they are summed."""
        return any(self._is_on(row.per_atom_option) for row in self.table.values())

    def kind(self, label: str) -> LossLabel:
        """Return the row of a label."""
        return LABELS[label]

    def axes(self, label: str, natoms: int) -> tuple[int, ...]:
        """Return the shape of a label for one atom or frame."""
        sizes = [getattr(self, name, 0) for name in ("numb_generalized_coord", "numb_dos")]
        return LABELS[label].axes(natoms, *sizes)

    def metric(self, term: str) -> str:
        """Return the key of a term's error."""
        row = self.table[term]
        absolute = self.loss_func == "mae" and not row.squared
        return f"{'mae' if absolute else 'rmse'}_{row.metric}"

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The keys of the metrics, in the order of the columns of ``lcurve.out``."""
        names = ["rmse", *map(self.metric, self.terms)]
        if self.loss_func == "mae":
            totals = (self.table[term].total_metric for term in self.terms)
            names += [f"mae_{total}" for total in totals if total]
        return tuple(sorted(names))

    def _is_on(self, option: str) -> bool:
        return bool(option) and bool(getattr(self, option))
