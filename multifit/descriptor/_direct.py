"""The embedding net at every pair: the definition, and the reference for what is faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..networks import Network, apply_network
from ..tree import Tree

Array = Any


def direct(
    xp: Any, network: Network, params: Tree, rows: Array
) -> tuple[Array, Callable[[Array], Array]]:
    """Return Σ_j R̃_ij ⊗ N(R̃_ij,0), (n, 4, M), and the pullback T̄ → ∂/∂R̃ (n, 4, k).

    Parameters
    ----------
    rows
        R̃, (n, 4, k).
    """
    n, _, k = rows.shape
    s = xp.reshape(rows[:, 0, :], (n * k, 1))
    g, net_pullback = apply_network(xp, network, params, s)
    m = g.shape[1]
    g = xp.reshape(g, (n, k, m))

    def pullback(t_bar: Array) -> Array:
        rows_bar = xp.matmul(t_bar, xp.matrix_transpose(g))
        g_bar = xp.reshape(xp.matmul(xp.matrix_transpose(rows), t_bar), (n * k, m))
        s_bar = xp.reshape(net_pullback(g_bar), (n, 1, k))
        return xp.concat([rows_bar[:, :1, :] + s_bar, rows_bar[:, 1:, :]], axis=1)

    return xp.matmul(rows, g), pullback
