"""One training step of several processes: each differentiates its batch, all take the mean.

The loss of a step is the mean of the processes' losses, and so is its gradient. For batches with
the same number of atoms this is the loss of one batch with all their frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...batching.types import Batch
from ...distributed import Processes
from ...optim import adam as opt
from ...tree import Flat
from .step import Objective, updated

Array = Any

#: What processes tell one another in each step: how many of them want to stop, and have a new
#: plan of their series.
VOTES = ("stop", "plan")


def _is_root(name: str) -> bool:
    """Return True if a metric is the root of a mean, so that its square is averaged."""
    return name.startswith("rmse")


@dataclass(frozen=True)
class Packed:
    """The places of arrays in one flat array, which is summed over the processes at once.

    Gradients come first, then the loss, the metrics and the votes. The dtype is float64 if that of
    a gradient is, else float32.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    metrics: tuple[str, ...]

    @property
    def number(self) -> int:
        """Number of elements of all gradients."""
        return sum(math.prod(shape) for shape in self.shapes)

    def pack(
        self,
        xp: Any,
        grads: Flat,
        loss: Array,
        metrics: Mapping[str, Array],
        votes: Mapping[str, Array],
    ) -> Array:
        """Return the flat array (n,)."""
        wide = any(grads[name].dtype == xp.float64 for name in self.names)
        dtype = xp.float64 if wide else xp.float32
        squares = [metrics[k] * metrics[k] if _is_root(k) else metrics[k] for k in self.metrics]
        parts = [*(grads[k] for k in self.names), loss, *squares, *(votes[k] for k in VOTES)]
        flat = [xp.astype(xp.reshape(x, (-1,)), dtype, copy=False) for x in parts]
        return xp.concat(flat)

    def gradients(self, xp: Any, flat: Array, params: Flat) -> Flat:
        """Return the gradients in a flat array, in the dtypes of the parameters."""
        found, start = {}, 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            end = start + math.prod(shape)
            part = xp.reshape(flat[start:end], shape)
            found[name] = xp.astype(part, params[name].dtype, copy=False)
            start = end
        return found

    def numbers(self, rest: np.ndarray, size: int) -> tuple[float, dict[str, np.ndarray]]:
        """Return the mean loss, the mean metrics and the sums of votes.

        Parameters
        ----------
        rest
            What follows the gradients in the sum over the processes.
        size
            Number of processes.
        """
        loss, *others = rest.astype(np.float64)
        found = {}
        for name, total in zip((*self.metrics, *VOTES), others, strict=True):
            mean = total if name in VOTES else total / size
            found[name] = np.asarray(np.sqrt(mean) if _is_root(name) else mean)
        return float(loss), found


def shared_step(
    objective: Objective, adam: opt.Adam, ema_decay: float | None, processes: Processes
) -> Callable[..., Any]:
    """Return a step of all processes, to be called as that of :func:`train_step`.

    Its ``scalars`` also hold the :data:`VOTES` of this process, and its metrics, which are NumPy
    arrays, the sums of the votes. Parameters do not change if the loss of any process is not
    finite.
    """
    backend, size = objective.backend, processes.size
    xp, places = backend.xp, _places(objective)

    def scaled(params: Flat, *rest: Any) -> tuple[Array, dict[str, Array]]:
        loss, metrics = objective(params, *rest)
        # Divided before it is differentiated, which costs nothing: the sum is then the mean.
        return loss / size, metrics

    differentiate = backend.value_and_grad(scaled)

    def packed(
        params: Flat, frozen: Flat, batch: Batch, label: Flat, lr: Array, votes: Flat
    ) -> Array:
        (loss, metrics), grads = differentiate(params, frozen, batch, label, lr)
        return places(params).pack(xp, grads, loss, metrics, votes)

    def update(params: Flat, state: dict[str, Flat], flat: Array, scalars: Flat) -> Any:
        grads = places(params).gradients(xp, flat, params)
        return updated(backend, adam, ema_decay, params, grads, state, scalars, None)

    # A step gives something away, which adapters go by: here the votes, which nobody needs again.
    first, second = backend.compile(packed, donate=(5,)), backend.compile(update, donate=(0, 1))

    def step(
        params: Flat,
        frozen: Flat,
        state: dict[str, Flat],
        batch: Batch,
        label: Flat,
        scalars: Flat,
    ) -> tuple[Flat, dict[str, Flat], dict[str, np.ndarray]]:
        votes = {name: scalars[name] for name in VOTES}
        kept = {name: x for name, x in scalars.items() if name not in votes}
        flat = processes.sum(first(params, frozen, batch, label, scalars["lr"], votes))
        where = places(params)
        loss, found = where.numbers(backend.to_numpy(flat[where.number :]), size)
        if math.isfinite(loss):
            params, state = second(params, state, flat, kept)
        return params, state, found

    return step


def _places(objective: Objective) -> Callable[[Flat], Packed]:
    """Return f(trained parameters) → the places of their gradients."""
    known: dict[tuple[str, ...], Packed] = {}

    def places(params: Flat) -> Packed:
        names = tuple(sorted(params))
        if names not in known:
            shapes = tuple(tuple(params[name].shape) for name in names)
            known[names] = Packed(names, shapes, objective.loss.metric_names)
        return known[names]

    return places
