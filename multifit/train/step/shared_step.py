"""Training steps of several batches: each is differentiated alone, and the mean is the gradient.

The batches are those of several processes in one step, or those of several steps until the next
update (``acc_freq``), or both. For batches with the same number of atoms the mean is the gradient
of one batch with all their frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...batching.types import Batch
from ...distributed import Processes
from ...optim import adam as opt
from ...tree import Flat
from .step import Objective, updated

Array = Any

#: What processes tell one another in each step: how many of them want to stop, have a new plan of
#: their series, and cannot read their batch.
VOTES = ("stop", "plan", "data")


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
    votes: tuple[str, ...]

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
        parts = [*(grads[k] for k in self.names), loss, *squares, *(votes[k] for k in self.votes)]
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
        for name, total in zip((*self.metrics, *self.votes), others, strict=True):
            mean = total if name in self.votes else total / size
            found[name] = np.asarray(np.sqrt(mean) if _is_root(name) else mean)
        return float(loss), found


@dataclass(frozen=True)
class SharedStep:
    """A step whose gradient is a mean over processes, and over steps until the next update.

    Called as the step of :func:`train_step`, it returns metrics as NumPy arrays, with the sums of
    the votes. Its ``scalars`` also hold the :data:`VOTES` of this process if there are several,
    and ``update``: False if the gradient is only added to ``state["sum"]``. Nothing changes if the
    loss of any process is not finite.

    Parameters
    ----------
    adam, ema_decay
        As of :func:`train_step`.
    every
        Steps whose gradients make one update.
    """

    objective: Objective
    adam: opt.Adam
    ema_decay: float | None
    processes: Processes
    every: int = 1

    def __call__(
        self,
        params: Flat,
        frozen: Flat,
        state: dict[str, Flat],
        batch: Batch,
        label: Flat,
        scalars: Mapping[str, Any],
    ) -> tuple[Flat, dict[str, Flat], dict[str, np.ndarray]]:
        """Return the parameters, the state and the metrics after a step."""
        where, backend = self.places(params), self.objective.backend
        votes = {name: scalars[name] for name in where.votes}
        kept = {name: scalars[name] for name in ("lr", "correction1", "correction2")}
        mine = self._packed(params, frozen, batch, label, scalars["lr"], votes)
        flat = self.processes.sum(mine)
        loss, found = where.numbers(backend.to_numpy(flat[where.number :]), self.processes.size)
        if math.isfinite(loss):
            if scalars["update"]:
                params, state = self._update(params, state, flat, kept)
            else:
                state = {**state, "sum": self._add(state["sum"], flat)}
        return params, state, found

    def abstain(self, params: Flat) -> None:
        """Take part in a sum without a batch: nobody's loss is then finite."""
        where, backend = self.places(params), self.objective.backend
        wide = any(x.dtype == backend.xp.float64 for x in params.values())
        flat = np.full(where.number + 1 + len(where.metrics), np.nan)
        flat = np.append(flat, [float(name == "data") for name in where.votes])
        self.processes.sum(backend.asarray(flat.astype(np.float64 if wide else np.float32)))

    @cached_property
    def places(self) -> Callable[[Flat], Packed]:
        """The places of gradients of given parameters."""
        return _places(self.objective, VOTES if self.processes.size > 1 else ())

    @cached_property
    def _packed(self) -> Callable[..., Any]:
        """The compiled f(params, frozen, batch, label, lr, votes) → flat array (n,)."""
        objective, share = self.objective, self.processes.size * self.every
        backend = objective.backend

        def scaled(params: Flat, *rest: Any) -> tuple[Array, dict[str, Array]]:
            loss, metrics = objective(params, *rest)
            # Divided before it is differentiated, which costs nothing: the sum is then the mean.
            return loss / share, metrics

        differentiate = backend.value_and_grad(scaled)

        def packed(
            params: Flat, frozen: Flat, batch: Batch, label: Flat, lr: Array, votes: Flat
        ) -> Array:
            (loss, metrics), grads = differentiate(params, frozen, batch, label, lr)
            return self.places(params).pack(backend.xp, grads, loss, metrics, votes)

        # A step gives something away, which adapters go by: here the votes, needed by nobody.
        return backend.compile(packed, donate=(5,))

    @cached_property
    def _add(self) -> Callable[..., Any]:
        """The compiled f(sum, flat array) → sum."""
        backend = self.objective.backend

        def add(total: Flat, flat: Array) -> Flat:
            grads = self.places(total).gradients(backend.xp, flat, total)
            return {name: x + grads[name] for name, x in total.items()}

        return backend.compile(add, donate=(0,))

    @cached_property
    def _update(self) -> Callable[..., Any]:
        """The compiled f(params, state, flat array, scalars) → (params, state)."""
        backend, xp = self.objective.backend, self.objective.backend.xp

        def update(params: Flat, state: dict[str, Flat], flat: Array, scalars: Flat) -> Any:
            grads, total = self.places(params).gradients(xp, flat, params), state.get("sum")
            if total is not None:
                grads = {name: total[name] + x for name, x in grads.items()}
            new, moments = updated(
                backend, self.adam, self.ema_decay, params, grads, state, scalars, None
            )
            if total is not None:
                moments["sum"] = {name: xp.zeros_like(x) for name, x in total.items()}
            return new, moments

        return backend.compile(update, donate=(0, 1))


def _places(objective: Objective, votes: tuple[str, ...]) -> Callable[[Flat], Packed]:
    """Return f(trained parameters) → the places of their gradients."""
    known: dict[tuple[str, ...], Packed] = {}

    def places(params: Flat) -> Packed:
        names = tuple(sorted(params))
        if names not in known:
            shapes = tuple(tuple(params[name].shape) for name in names)
            known[names] = Packed(names, shapes, objective.loss.metric_names, votes)
        return known[names]

    return places
