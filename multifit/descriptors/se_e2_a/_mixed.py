r"""Neighbours of many types in one table: near pairs by the nets in tiles, far ones by series.

The net of a tile is applied to all its pairs, so that one batched product serves all nets, and the
cost follows the pairs. Few pairs are near, and their series would need more nodes than there are
pairs. The far ones have series (:mod:`.._chebyshev`) whose moments are over all types,

.. math::

   \sum_{j\,\mathrm{far}} \tilde R_{ij} \otimes N_{ab}(\tilde R_{ij,0}) = \sum_{bk} A_{i,kb} C_{kb},
   \quad A_{i,kb} = \sum_{j \in b} \tilde R_{ij} T_k(x_{ij}),

and include the empty slots. With :math:`\bar A_i = \bar T_i C^T`, the derivatives by R̃ and s are
:math:`\sum_k \bar A_{i,kb} T_k(x_{ij})` and :math:`\tilde R_{ij} \cdot \sum_k \bar A_{i,kb}\,
\partial T_k/\partial s` with the type b of the neighbour. Without a plan far pairs are in tiles,
and an atom i of type a has :math:`m_{ib} = sel_b - n_{ib}` empty slots for neighbours of type b:

.. math::

   T_i = \sum_j \tilde R_{ij} \otimes N_{ab}(\tilde R_{ij,0})
       + \sum_b m_{ib}\, \tilde R^0_{ab} \otimes N_{ab}(\tilde R^0_{ab,0}),
   \quad \tilde R^0_{ab} = -\mu_{ab}/\sigma_{ab}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import precision as prec
from ...backend import Rules
from ...batching.types import MIXED
from ...nn.groups import groups, nets_at, of_group, picked
from ...nn.networks import apply_network
from ...nn.places import Places, exchanged
from ...tree import Tree
from .._coefficients import (
    KNOWN,
    evaluate,
    of_pairs_of_types,
    series_atoms,
    series_kinds,
    values_at_nodes,
    with_slots,
)
from .._tables import ZONES, concat
from ._mixed_geometry import among

if TYPE_CHECKING:
    from ._descriptor import SeE2A

Array = Any
Bars = tuple[Array, Array]  #: derivatives by R₀ (N, k) and by the other rows of R (N, 3, k)


class _Pairs(NamedTuple):
    """The pairs in some columns of the table."""

    rows: Array  #: R̃, (N, 4, k)
    deviation: Array  #: σ, (N, 4, k)


def mixed(
    xp: Any,
    config: SeE2A,
    params: Tree,
    basis: Tree | None,
    counts: Mapping[int, int],
    geometry: Tree,
    rules: Rules | None = None,
) -> tuple[Array, Callable[[Array], Bars]]:
    """Return Σ_j R̃_ij ⊗ N_ab(R̃_ij,0), and the pullback to R, as :func:`._direct.direct` does.

    Parameters
    ----------
    basis
        As of :func:`._series.series`; not needed if the geometry was made without.
    geometry
        From :func:`._mixed_geometry.mixed_geometry`.
    rules
        Those of :func:`multifit.nn.places.exchanged`.
    """
    known = geometry[MIXED]
    zones = [zone for zone in ZONES if zone in known]
    parts, start = [], 0
    for zone in zones:
        stop = start + known[zone]["places"].shape[1]
        own = _Pairs(*(geometry[key][:, :, start:stop] for key in ("rows", "deviation")))
        parts.append(_in_tiles(xp, config, params, known[zone], own, rules))
        start = stop
    if "cheb" in known:
        own = _Pairs(*(geometry[key][:, :, start:] for key in ("rows", "deviation")))
        assert basis is not None
        c = _mixed_series(xp, config, params, basis, list(counts))
        parts.append(_by_series(xp, config, c, counts, known, own, rules))
    total = [t for t, _ in parts]
    if "cheb" in known:
        total = [xp.astype(t, xp.float64, copy=False) for t in total]
    elif not config.set_davg_zero:
        total.append(_of_empty(xp, config, params, counts, known["empty"]))

    def pullback(bar: Array) -> Bars:
        each = [pull(bar) for _, pull in parts]
        first = concat(xp, [x for x, _ in each], axis=1)
        return first, concat(xp, [x for _, x in each], axis=2)

    return sum(total[1:], total[0]), pullback


def _by_series(
    xp: Any,
    config: SeE2A,
    c: Array,
    counts: Mapping[int, int],
    known: Tree,
    own: _Pairs,
    rules: Rules | None,
) -> tuple[Array, Callable[[Array], Bars]]:
    """Return the sum over far pairs and empty slots (N, 4, M), and its pullback to R.

    Parameters
    ----------
    c
        C of :func:`_mixed_series`.
    """
    n, _, f = own.rows.shape
    nb = c.shape[1] // known["cheb"].shape[1]
    atoms = series_atoms(config, counts, n)
    order, sums, nets = list(series_kinds(config, list(counts))), [], []
    for g, group in enumerate(atoms.members):
        nets.append(of_group(xp, group, c, order))
        t = xp.matmul(known["moments"][str(g)], nets[-1])
        sums.append(xp.reshape(t, (*t.shape[:-2], -1, 4, t.shape[-1])))

    def pullback(bar: Array) -> Bars:
        bars = []
        for mine, part in zip(nets, atoms.gather(xp, bar, rules), strict=True):
            flat = xp.reshape(part, (*part.shape[:-3], -1, part.shape[-1]))
            a = xp.matmul(flat, xp.matrix_transpose(mine))
            bars.append(xp.reshape(a, (*part.shape[:-2], 4, -1)))
        a_bar = xp.reshape(atoms.flat(xp, bars, rules), (n, -1, nb))
        # The coefficients of each pair, by the type of its neighbour.
        each = xp.matmul(a_bar, among(xp, known["kind"], nb))
        each = xp.reshape(each, (n, 4, -1, f))
        by_rows = xp.sum(each * known["cheb"][:, None, :, :], axis=2) / own.deviation
        by_x = xp.sum(each * own.rows[:, :, None, :], axis=1)
        by_s = xp.sum(by_x * known["slope"], axis=1)
        return by_rows[:, 0, :] + by_s, by_rows[:, 1:, :]

    return atoms.flat(xp, sums, rules), pullback


def _in_tiles(
    xp: Any, config: SeE2A, params: Tree, tiles: Tree, own: _Pairs, rules: Rules | None
) -> tuple[Array, Callable[[Array], Bars]]:
    """Return the sum over pairs in tiles (N, 4, M), in the nets' precision, and its pullback."""
    rows = prec.cast(xp, own.rows, config.precision)
    n, _, k = rows.shape
    in_tiles = Places(tiles["slots"], tiles["live"])
    in_rows = Places(*(xp.reshape(tiles[key], (-1,)) for key in ("places", "mask")))
    s = xp.take(xp.reshape(rows[:, 0, :], (-1,)), tiles["slots"], axis=0)
    s = xp.reshape(s, (tiles["nets"].shape[0], -1, 1))
    nets = nets_at(xp, params["embeddings"], config.n_networks, tiles["nets"])
    g, net_pullback = apply_network(xp, config.network, nets, s)
    m = g.shape[-1]
    g_rows = exchanged(xp, rules, xp.reshape(g, (-1, m)), in_rows, in_tiles)
    g_rows = xp.reshape(g_rows, (n, k, m))

    def pullback(bar: Array) -> Bars:
        bar = xp.astype(bar, g.dtype, copy=False)
        rows_bar = xp.matmul(bar, xp.matrix_transpose(g_rows))
        g_bar = xp.reshape(xp.matmul(xp.matrix_transpose(rows), bar), (-1, m))
        g_bar = exchanged(xp, rules, g_bar, in_tiles, in_rows)
        s_bar = xp.reshape(net_pullback(xp.reshape(g_bar, g.shape)), (-1,))
        s_bar = exchanged(xp, rules, s_bar, in_rows, in_tiles)
        first = rows_bar[:, 0, :] + xp.reshape(s_bar, (n, k))
        first, others = (
            xp.astype(x, own.deviation.dtype, copy=False) for x in (first, rows_bar[:, 1:, :])
        )
        return first / own.deviation[:, 0, :], others / own.deviation[:, 1:, :]

    return xp.matmul(rows, g_rows), pullback


