r"""Neighbours of many types in one table: the embedding nets at every pair, in tiles.

The net of a tile is applied to all its pairs, so that one batched product serves all nets, and the
cost follows the pairs. The columns of the table are pairs in any order; an atom i of type a has
:math:`m_{ib} = sel_b - n_{ib}` empty slots for neighbours of type b, which are not in it:

.. math::

   T_i = \sum_j \tilde R_{ij} \otimes N_{ab}(\tilde R_{ij,0})
       + \sum_b m_{ib}\, \tilde R^0_{ab} \otimes N_{ab}(\tilde R^0_{ab,0}),
   \quad \tilde R^0_{ab} = -\mu_{ab}/\sigma_{ab}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...batching.types import MIXED, MixedTable
from ...nn.groups import groups, nets_at, picked
from ...nn.networks import apply_network
from ...tree import Tree
from .._coefficients import evaluate, of_pairs_of_types
from .._environment import local_frames

if TYPE_CHECKING:
    from ._descriptor import SeE2A

Array = Any
Bars = tuple[Array, Array]  #: derivatives by R₀ (N, k) and by the other rows of R (N, 3, k)


def mixed_geometry(xp: Any, config: SeE2A, params: Tree, atype: Array, table: MixedTable) -> Tree:
    """Return the geometry of the neighbours of N atoms in one table.

    Returns
    -------
    dict
        ``rij``, ``index``, ``rows``, ``factors`` and ``deviation`` as of
        :func:`multifit.descriptors.geometry`, and ``mixed`` with the arrays of the table that name
        the tiles, the net of each (``nets``), and m (``empty``).
    """
    raw, factors = local_frames(xp, config.environment, table["rij"], table["mask"])
    n, k = table["mask"].shape
    pair = xp.reshape(atype[:, None] * config.ntypes + table["kind"], (-1,))

    def of_pairs(x: Array) -> Array:
        found = xp.take(xp.reshape(x, (config.ntypes**2, 4)), pair, axis=0)
        return xp.permute_dims(xp.reshape(found, (n, k, 4)), (0, 2, 1))

    deviation = of_pairs(params["dstd"])
    rows = (raw - of_pairs(params["davg"])) / deviation * table["mask"][:, None, :]
    if config.excluded:
        hidden = [
            float(divmod(p, config.ntypes) in config.excluded) for p in range(config.ntypes**2)
        ]
        there = xp.take(xp.asarray(hidden, dtype=xp.float64), pair, axis=0)
        visible = 1.0 - xp.reshape(there, (n, k))
        rows = rows * visible[:, None, :]
        factors = {key: x if key == "unit" else x * visible for key, x in factors.items()}
    sel = xp.asarray([float(x) for x in config.sel], dtype=xp.float64)
    tiles = {key: table[key] for key in ("slots", "live", "places", "mask")}
    tiles |= {"nets": _nets(xp, config, table["groups"]), "empty": sel - table["number"]}
    return {
        "rij": table["rij"],
        "index": table["index"],
        "rows": rows,
        "factors": factors,
        "deviation": deviation,
        MIXED: tiles,
    }


def _nets(xp: Any, config: SeE2A, group: Array) -> Array:
    """Return the net of each tile from its group."""
    if config.type_one_side:
        return group
    nt = config.ntypes
    order = [config.network_index(*divmod(g, nt)) for g in range(nt * nt)]
    return xp.take(xp.asarray(order, dtype=xp.int64), group, axis=0)


def mixed(
    xp: Any, config: SeE2A, params: Tree, counts: Mapping[int, int], geometry: Tree
) -> tuple[Array, Callable[[Array], Bars]]:
    """Return Σ_j R̃_ij ⊗ N_ab(R̃_ij,0), and the pullback to R, as :func:`._direct.direct` does."""
    tiles = geometry[MIXED]
    rows = prec.cast(xp, geometry["rows"], config.precision)
    n, _, k = rows.shape
    slots, places = tiles["slots"], xp.reshape(tiles["places"], (-1,))
    s = xp.take(xp.reshape(rows[:, 0, :], (-1,)), slots, axis=0)
    s = xp.reshape(s, (tiles["nets"].shape[0], -1, 1))
    nets = nets_at(xp, params["embeddings"], config.n_networks, tiles["nets"])
    g, net_pullback = apply_network(xp, config.network, nets, s)
    m = g.shape[-1]
    g_rows = xp.reshape(xp.take(xp.reshape(g, (-1, m)), places, axis=0), (n, k, m))
    t = xp.matmul(rows, g_rows)
    if not config.set_davg_zero:
        t = t + _of_empty(xp, config, params, counts, tiles["empty"])

    def pullback(bar: Array) -> Bars:
        bar = xp.astype(bar, g.dtype, copy=False)
        rows_bar = xp.matmul(bar, xp.matrix_transpose(g_rows))
        g_bar = xp.reshape(xp.matmul(xp.matrix_transpose(rows), bar), (-1, m))
        g_bar = (
            xp.take(g_bar, slots, axis=0) * xp.astype(tiles["live"], g.dtype, copy=False)[:, None]
        )
        s_bar = xp.reshape(net_pullback(xp.reshape(g_bar, g.shape)), (-1,))
        s_bar = xp.reshape(xp.take(s_bar, places, axis=0), (n, k))
        mask = xp.astype(tiles["mask"], g.dtype, copy=False)
        first = rows_bar[:, 0, :] + s_bar * mask
        deviation = geometry["deviation"]
        first, others = (
            xp.astype(x, deviation.dtype, copy=False) for x in (first, rows_bar[:, 1:, :])
        )
        return first / deviation[:, 0, :], others / deviation[:, 1:, :]

    return t, pullback


def _of_empty(
    xp: Any, config: SeE2A, params: Tree, counts: Mapping[int, int], empty: Array
) -> Array:
    """Return Σ_b m_ib R̃⁰_ab ⊗ N_ab(R̃⁰_ab,0), (N, 4, M), from m (N, ntypes)."""
    kinds, neighbours = list(counts), [b for b, sel in enumerate(config.sel) if sel]
    mean, deviation = (
        of_pairs_of_types(xp, params[key], kinds, neighbours) for key in ("davg", "dstd")
    )
    rows = prec.cast(xp, -mean / deviation, config.precision)
    nets = params["embeddings"]
    g = evaluate(xp, config, config.network, nets, kinds, neighbours, rows[:, :, :1])
    each = xp.matmul(rows[:, :, :, None], g)  # (na, nb, 4, 1) × (na, nb, 1, M)
    each = xp.reshape(each, (len(kinds), len(neighbours), -1))
    numbers = prec.cast(xp, picked(xp, empty, neighbours, axis=1), config.precision)
    atoms, found = groups(counts), []
    for group, own in zip(atoms.members, atoms.gather(xp, numbers), strict=True):
        mine = picked(xp, each, [kinds.index(a) for a in group.kinds])
        found.append(xp.matmul(own, mine[0, :, :] if group.single else mine))
    return xp.reshape(atoms.flat(xp, found), (empty.shape[0], 4, -1))
