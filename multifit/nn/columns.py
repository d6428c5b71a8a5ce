r"""Products of many nets with few atoms each, for backends that compile.

Their time is that of reading W, and of writing its derivative. For columns of atoms XLA does both
in about half of the time of rows; PyTorch takes longer.

A layer has two products, :math:`u = W^T x` and in its pullback :math:`\bar x = W \bar u`. The
gradient of a loss of forces has a part for each,

.. math:: \bar W = x \, \dot u^T + \dot{\bar x} \, \bar u^T
          = [x, \dot{\bar x}] \, [\dot u, \bar u]^T

with the cotangents :math:`\dot u` of u and :math:`\dot{\bar x}` of :math:`\bar x`. A framework
computes and adds two arrays as large as W. As one product, W's derivative is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import Rules

Array = Any

#: Inputs of a part of W.
PART = 400


def is_thin(x: Array, n_in: int) -> bool:
    """Return True for many nets with fewer rows than inputs, x (nets, n, n_in)."""
    return x.ndim == 3 and all(isinstance(n, int) for n in x.shape) and x.shape[-2] < n_in


def turned(xp: Any, x: Array) -> Array:
    """Return (nets, m, n) from (nets, n, m).

    XLA would make a transposition part of the products before and after it, which turns them into
    the slower ones again, but not that of an array with one more axis.
    """
    nets, n, m = x.shape
    if m % 2 == 0:
        halves = xp.reshape(x, (nets, n, 2, m // 2))
        return xp.reshape(xp.permute_dims(halves, (0, 2, 3, 1)), (nets, m, n))
    if n % 2 == 0:
        halves = xp.reshape(x, (nets, 2, n // 2, m))
        return xp.reshape(xp.permute_dims(halves, (0, 3, 1, 2)), (nets, m, n))
    return xp.matrix_transpose(x)


def products(
    xp: Any, rules: Rules | None, w: Array, x: Array
) -> tuple[Array, Callable[[Array], Array]]:
    """Return u = Wᵀ x, (nets, n_out, n), and ū → W ū, (nets, n_in, n).

    Parameters
    ----------
    rules
        To compute the derivative of W as one product, which then is differentiated backwards only.
    w, x
        ([nets,] n_in, n_out) and (nets, n_in, n).
    """
    if rules is None or w.ndim == 2:
        u = xp.matmul(xp.matrix_transpose(w), x)
        return u, lambda u_bar: xp.matmul(w, u_bar)

    # The cotangents of the two zeros bring the factors of the second product to the first's rule.
    def up(w: Array, x: Array) -> tuple[Array, ...]:
        u = _by_transpose(xp, w, x)
        return u, xp.zeros_like(x), xp.zeros_like(u)

    def up_rule(given: Sequence[Array], bars: Sequence[Array]) -> tuple[Array | None, ...]:
        (w, x), (u_dot, x_bar_dot, u_bar) = given, bars
        left, right = xp.concat([x, x_bar_dot], axis=-1), xp.concat([u_dot, u_bar], axis=-1)
        return xp.matmul(left, xp.matrix_transpose(right)), xp.matmul(w, u_dot)

    def down(w: Array, u_bar: Array, *zeros: Array) -> tuple[Array, ...]:
        return (xp.matmul(w, u_bar),)

    def down_rule(given: Sequence[Array], bars: Sequence[Array]) -> tuple[Array | None, ...]:
        (w, u_bar, *_), (x_bar_dot,) = given, bars
        return None, _by_transpose(xp, w, x_bar_dot), x_bar_dot, u_bar

    u, *zeros = rules.with_rule(up, up_rule)(w, x)
    backwards = rules.with_rule(down, down_rule)
    return u, lambda u_bar: backwards(w, u_bar, *zeros)[0]


def _by_transpose(xp: Any, w: Array, x: Array) -> Array:
    """Return Wᵀ x, (nets, n_out, n), for W (nets, n_in, n_out) and x (nets, n_in, n).

    Of W with many inputs XLA multiplies parts, and rows instead of columns, in 0.8 of the time.
    """
    nets, n_in, n = x.shape
    parts = next(k for k in range(max(1, n_in // PART), 0, -1) if n_in % k == 0)
    if parts == 1:
        return xp.matmul(xp.matrix_transpose(w), x)
    rows = turned(xp, xp.reshape(x, (nets * parts, -1, n)))
    each = xp.matmul(rows, xp.reshape(w, (nets * parts, -1, w.shape[-1])))
    return turned(xp, xp.sum(xp.reshape(each, (nets, parts, n, -1)), axis=1))