def _of_empty(
    xp: Any, config: SeE2A, params: Tree, counts: Mapping[int, int], empty: Array
) -> Array:
    """Return Σ_b m_ib R̃⁰_ab ⊗ N_ab(R̃⁰_ab,0), (N, 4, M), from m (N, ntypes)."""
    kinds, neighbours = list(counts), with_slots(config)
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
        found.append(xp.matmul(own, of_group(xp, group, each, kinds)))
    return xp.reshape(atoms.flat(xp, found), (empty.shape[0], 4, -1))


def _mixed_series(xp: Any, config: SeE2A, params: Tree, plan: Tree, kinds: Sequence[int]) -> Array:
    """Return C of far pairs for all types of neighbours with slots, (na, K·nb, M).

    Parameters
    ----------
    params, plan, kinds
        As for :func:`.._coefficients.block_series`.
    """
    kinds, neighbours = series_kinds(config, kinds), with_slots(config)
    near, far = (plan[zone]["nodes"].shape[0] for zone in ZONES)
    shape = (len(kinds), len(neighbours))
    if KNOWN in plan:
        known = picked(xp, plan[KNOWN]["series"], kinds)[:, 0, :, :]
        known = xp.reshape(known, (*shape, near + far, -1))[:, :, near:, :]
        c = xp.permute_dims(known, (0, 2, 1, 3))
    else:
        own = plan["far"]
        g = values_at_nodes(xp, config, params, [own], kinds, neighbours)
        g = xp.reshape(xp.permute_dims(g, (0, 2, 1, 3)), (shape[0], far, -1))
        c = xp.matmul(own["transform"], g)
    return xp.reshape(c, (shape[0], far * shape[1], -1))
