r"""Tables of neighbours from a list of pairs, without shapes that depend on data.

The pairs are sorted by distance and then, keeping this order, by their group: the centre and the
type of the neighbour. The rank of a pair in its group is its column; pairs of rank ≥ ``sel`` and
pairs that do not count are added to one place at the end, which is cut off.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...backend import Arithmetic
from ...batching.types import PARTS, Table
from ...models import Model
from ...neighbors.requirements import Requirements

Array = Any


class Pairs(NamedTuple):
    """The pairs of a domain, in any order."""

    rij: Array  #: from the centre to the neighbour, Å, (npairs, 3)
    i: Array  #: centres, int64, below nlocal, (npairs,)
    j: Array  #: neighbours, int64, below nall, (npairs,)


def integers(xp: Any, values: Any) -> Array:
    """Return a constant 1-d array of integers."""
    return xp.asarray([int(x) for x in values], dtype=xp.int64)


def size(xp: Any, x: Array) -> Array:
    """Return the number of elements of a 1-d integer array as a 0-d int64 array."""
    return xp.sum(xp.ones_like(x))


def _counting(xp: Any, x: Array) -> Array:
    """Return 0, 1, 2, … as int64, one for each element of a 1-d integer array."""
    ones = xp.ones_like(x)
    return xp.cumulative_sum(ones, axis=0) - ones


def _valid(xp: Any, model: Model, rcut: float, atype: Array, pairs: Pairs, square: Array) -> Array:
    """Return True for pairs within the cutoff whose types interact, (npairs,)."""
    n = model.ntypes
    excluded = {p for a, b in model.pair_exclude_types for p in ((a, b), (b, a))}
    ti, tj = (xp.take(atype, index, axis=0) for index in (pairs.i, pairs.j))
    real = xp.logical_and(xp.minimum(ti, tj) >= 0, square < rcut * rcut)
    if not excluded:
        return real
    seen = integers(xp, [(a, b) not in excluded for a in range(n) for b in range(n)])
    kind = xp.where(real, ti * n + tj, xp.zeros_like(ti))
    return xp.logical_and(real, xp.take(seen, kind, axis=0) > 0)


def neighbor_tables(
    arithmetic: Arithmetic, model: Model, local: Array, atype: Array, pairs: Pairs
) -> dict[str, Any]:
    """Return the tables of the local atoms, with ``sel`` columns for each type.

    Parameters
    ----------
    local
        As many int64 as there are local atoms, (nlocal,).
    atype
        Types of the local atoms and of the ghosts, int64, (nall,); −1 is a virtual atom.

    Returns
    -------
    dict
        ``rij`` (nlocal, 3, sel), ``index`` (nlocal, sel) with the numbers of the neighbours, and
        ``mask`` (nlocal, sel) of each type with sel > 0, under its number. The nearest neighbours
        are kept, and of two at equal distance, the first. The tables of each part of a descriptor
        are under :data:`~multifit.batching.types.PARTS`.
    """
    whole = model.descriptor.requires()
    found = [_tables(arithmetic, model, each, local, atype, pairs) for each in whole.each]
    if not whole.parts:
        return found[0]
    return {PARTS: {str(k): tables for k, tables in enumerate(found)}}


def _tables(
    arithmetic: Arithmetic,
    model: Model,
    needs: Requirements,
    local: Array,
    atype: Array,
    pairs: Pairs,
) -> dict[str, Any]:
    """Return the tables that a part of the descriptor needs, or the whole."""
    xp, sel, n = arithmetic.xp, needs.sel, local.shape[0]
    width, types = sum(sel), model.ntypes
    if not width:
        return {}
    square = xp.sum(pairs.rij * pairs.rij, axis=1)
    valid = _valid(xp, model, needs.rcut, atype, pairs, square)
    nlocal = size(xp, local)
    tj = xp.take(atype, pairs.j, axis=0)
    group = xp.where(valid, pairs.i * types + tj, xp.ones_like(tj) * (nlocal * types))
    by_distance = xp.argsort(square, stable=True)
    order, group, rank = _ranked(arithmetic, by_distance, group, n * types + 1)
    i, j, tj = (xp.take(x, order, axis=0) for x in (pairs.i, pairs.j, tj))
    known = group < nlocal * types
    tj = xp.where(known, tj, xp.zeros_like(tj))
    kept = xp.logical_and(known, rank < xp.take(integers(xp, sel), tj, axis=0))
    if needs.total is not None:
        centre = xp.where(valid, pairs.i, xp.ones_like(pairs.i) * nlocal)
        by_centre, _, among_all = _ranked(arithmetic, by_distance, centre, n + 1)
        among_all = xp.take(among_all, xp.argsort(by_centre, stable=True), axis=0)
        kept = xp.logical_and(kept, xp.take(among_all, order, axis=0) < needs.total)
    start = integers(xp, [sum(sel[:b]) for b in range(types)])
    slot = i * width + xp.take(start, tj, axis=0) + rank
    slot = xp.where(kept, slot, xp.ones_like(slot) * (nlocal * width))
    rij = xp.take(pairs.rij, order, axis=0)

    def placed(x: Array) -> Array:
        return arithmetic.segment_sum(x, slot, n * width + 1)[: n * width, ...]

    vectors = xp.permute_dims(xp.reshape(placed(rij), (n, width, 3)), (0, 2, 1))
    index = xp.reshape(placed(j), (n, width))
    mask = xp.reshape(placed(xp.astype(kept, rij.dtype)), (n, width))
    return _by_type(xp, sel, vectors, index, mask)


def _ranked(
    arithmetic: Arithmetic, by_distance: Array, key: Array, number: Any
) -> tuple[Array, Array, Array]:
    """Return the order of pairs by key and distance, and in it the keys and the ranks within each.

    Parameters
    ----------
    by_distance
        The order of the pairs by distance, (npairs,).
    key
        Of each pair, below ``number``, (npairs,).
    """
    xp = arithmetic.xp
    sorted_keys = xp.argsort(xp.take(key, by_distance, axis=0), stable=True)
    order = xp.take(by_distance, sorted_keys, axis=0)
    key = xp.take(key, order, axis=0)
    counts = arithmetic.segment_sum(xp.ones_like(key), key, number)
    first = xp.cumulative_sum(counts, axis=0) - counts
    return order, key, _counting(xp, key) - xp.take(first, key, axis=0)


def _by_type(
    xp: Any, sel: tuple[int, ...], rij: Array, index: Array, mask: Array
) -> dict[str, Any]:
    """Return the columns of each type as a table, without near pairs."""
    tables: dict[str, Table] = {}
    start = 0
    for b, width in enumerate(sel):
        here = slice(start, start + width)
        start += width
        if width:
            tables[str(b)] = {
                "rij": rij[:, :, here],
                "index": index[:, here],
                "mask": mask[:, here],
                "near": xp.zeros((0,), dtype=mask.dtype),
            }
    return tables
