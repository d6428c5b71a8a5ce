r"""The geometry of the neighbours, as the descriptor needs it: independent of the networks.

It is computed once per batch, outside the differentiated function, and once per run for frames that
recur. For N atoms and P slots for pairs, with the tables of all types of neighbours side by
side, it is a tree of

===================== ===================== =====================================================
key                   shape                 what it is
===================== ===================== =====================================================
``rij``, ``index``    (N, 3, P), (N, P)     the pairs; absent, like all below, if there are none
``rows``              (N, 4, P)             R̃
``factors``                                 of :func:`~._environment.to_vectors`
``widths.b``          (k,)                  the columns of type b; the values are not used
``series.b.z.cheb``   (N, K, k)             T(x) of the pairs of type b in zone z
``series.b.z.factor`` (N, 8, 1)             ∂R̃/∂R and ∂x/∂s = 2/(s₁ − s₀), by turns, four of each
``moments.a``         (4n, ΣK)              A of the atoms of type a, over all of ``series``
===================== ===================== =====================================================

of which the last three exist only with a basis for the series.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...batching.types import Table
from ...tree import Tree
from .._chebyshev import chebyshev
from .._environment import local_frames
from .._tables import Slots, Spans, columns_of, concat, join, seen, slots, spans

if TYPE_CHECKING:
    from .._radial import RadialDescriptor

Array = Any


def geometry(
    xp: Any,
    config: RadialDescriptor,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Table],
    basis: Tree | None = None,
) -> Tree:
    """Return the geometry of the neighbours of N atoms.

    Parameters
    ----------
    params
        ``davg`` and ``dstd``, (ntypes, ntypes, 4).
    atype
        (N,) integers.
    counts
        Number of atoms of each present type, in order.
    tables
        For each present neighbour type, under its number: ``rij`` (N, 3, k) in Å, ``mask`` and
        ``index`` (N, k). Slots of ``sel`` missing from a table count as empty, those in excess
        as absent. With ``near`` (m,) the first m columns are those of near pairs.
    basis
        ``near`` and ``far`` from :func:`.._chebyshev.chebyshev_basis`, as arrays of xp.
    """
    rows = spans(counts)
    mean, deviation = (xp.take(params[key], atype, axis=0) for key in ("davg", "dstd"))
    columns = columns_of(tables)
    made: Tree = {}
    s: Array = None
    if tables:
        made, s = _pairs(xp, config, rows, tables, mean, deviation, columns)
    if basis is None:
        return made
    empty = list(slots(xp, config.sel, tables, columns))
    return made | _series(xp, made, s, empty, basis, atype, rows, mean, deviation)


def _pairs(
    xp: Any,
    config: RadialDescriptor,
    rows: Spans,
    tables: Mapping[str, Table],
    mean: Array,
    deviation: Array,
    columns: Spans,
) -> tuple[Tree, Array]:
    """Return the part common to all evaluations, and s (N, P)."""
    pairs = join(xp, tables)
    raw, factors = local_frames(xp, config.environment, pairs["rij"], pairs["mask"])
    parts = [
        (raw[:, :, span] - mean[:, b, :, None]) / deviation[:, b, :, None]
        for b, span in columns.items()
    ]
    scaled = concat(xp, parts, axis=2)
    visible = seen(xp, config.excluded, rows, columns, pairs["mask"])
    if visible is not None:
        scaled = scaled * visible[:, None, :]
        there = {key: x * visible for key, x in factors.items() if key != "unit"}
        factors = {**there, "unit": factors["unit"]}
    widths = {
        str(b): xp.zeros((span.stop - span.start,), dtype=xp.float64) for b, span in columns.items()
    }
    made = {"rij": pairs["rij"], "index": pairs["index"], "rows": scaled}
    return {**made, "factors": factors, "widths": widths}, raw[:, 0, :]


def _series(
    xp: Any,
    pairs: Tree,
    s: Array,
    parts: list[Slots],
    basis: Tree,
    atype: Array,
    rows: Spans,
    mean: Array,
    deviation: Array,
) -> Tree:
    """Return the part for series."""
    moments: list[Array] = []
    made: dict[str, Tree] = {}
    for each in parts:
        b, own = each.neighbour, basis[each.zone]
        start, reach = (xp.take(own[key], atype, axis=0)[:, b, None] for key in ("start", "reach"))
        stretch, sigma = 2.0 / (reach - start), deviation[:, b, :, None]
        by_x = xp.broadcast_to(stretch[:, :, None], sigma.shape)
        # In the order of the product with C and its derivative: alternating.
        factor = xp.reshape(xp.stack([1.0 / sigma, by_x], axis=2), (sigma.shape[0], 8, 1))
        entry: Tree = {"factor": factor}
        sums = []
        if each.zone == "far":
            empty = -mean[:, b, :, None] / sigma
            sums.append((each.missing * empty) * own["signs"][None, None, :])
        if each.columns is not None:
            x, r = (s[:, each.columns] - start) * stretch, pairs["rows"][:, :, each.columns]
            if each.mask is not None:
                x, r = x * each.mask, r * each.mask[:, None, :]
            entry["cheb"] = chebyshev(xp, x - 1.0, own["nodes"].shape[0])
            sums.append(xp.matmul(r, xp.matrix_transpose(entry["cheb"])))
        moments.append(sums[0] if len(sums) == 1 else sums[0] + sums[1])
        made.setdefault(str(b), {})[each.zone] = entry
    joined = concat(xp, moments, axis=2)
    total = joined.shape[2]
    split = {str(a): xp.reshape(joined[span, :, :], (-1, total)) for a, span in rows.items()}
    return {"series": made, "moments": split}
