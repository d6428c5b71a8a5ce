"""The sum of the terms of a loss, each with its prefactor, and the metrics of those with labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._config import LossConfig

Array = Any

#: A loss, a 0-d array, and its metrics.
Parts = tuple[Array, dict[str, Array]]


def weighted(
    xp: Any,
    config: LossConfig,
    learning_rate: Array,
    label: Mapping[str, Array],
    part: Callable[[str], Parts],
    dtype: Any,
) -> Parts:
    """Return Σ p_η L_η over the terms, p_η = limit + (start − limit)·lr/start_lr, and the metrics.

    Parameters
    ----------
    learning_rate
        0-d array.
    label
        ``find_<label>`` of all labels: 0-d arrays, 1 if the data has the label.
    part
        Returns the loss and the metrics of a term, whether or not its labels are there: without one
        of them the term counts for nothing, and its metrics become NaN.
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
        loss, shown = part(term)
        total = total + find * (limit + (start - limit) * progress) * loss
        for name, value in shown.items():
            metrics[name] = xp.where(find > 0, value, xp.full_like(value, float("nan")))
    metrics["rmse"] = xp.sqrt(total)
    return total, metrics
