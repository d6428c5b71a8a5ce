"""One training step as a function of arrays, compiled as a whole."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import models as mdl
from ...backend import Backend
from ...batching.types import Batch
from ...loss import LossConfig, compute_loss
from ...optim import adam as opt
from ...tree import Flat, Tree, unflatten

Array = Any


def prediction(
    backend: Backend, model: mdl.Model, loss: LossConfig
) -> Callable[[Tree, Batch], dict[str, Array]]:
    """Return f(params, batch) → the outputs that the loss compares with labels."""
    if loss.needs_hessian:
        return functools.partial(mdl.evaluate_hessian, backend, model)
    return functools.partial(mdl.evaluate, backend, model, forces=loss.needs_forces)


def _all(params: Tree) -> Tree:
    return params


@dataclass(frozen=True)
class Objective:
    """The function to be minimized: the loss of a model's predictions.

    Parameters
    ----------
    select
        f(nested parameters) → those of the model, where several models share some.
    """

    backend: Backend
    model: mdl.Model
    loss: LossConfig
    select: Callable[[Tree], Tree] = _all

    def __call__(
        self, trainable: Flat, frozen: Flat, batch: Batch, label: dict[str, Array], lr: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Return the loss (0-d) and its metrics; differentiable in the first argument."""
        params = self.select(unflatten({**frozen, **trainable}))
        out = prediction(self.backend, self.model, self.loss)(params, batch)
        atoms = mdl.compared_atoms(self.backend, self.model, batch)
        return compute_loss(self.backend, self.loss, lr, out, label, atoms)


def train_step(objective: Objective, adam: opt.Adam, ema_decay: float | None) -> Callable[..., Any]:
    """Return step(params, frozen, state, batch, label, scalars) → (params, state, metrics).

    ``params``, ``frozen`` and the entries of ``state`` (``m``, ``v`` and with a moving average
    ``ema``) are flat dicts; ``scalars`` holds ``lr``, ``correction1``, ``correction2`` as 0-d
    arrays. New parameters and moments reuse the memory of the old ones, and have their values if
    the loss is not finite.
    """
    backend = objective.backend
    differentiate = backend.value_and_grad(objective)

    def step(
        params: Flat,
        frozen: Flat,
        state: dict[str, Flat],
        batch: Batch,
        label: dict[str, Array],
        scalars: dict[str, Array],
    ) -> tuple[Flat, dict[str, Flat], dict[str, Array]]:
        lr = scalars["lr"]
        (loss, metrics), grads = differentiate(params, frozen, batch, label, lr)
        finite = backend.xp.isfinite(loss)
        if backend.eager:  # the value is available
            if not bool(finite):
                return params, state, metrics
            finite = None
        new, moments = updated(backend, adam, ema_decay, params, grads, state, scalars, finite)
        return new, moments, metrics

    return backend.compile(step, donate=(0, 2))


def updated(
    backend: Backend,
    adam: opt.Adam,
    ema_decay: float | None,
    params: Flat,
    grads: Flat,
    state: dict[str, Flat],
    scalars: dict[str, Array],
    apply: Array | None,
) -> tuple[Flat, dict[str, Flat]]:
    """Return the parameters and the state after an update; those given may be changed.

    Parameters
    ----------
    apply
        0-d; if false, nothing changes. None to update in any case.
    """
    moments = {name: state[name] for name in ("m", "v")}
    values = (scalars["lr"], scalars["correction1"], scalars["correction2"])
    new, moments = opt.update(
        backend.xp, adam, params, grads, moments, *values, apply, backend.adam
    )
    if ema_decay is not None:
        moments["ema"] = opt.moving_average(backend.xp, state["ema"], new, ema_decay, apply)
    return new, moments


def scalars(adam: opt.Adam, lr: float, t: int) -> dict[str, np.ndarray]:
    """Return the scalars that differ between steps as 0-d arrays, for the t-th update, t ≥ 1."""
    first, second = adam.corrections(t)
    values = {"lr": lr, "correction1": first, "correction2": second}
    return {name: np.asarray(value) for name, value in values.items()}
