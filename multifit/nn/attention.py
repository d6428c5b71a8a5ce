r"""Softmax and layer norm.

.. math::

   \mathrm{softmax}(x)_j = \frac{e^{x_j}}{\sum_k e^{x_k}}, \qquad
   \mathrm{norm}(x) = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta .

These are forward passes: derivatives come from :mod:`multifit.autodiff`. Source: Ba,
Kiros & Hinton, arXiv:1607.06450 (layer norm).
"""

from __future__ import annotations

from typing import Any

from ..autodiff import constant

Array = Any


def softmax(xp: Any, x: Array, /, *, axis: int = -1) -> Array:
    """Return eˣ divided by its sum along an axis; all numbers must be finite."""
    e = xp.exp(x - peak(xp, x, axis=axis))
    return e / xp.sum(e, axis=axis, keepdims=True)


def peak(xp: Any, x: Array, /, *, axis: int) -> Array:
    """Return the largest number along an axis, rounded up: what softmax may subtract.

    It does not change the result, and must have no derivative for frameworks either: XLA computes
    x twice with different rounding, so that none equals the largest, and that of max is 0/0.
    """
    return xp.ceil(xp.max(constant(x), axis=axis, keepdims=True))


def layer_norm(
    xp: Any,
    x: Array,
    /,
    *,
    scale: Array | None = None,
    shift: Array | None = None,
    epsilon: float = 1e-5,
) -> Array:
    """Return x with mean 0 and variance 1 along its last axis, times ``scale`` plus ``shift``.

    Parameters
    ----------
    scale, shift
        γ and β, shaped like the last axis of x.
    epsilon
        ε, which is added to the variance.
    """
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    y = centred / xp.sqrt(variance + epsilon)
    if scale is not None:
        y = y * scale
    return y if shift is None else y + shift
