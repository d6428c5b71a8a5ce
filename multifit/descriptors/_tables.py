"""Tables of pairs side by side: the columns of each type of neighbours, and empty slots."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..tree import Tree

Array = Any
Spans = dict[int, slice]  #: a type → the rows of its centres, or the columns of its neighbours

#: Near pairs, which have separate columns and series, and the others.
ZONES = ("near", "far")


def spans(sizes: Mapping[int, int]) -> Spans:
    """Return the range of each type, from the numbers of each, in order."""
    found, start = {}, 0
    for kind, n in sizes.items():
        stop = start + n  # in an export, numbers are arrays: += would change the slice before
        found[kind] = slice(start, stop)
        start = stop
    return found


def concat(xp: Any, parts: Sequence[Array], axis: int) -> Array:
    """Return arrays concatenated; a single one without a copy."""
    return parts[0] if len(parts) == 1 else xp.concat(list(parts), axis=axis)


def join(xp: Any, tables: Mapping[str, Any]) -> Tree:
    """Return the tables of all types of neighbours side by side: ``rij``, ``index``, ``mask``."""
    found = [tables[b] for b in sorted(tables, key=int)]
    keys = ("rij", "index", "mask")
    return {key: concat(xp, [table[key] for table in found], axis=-1) for key in keys}


def columns_of(tables: Mapping[str, Any]) -> Spans:
    """Return the columns of each type of neighbours in the tables side by side."""
    return spans({b: tables[str(b)]["mask"].shape[1] for b in sorted(map(int, tables))})


def seen(
    xp: Any, excluded: Collection[tuple[int, int]], rows: Spans, columns: Spans, mask: Array
) -> Array | None:
    """Return 0 for excluded pairs of types, else 1, (N, P); None without excluded pairs."""
    if not any((a, b) in excluded for a in rows for b in columns):
        return None
    bands = []
    for a, span in rows.items():
        parts = [
            1.0 - mask[span, here] if (a, b) in excluded else xp.ones_like(mask[span, here])
            for b, here in columns.items()
        ]
        bands.append(concat(xp, parts, axis=1))
    return concat(xp, bands, axis=0)


@dataclass(frozen=True)
class Slots:
    """The slots for neighbours of one type in one zone."""

    neighbour: int
    zone: str
    columns: slice | None  #: of the stored ones
    mask: Array = None  #: 1 for a pair, (N, k), if empty slots do not count
    missing: Array | float = 0.0  #: empty slots without a column; negative for excess columns


def slots(
    xp: Any, sels: Sequence[int], tables: Mapping[str, Any], columns: Spans
) -> Iterator[Slots]:
    """Yield the parts with a series, in the order of types of neighbours and of :data:`ZONES`.

    Empty slots are at s = 0, outside the interval of the series of near pairs.
    """
    for b, sel in enumerate(sels):
        if not sel:
            continue
        span = columns.get(b, slice(0, 0))
        table = tables.get(str(b), {})
        near = table["near"].shape[0] if "near" in table else 0
        others = slice(span.start + near, span.stop)
        missing: Array | float = float(sel - (others.stop - others.start))
        if near:
            mask = table["mask"][:, :near]
            yield Slots(b, "near", slice(span.start, span.start + near), mask)
            missing = missing - xp.sum(mask, axis=1)[:, None, None]
        yield Slots(b, "far", others if others.stop > others.start else None, None, missing)
