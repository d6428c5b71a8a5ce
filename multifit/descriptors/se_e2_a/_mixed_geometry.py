r"""The geometry of neighbours of many types in one table, independent of the networks.

For N atoms and k columns, of which the last f are those of far pairs, it is a tree of

===================== ============= ==============================================================
key                   shape         what it is
===================== ============= ==============================================================
``rij``, ``index``                  the pairs, as of :mod:`._geometry`
``rows``, ``factors``               R̃ and ∂R/∂r, also
``deviation``         (N, 4, k)     σ
``near``, ``far``                   :class:`~...batching.types.Tiles` with ``mask``, and the net of
                                    each (``nets``); near ones are absent if there are none
``empty``             (N, ntypes)   m, the number of empty slots for each type of neighbours
``moments.g``         (…, 4n, K·nb) A of the g-th group of atoms, for neighbours with slots
``cheb``, ``slope``   (N, K, f)     T(x) of far pairs, and ∂T/∂s
``kind``              (N, f)        place of the neighbour's type among these, −1 without a pair
===================== ============= ==============================================================

With a plan the last four replace ``far`` and ``empty``, unless there are so many nets, and so few
pairs, that the nodes of the series cost more than the nets at all pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...batching.types import MIXED, MixedTable, Tiles
from ...nn.groups import picked
from ...tree import Tree
from .._chebyshev import chebyshev, with_slopes
from .._coefficients import KNOWN, split_moments, with_slots
from .._environment import local_frames, without_hidden
from .._tables import seen_kinds

if TYPE_CHECKING:
    from ._descriptor import SeE2A

Array = Any

#: Nodes of series for each far pair up to which they cost less than the nets at the pairs, where
#: their derivatives are needed too.
NODES = 2.0


class _Types(NamedTuple):
    """The types of N atoms, and of the neighbours in k columns."""

    centres: Array  #: (N,)
    neighbours: Array  #: (N, k)
    number: int  #: of all types

    def of_pairs(self, xp: Any, x: Array) -> Array:
        """Return (N, c, k) from (ntypes, ntypes, c)."""
        pairs = xp.reshape(self.centres[:, None] * self.number + self.neighbours, (-1,))
        found = xp.take(xp.reshape(x, (self.number**2, -1)), pairs, axis=0)
        return xp.permute_dims(xp.reshape(found, (*self.neighbours.shape, -1)), (0, 2, 1))


class _Far(NamedTuple):
    """The far pairs of N atoms in f columns."""

    s: Array  #: (N, f)
    rows: Array  #: R̃, (N, 4, f)
    mask: Array  #: (N, f)
    edge: int  #: columns before these


def mixed_geometry(
    xp: Any,
    config: SeE2A,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    table: MixedTable,
    plan: Tree | None,
) -> Tree:
    """Return the geometry of the neighbours of N atoms in one table.

    Parameters
    ----------
    params, atype, counts, plan
        As of :func:`multifit.descriptors.geometry`.
    """
    raw, factors = local_frames(xp, config.environment, table["rij"], table["mask"])
    n, k = table["mask"].shape
    types = _Types(atype, table["kind"], config.ntypes)
    deviation = types.of_pairs(xp, params["dstd"])
    rows = (raw - types.of_pairs(xp, params["davg"])) / deviation * table["mask"][:, None, :]
    visible = seen_kinds(xp, config.excluded, config.ntypes, atype, table["kind"])
    if visible is not None:
        rows = rows * visible[:, None, :]
        factors = without_hidden(factors, visible)
    made = {
        "rij": table["rij"],
        "index": table["index"],
        "rows": rows,
        "factors": factors,
        "deviation": deviation,
    }
    edge = table["near"]["places"].shape[1] if "near" in table else 0
    mixed: Tree = {}
    if edge:
        mixed["near"] = _tiles(xp, config, table["near"], table["mask"][:, :edge])
    sel = xp.asarray([float(x) for x in config.sel], dtype=xp.float64)
    empty = sel - table["number"]
    if plan is not None and _has_series(config, plan, n * (k - edge)):
        far = _Far(raw[:, 0, edge:], rows[:, :, edge:], table["mask"][:, edge:], edge)
        mixed |= _series(xp, config, params, plan["far"], types, counts, far, empty)
    else:
        mixed |= {"far": _tiles(xp, config, table["far"], table["mask"][:, edge:]), "empty": empty}
    return {**made, MIXED: mixed}


def _tiles(xp: Any, config: SeE2A, tiles: Tiles, mask: Array) -> Tree:
    """Return tiles with the net of each instead of its group."""
    nets = tiles["groups"]
    if not config.type_one_side:
        nt = config.ntypes
        order = [config.network_index(*divmod(g, nt)) for g in range(nt * nt)]
        nets = xp.take(xp.asarray(order, dtype=xp.int64), nets, axis=0)
    kept = {key: tiles[key] for key in ("slots", "live", "places")}
    return {**kept, "nets": nets, "mask": mask}


def _has_series(config: SeE2A, plan: Tree, npairs: Any) -> bool:
    """Return True if far pairs, or places for them, are evaluated by series."""
    if KNOWN in plan:
        return True
    nets = len(with_slots(config)) * (1 if config.type_one_side else config.ntypes)
    return bool(nets * plan["far"]["nodes"].shape[0] <= NODES * npairs)


def _series(
    xp: Any,
    config: SeE2A,
    params: Tree,
    own: Tree,
    types: _Types,
    counts: Mapping[int, int],
    far: _Far,
    empty: Array,
) -> Tree:
    """Return the part for the series of far pairs.

    Parameters
    ----------
    own
        The ``far`` part of the plan.
    empty
        m, (N, ntypes).
    """
    start, reach = (
        types.of_pairs(xp, own[key][:, :, None])[:, 0, far.edge :] for key in ("start", "reach")
    )
    stretch = 2.0 / (reach - start)
    count = own["nodes"].shape[0]
    cheb, slope = with_slopes(xp, (far.s - start) * stretch - 1.0, count)
    neighbours = with_slots(config)
    order = [neighbours.index(b) if b in neighbours else -1 for b in range(types.number)]
    flat = xp.reshape(types.neighbours[:, far.edge :], (-1,))
    kind = xp.reshape(xp.take(xp.asarray(order, dtype=xp.int64), flat, axis=0), far.mask.shape)
    kind = xp.where(far.mask > 0.0, kind, -xp.ones_like(kind))
    back = xp.matrix_transpose(among(xp, kind, len(neighbours)))
    sums = [xp.matmul(cheb * far.rows[:, c, None, :], back) for c in range(4)]
    moments = xp.stack(sums, axis=1)
    if not config.set_davg_zero:
        each = _of_one_slot(xp, params, own, neighbours)
        number = picked(xp, empty, neighbours, axis=1)
        moments = moments + xp.take(each, types.centres, axis=0) * number[:, None, None, :]
    moments = xp.reshape(moments, (*moments.shape[:2], -1))
    return {
        "moments": split_moments(xp, config, counts, moments),
        "cheb": cheb,
        "slope": slope * stretch[:, None, :],
        "kind": kind,
    }


def among(xp: Any, kind: Array, number: int) -> Array:
    """Return 1 at the place of each pair's type, else 0, (N, nb, f), from ``kind`` (N, f)."""
    places = xp.arange(number, dtype=xp.int64)
    return xp.astype(kind[:, None, :] == places[None, :, None], xp.float64)


def _of_one_slot(xp: Any, params: Tree, own: Tree, neighbours: list[int]) -> Array:
    """Return the moments of one empty slot, at s = 0, (ntypes, 4, K, nb)."""
    start, reach, mean, deviation = (
        picked(xp, x, neighbours, axis=1)
        for x in (own["start"], own["reach"], params["davg"], params["dstd"])
    )
    cheb = chebyshev(xp, -2.0 * start / (reach - start) - 1.0, own["nodes"].shape[0])
    row = xp.permute_dims(-mean / deviation, (0, 2, 1))
    return row[:, :, None, :] * cheb[:, None, :, :]
