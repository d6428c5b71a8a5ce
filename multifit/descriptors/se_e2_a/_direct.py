"""The embedding net at every pair: the definition, and the reference for faster methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...nn.networks import Network, apply_network
from ...tree import Tree
from .._tables import Spans, concat, spans

if TYPE_CHECKING:
    from ._descriptor import SeE2A

Array = Any
Sums = dict[int, Array]  #: the type of the centres → Σ_j R̃ ⊗ G, (n, 4, M)
Bars = tuple[Array, Array]  #: derivatives by R₀ (N, P) and by the other rows of R (N, 3, P)


def direct(
    xp: Any, config: SeE2A, params: Tree, rows: Spans, geometry: Tree
) -> tuple[Sums, Callable[[Sums], Bars]]:
    """Return Σ_j R̃_ij ⊗ N_ab(R̃_ij,0) for each type a, and the pullback to R.

    Parameters
    ----------
    geometry
        From :func:`multifit.descriptors.geometry`.

    Returns
    -------
    T
        (n, 4, M) for each type of centres, in the precision of the nets.
    pullback
        T̄ → the derivatives by R, float64.
    """
    precision = prec.canonical(config.precision)
    widths = geometry.get("widths", {})
    columns = spans({b: widths[str(b)].shape[0] for b in sorted(map(int, widths))})
    sums: Sums = {}
    pullbacks = {}
    for a, span in rows.items():
        for b, sel in enumerate(config.sel):
            if not sel:
                continue
            net = params["embeddings"][str(config.network_index(a, b))]
            here, missing = columns.get(b), sel
            if here is not None:
                missing -= here.stop - here.start
                some = prec.cast(xp, geometry["rows"][span, :, here], precision)
                part, pullbacks[a, b] = of_pairs(xp, config.network, net, some)
                sums[a] = sums[a] + part if a in sums else part
            if missing:
                empty = -params["davg"][a, b, :] / params["dstd"][a, b, :]
                row = prec.cast(xp, empty[None, :, None], precision)
                part = float(missing) * of_pairs(xp, config.network, net, row)[0]
                shape = (span.stop - span.start, 4, part.shape[2])
                sums[a] = sums[a] + part if a in sums else xp.broadcast_to(part, shape)

    def pullback(sums_bar: Sums) -> Bars:
        bands = []
        for a, bar in sums_bar.items():
            parts = [
                xp.astype(pullbacks[a, b](bar), params["dstd"].dtype, copy=False)
                / params["dstd"][a, b, :][None, :, None]
                for b in columns
            ]
            bands.append(concat(xp, parts, axis=2))
        found = concat(xp, bands, axis=0)
        return found[:, 0, :], found[:, 1:, :]

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
