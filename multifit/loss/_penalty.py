"""Penalties of errors: squared, absolute, or Huber's; and the norm of vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any

#: An elementwise function of errors.
Penalty = Callable[[Array], Array]


def penalty(xp: Any, loss_func: str, delta: float | None) -> Penalty:
    """Return the function of errors that is averaged.

    Parameters
    ----------
    loss_func
        ``"mse"`` or ``"mae"``.
    delta
        End of the quadratic part of Huber's function; None for a parabola.
    """
    if loss_func == "mae":
        return lambda x: _absolute(xp, x)
    if delta is not None:
        return lambda x: _huber(xp, x, delta)
    return lambda x: x * x


def _absolute(xp: Any, x: Array) -> Array:
    """Return |x|, with the gradient 0 at 0 on every backend (JAX has 1 there, PyTorch 0)."""
    return xp.where(x == 0.0, xp.zeros_like(x), xp.abs(x))


def _huber(xp: Any, x: Array, delta: float) -> Array:
    size = xp.abs(x)
    return xp.where(size <= delta, 0.5 * x * x, delta * (size - 0.5 * delta))


def norm(xp: Any, x: Array) -> Array:
    """Return ‖x‖ over the last axis, which stays, with the gradient 0 where x = 0."""
    square = xp.sum(x * x, axis=-1, keepdims=True)
    positive = square > 0
    root = xp.sqrt(xp.where(positive, square, xp.ones_like(square)))
    return xp.where(positive, root, xp.zeros_like(root))
