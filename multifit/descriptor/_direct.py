"""The embedding net at every pair: the definition, and the reference for what is faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import precision as prec
from ..networks import Network, apply_network
from ..tree import Tree
from ._blocks import Block, Rows
from ._se_e2_a import SeE2A

Array = Any
Sums = dict[int, Array]  #: the type of the centres → Σ_j R̃ ⊗ G, (n, 4, M)


def direct(
    xp: Any, config: SeE2A, params: Tree, rows: Rows, blocks: list[Block]
) -> tuple[Sums, Callable[[Sums], list[Array]]]:
    """Return Σ_j R̃_ij ⊗ N_ab(R̃_ij,0) for each type a, and the pullback to R̃.

    Returns
    -------
    T
        (n, 4, M) for each type of centres, in the precision of the nets.
    pullback
        T̄ → ∂/∂R̃ (N, 4, k), float64, for each block that has pairs.
    """
    precision = prec.canonical(config.precision)
    full = [block for block in blocks if block.rows is not None]
    sums: Sums = {}
    pullbacks = {}
    for a, span in rows.items():
        for block in blocks:
            net = params["embeddings"][str(config.network_index(a, block.neighbour))]
            if block.rows is not None:
                some = prec.cast(xp, block.rows[span, :, :], precision)
                part, pullbacks[a, block.neighbour] = of_pairs(xp, config.network, net, some)
                sums[a] = sums[a] + part if a in sums else part
            if block.missing:
                row = prec.cast(xp, block.empty[span, :, :][:1, :, :], precision)
                part = float(block.missing) * of_pairs(xp, config.network, net, row)[0]
                shape = (span.stop - span.start, 4, part.shape[2])
                sums[a] = sums[a] + part if a in sums else xp.broadcast_to(part, shape)

    def pullback(sums_bar: Sums) -> list[Array]:
        found = []
        for block in full:
            parts = [pullbacks[a, block.neighbour](bar) for a, bar in sums_bar.items()]
            bar = parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
            found.append(xp.astype(bar, block.rows.dtype, copy=False))
        return found

    return sums, pullback


def of_pairs(
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
        t_bar = xp.astype(t_bar, g.dtype, copy=False)
        rows_bar = xp.matmul(t_bar, xp.matrix_transpose(g))
        g_bar = xp.reshape(xp.matmul(xp.matrix_transpose(rows), t_bar), (n * k, m))
        s_bar = xp.reshape(net_pullback(g_bar), (n, 1, k))
        return xp.concat([rows_bar[:, :1, :] + s_bar, rows_bar[:, 1:, :]], axis=1)

    return xp.matmul(rows, g), pullback
