r"""What the descriptor needs to know of the neighbours: nothing of it depends on a network.

It is computed once for a batch, outside of what is differentiated, and for frames that come again
once in a run. For N atoms and P slots for pairs, the tables of all types of neighbours side by
side, it is a tree of

===================== ===================== =====================================================
key                   shape                 what it is
===================== ===================== =====================================================
``rij``, ``index``    (N, 3, P), (N, P)     the pairs, if there are any, as all that follows
``rows``              (N, 4, P)             R̃
``factors``                                 of :func:`~._environment.to_vectors`
``widths.b``          (k,)                  the columns of type b; the values mean nothing
``series.b.z.cheb``   (N, K, k)             T(x) of the pairs of type b in zone z
``series.b.z.factor`` (N, 8, 1)             ∂R̃/∂R and ∂x/∂s = 2/(s₁ − s₀), by turns, four of each
``moments.a``         (4n, ΣK)              A of the atoms of type a, over all of ``series``
===================== ===================== =====================================================

of which the last three are there only with a basis for the series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...tree import Tree
from .._environment import local_frames
from ._settings import SeE2A
from ._spectral import chebyshev

Array = Any
Spans = dict[int, slice]  #: a type → the rows of its centres, or the columns of its neighbours

#: Near pairs, which have columns and a series of their own, and the others.
ZONES = ("near", "far")


def spans(sizes: Mapping[int, int]) -> Spans:
    """Return where each type lies, from how many there are of each, in their order."""
    found, start = {}, 0
    for kind, n in sizes.items():
        found[kind] = slice(start, start + n)
        start += n
    return found


def concat(xp: Any, parts: Sequence[Array], axis: int) -> Array:
    """Return arrays one after the other; a single one as it is, which copies nothing."""
    return parts[0] if len(parts) == 1 else xp.concat(list(parts), axis=axis)


def join(xp: Any, tables: Mapping[str, Tree]) -> Tree:
    """Return the tables of all types of neighbours side by side: ``rij``, ``index``, ``mask``."""
    found = [tables[b] for b in sorted(tables, key=int)]
    keys = ("rij", "index", "mask")
    return {key: concat(xp, [table[key] for table in found], axis=-1) for key in keys}


def geometry(
    xp: Any,
    config: SeE2A,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Tree],
    basis: Tree | None = None,
) -> Tree:
    """Return what is to be known of the neighbours of N atoms.

    Parameters
    ----------
    params
        ``davg`` and ``dstd``, (ntypes, ntypes, 4).
    atype
        (N,) integers.
    counts
        How many atoms of each type that occurs, in order.
    tables
        For each neighbour type that occurs, under its number: ``rij`` (N, 3, k) in Å, ``mask`` and
        ``index`` (N, k). Slots of ``sel`` that a table lacks count as empty, those that it has too
        many as not there. With ``near`` (m,) the first m columns are those of near pairs.
    basis
        ``near`` and ``far`` from :func:`multifit.descriptors.chebyshev_basis`, as arrays of xp.
    """
    rows = spans(counts)
    mean, deviation = (xp.take(params[key], atype, axis=0) for key in ("davg", "dstd"))
    columns = spans({b: tables[str(b)]["mask"].shape[1] for b in sorted(map(int, tables))})
    made: Tree = {}
    s: Array = None
    if tables:
        made, s = _pairs(xp, config, rows, tables, mean, deviation, columns)
    if basis is None:
        return made
    slots = list(_slots(xp, config, tables, columns))
    return made | _series(xp, made, s, slots, basis, atype, rows, mean, deviation)


def _pairs(
    xp: Any,
    config: SeE2A,
    rows: Spans,
    tables: Mapping[str, Tree],
    mean: Array,
    deviation: Array,
    columns: Spans,
) -> tuple[Tree, Array]:
    """Return the part that every embedding needs, and s (N, P)."""
    pairs = join(xp, tables)
    raw, factors = local_frames(xp, config.environment, pairs["rij"], pairs["mask"])
    parts = [
        (raw[:, :, span] - mean[:, b, :, None]) / deviation[:, b, :, None]
        for b, span in columns.items()
    ]
    scaled = concat(xp, parts, axis=2)
    seen = _seen(xp, config, rows, columns, pairs["mask"])
    if seen is not None:
        scaled = scaled * seen[:, None, :]
        there = {key: x * seen for key, x in factors.items() if key != "unit"}
        factors = {**there, "unit": factors["unit"]}
    widths = {
        str(b): xp.zeros((span.stop - span.start,), dtype=xp.float64) for b, span in columns.items()
    }
    made = {"rij": pairs["rij"], "index": pairs["index"], "rows": scaled}
    return {**made, "factors": factors, "widths": widths}, raw[:, 0, :]


def _seen(xp: Any, config: SeE2A, rows: Spans, columns: Spans, mask: Array) -> Array | None:
    """Return 0 for pairs of types that are excluded, else 1, (N, P); None if all are seen."""
    if not any((a, b) in config.excluded for a in rows for b in columns):
        return None
    bands = []
    for a, span in rows.items():
        parts = [
            1.0 - mask[span, here] if (a, b) in config.excluded else xp.ones_like(mask[span, here])
            for b, here in columns.items()
        ]
        bands.append(concat(xp, parts, axis=1))
    return concat(xp, bands, axis=0)


@dataclass(frozen=True)
class _Slots:
    """The slots for neighbours of one type in one zone."""

    neighbour: int
    zone: str
    columns: slice | None  #: of those that are stored
    mask: Array = None  #: 1 for a pair, (N, k), where only pairs count
    missing: Array | float = 0.0  #: empty ones that no column stands for; negative if it must


def _slots(xp: Any, config: SeE2A, tables: Mapping[str, Tree], columns: Spans) -> Iterator[_Slots]:
    """Yield what has a series, in the order of types of neighbours and of :data:`ZONES`.

    Empty slots lie at s = 0, which the series of near pairs does not hold.
    """
    for b, sel in enumerate(config.sel):
        if not sel:
            continue
        span = columns.get(b, slice(0, 0))
        table = tables.get(str(b), {})
        near = table["near"].shape[0] if "near" in table else 0
        others = slice(span.start + near, span.stop)
        missing: Array | float = float(sel - (others.stop - others.start))
        if near:
            mask = table["mask"][:, :near]
            yield _Slots(b, "near", slice(span.start, span.start + near), mask)
            missing = missing - xp.sum(mask, axis=1)[:, None, None]
        yield _Slots(b, "far", others if others.stop > others.start else None, None, missing)


def _series(
    xp: Any,
    pairs: Tree,
    s: Array,
    slots: list[_Slots],
    basis: Tree,
    atype: Array,
    rows: Spans,
    mean: Array,
    deviation: Array,
) -> Tree:
    """Return the part that series need."""
    moments: list[Array] = []
    made: dict[str, Tree] = {}
    for each in slots:
        b, own = each.neighbour, basis[each.zone]
        start, reach = (xp.take(own[key], atype, axis=0)[:, b, None] for key in ("start", "reach"))
        stretch, sigma = 2.0 / (reach - start), deviation[:, b, :, None]
        by_x = xp.broadcast_to(stretch[:, :, None], sigma.shape)
        # The order of what a product with C and its derivative returns: by turns.
        factor = xp.reshape(xp.stack([1.0 / sigma, by_x], axis=2), (sigma.shape[0], 8, 1))
        entry: Tree = {"factor": factor}
        parts = []
        if each.zone == "far":
            empty = -mean[:, b, :, None] / sigma
            parts.append((each.missing * empty) * own["signs"][None, None, :])
        if each.columns is not None:
            x, r = (s[:, each.columns] - start) * stretch, pairs["rows"][:, :, each.columns]
            if each.mask is not None:
                x, r = x * each.mask, r * each.mask[:, None, :]
            entry["cheb"] = chebyshev(xp, x - 1.0, own["nodes"].shape[0])
            parts.append(xp.matmul(r, xp.matrix_transpose(entry["cheb"])))
        moments.append(parts[0] if len(parts) == 1 else parts[0] + parts[1])
        made.setdefault(str(b), {})[each.zone] = entry
    joined = concat(xp, moments, axis=2)
    total = joined.shape[2]
    split = {str(a): xp.reshape(joined[span, :, :], (-1, total)) for a, span in rows.items()}
    return {"series": made, "moments": split}
