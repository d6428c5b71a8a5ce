"""Reductions: masked means over frames and atoms, and the weighted sum of the terms."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..backend import Backend
from ..batching.batch import BatchAtoms
from ._config import LossConfig

Array = Any

#: A loss, a 0-d array, and its metrics.
Result = tuple[Array, dict[str, Array]]


@dataclass(frozen=True)
class Reduction:
    """Sums and means over the real atoms and the frames of a batch; padding does not count."""

    backend: Backend
    atoms: BatchAtoms

    @property
    def xp(self) -> Any:
        """The namespace."""
        return self.backend.xp

    @property
    def natoms(self) -> Array:
        """Real atoms of each frame, 1 for a padding frame, (nframes,)."""
        return self.xp.maximum(self.atoms.natoms, self.xp.ones_like(self.atoms.natoms))

    @property
    def _frame_mask(self) -> Array:
        """1 for a frame with atoms and 0 for a padding frame, (nframes,)."""
        if self.atoms.present is not None:
            return self.atoms.present
        return self.xp.astype(self.atoms.natoms > 0.0, self.atoms.natoms.dtype)

    @property
    def mean_natoms(self) -> Array:
        """The mean number of real atoms of a frame, 0-d."""
        return self.xp.sum(self.atoms.natoms) / self.xp.sum(self._frame_mask)

    def over_frames(self, x: Array) -> Array:
        """Return the mean over frames and components of x (nframes, …), 0 in padding frames."""
        size = math.prod(x.shape[1:])
        return self.xp.sum(x) / (self.xp.sum(self._frame_mask) * float(size))

    def over_atoms(self, x: Array) -> Array:
        """Return the mean over real atoms and components of x (N, c)."""
        total = self.xp.sum(x * self.atoms.mask[:, None])
        return total / (self.xp.sum(self.atoms.natoms) * x.shape[1])

    def over_hessians(self, x: Array) -> Array:
        """Return the mean over frames of that over the (3·natoms)² elements of x (N, 9·natoms).

        The elements of virtual atoms are 0 and do not count.
        """
        rows = self.xp.sum(x, axis=1) * self.atoms.mask
        size = 3.0 * self.natoms
        return self.over_frames(self.sum_atoms(rows) / (size * size))

    def frame_weights(
        self, config: LossConfig, term: str, label: Mapping[str, Array], per_atom: bool
    ) -> Array | None:
        """Return the weight of each frame in a term, None if all are 1.

        Parameters
        ----------
        per_atom
            True for a row for each atom, (N, 1); False for a row for each frame, (nframes, 1).
        """
        keys = config.weights(config.table[term].label)
        if not keys:
            return None
        weight = functools.reduce(operator.mul, (label[key] for key in keys))
        if per_atom:
            weight = self.xp.take(weight, self.atoms.frame, axis=0)
        return weight[:, None]

    def sum_atoms(self, x: Array) -> Array:
        """Return the sums over the atoms of each frame, (nframes, …), of x (N, …)."""
        return self.backend.segment_sum(x, self.atoms.frame, self.atoms.natoms.shape[0])


class Residual(NamedTuple):
    """Errors of a term with their weights, and their reduction."""

    error: Array
    reduce: Callable[[Array], Array]
    weight: Array | None = None
    frame_weight: Array | None = None  #: of each row of the errors; does not count in metrics

    def mean(self, x: Array) -> Array:
        """Return the weighted mean of a function of the errors, 0-d."""
        return self.reduce(x if self.weight is None else self.weight * x)

    def cost(self, x: Array) -> Array:
        """Return the mean of a penalty of the errors, times the weights of frames, 0-d."""
        return self.mean(x if self.frame_weight is None else self.frame_weight * x)


def weighted_sum(
    xp: Any,
    config: LossConfig,
    learning_rate: Array,
    label: Mapping[str, Array],
    evaluate_term: Callable[[str], Result],
    dtype: Any,
) -> Result:
    """Return Σ p_η L_η over the terms, p_η = limit + (start − limit)·lr/start_lr, and the metrics.

    Parameters
    ----------
    learning_rate
        0-d array.
    label
        ``find_<label>`` of all labels: 0-d arrays, 1 if the data have the label.
    evaluate_term
        Returns the loss and the metrics of a term, also if the data lack one of its labels; then
        the term does not count, and its metrics become NaN.
    dtype
        Of the sum.
    """
    progress = learning_rate / config.starter_learning_rate
    total = xp.zeros((), dtype=dtype)
    metrics: dict[str, Array] = {}
    for term in config.terms:
        start, limit = config.prefactors(term)
        find = xp.ones((), dtype=dtype)
        for key in config.needs(term):
            find = find * label[f"find_{key}"]
        loss, shown = evaluate_term(term)
        total = total + find * (limit + (start - limit) * progress) * loss
        for name, value in shown.items():
            metrics[name] = xp.where(find > 0, value, xp.full_like(value, float("nan")))
    metrics["rmse"] = xp.sqrt(total)
    return total, metrics
