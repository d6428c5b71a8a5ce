"""Tables of pairs side by side: the columns of each type of neighbours, and empty slots."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..nn.groups import FEW, together
from ..tree import Tree, numbered_values

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


def widths_of(geometry: Mapping[str, Any]) -> dict[int, int]:
    """Return the number of columns of each type of neighbours, in order, from ``widths``."""
    widths = geometry.get("widths", {})
    return {b: widths[str(b)].shape[-1] for b in sorted(map(int, widths))}


def missing_columns(sels: Sequence[int], geometry: Mapping[str, Any]) -> dict[int, int]:
    """Return the number of slots of ``sel`` without a column, for types with any.

    It is negative for columns in excess. In an export, the numbers of columns are not known.
    """
    widths = widths_of(geometry)
    missing = {b: sel - widths.get(b, 0) for b, sel in enumerate(sels) if sel}
    return {b: n for b, n in missing.items() if not isinstance(n, int) or n}


def seen(
    xp: Any,
    excluded: Collection[tuple[int, int]],
    atype: Array,
    counts: Mapping[int, int],
    columns: Spans,
    mask: Array,
) -> Array | None:
    """Return 0 for excluded pairs of types, else 1, (N, P); None without excluded pairs."""
    if not any((a, b) in excluded for a in counts for b in columns):
        return None
    last = max(*counts, *columns) + 1
    hidden = [[float((a, b) in excluded) for b in range(last)] for a in range(last)]
    rows = xp.take(xp.asarray(hidden, dtype=mask.dtype), atype, axis=0)
    parts = [rows[:, b, None] * mask[:, here] for b, here in columns.items()]
    return 1.0 - concat(xp, parts, axis=1)


def seen_kinds(
    xp: Any, excluded: Collection[tuple[int, int]], ntypes: int, atype: Array, kind: Array
) -> Array | None:
    """Return 0 for excluded pairs of types, else 1, (N, P); None without excluded pairs.

    Parameters
    ----------
    kind
        Type of the neighbour of each pair, (N, P).
    """
    if not excluded:
        return None
    rows = [float((a, b) not in excluded) for a in range(ntypes) for b in range(ntypes)]
    place = xp.reshape(atype[:, None] * ntypes + kind, (-1,))
    return xp.reshape(xp.take(xp.asarray(rows, dtype=xp.float64), place, axis=0), kind.shape)


@dataclass(frozen=True)
class Block:
    """Neighbours of some types in one zone, whose series are evaluated in one product."""

    zone: str
    neighbours: tuple[int, ...]
    columns: tuple[tuple[int, int], ...]  #: first and last + 1 of each type, in the joined tables

    @property
    def width(self) -> int:
        """Columns of each type, with padding."""
        return max((stop - start for start, stop in self.columns), default=0)

    @property
    def name(self) -> str:
        """Zone and types as text, from which :func:`block_of` recovers them."""
        return "-".join([self.zone, *map(str, self.neighbours)])


def block_of(name: str) -> Block:
    """Return the block of that name, without columns."""
    zone, *neighbours = name.split("-")
    return Block(zone, tuple(map(int, neighbours)), ())


def series_entries(geometry: Mapping[str, Any]) -> list[tuple[Block, Tree]]:
    """Return the blocks of ``series`` in order, without columns, and their arrays."""
    made = geometry.get("series", {})
    return [(block_of(name), x) for own in numbered_values(made) for name, x in own.items()]


def blocks(tables: Mapping[str, Any], alone: bool = False) -> list[Block]:
    """Return the blocks of the tables of all types of neighbours.

    A few types have blocks of their own, and with ``alone`` all of them.

    There is a far block of each type in the tables, though it may have no columns: empty slots
    are at s = 0, outside the interval of the series of near pairs.
    """
    near, far = {}, {}
    for b, span in columns_of(tables).items():
        edge = span.start + (tables[str(b)]["near"].shape[0] if "near" in tables[str(b)] else 0)
        if edge > span.start:
            near[b] = (span.start, edge)
        far[b] = (edge, span.stop)
    parts = [(zone, own) for zone, own in zip(ZONES, (near, far), strict=True) if own]
    known = all(isinstance(n, int) for edges in far.values() for n in edges)
    if alone or len(far) <= FEW or not known:  # in the order of the columns
        each = [(b, zone, own[b]) for b in far for zone, own in parts if b in own]
        return [Block(zone, (b,), (columns,)) for b, zone, columns in each]
    found = []
    for zone, own in parts:
        for kinds in together({b: stop - start for b, (start, stop) in own.items()}):
            found.append(Block(zone, kinds, tuple(own[b] for b in kinds)))
    return found


def column_blocks(sizes: Mapping[int, int]) -> list[Block]:
    """Return the blocks of tables of these widths, near pairs or not."""
    spans_of = {b: (span.start, span.stop) for b, span in spans(sizes).items() if sizes[b]}
    known = all(isinstance(n, int) for n in sizes.values())
    kinds = together({b: sizes[b] for b in spans_of}) if known else [(b,) for b in spans_of]
    return [Block("far", own, tuple(spans_of[b] for b in own)) for own in kinds]


def columns_in(found: Sequence[Block]) -> list[int] | None:
    """Return the place of each column of the joined tables among those of all blocks.

    None if the places are equal.
    """
    if not all(isinstance(n, int) for block in found for edges in block.columns for n in edges):
        return None  # those of an export are in order
    places: dict[int, int] = {}
    offset = 0
    for block in found:
        for start, stop in block.columns:
            places |= {start + k: offset + k for k in range(stop - start)}
            offset += block.width
    ordered = [places[column] for column in sorted(places)]
    return None if ordered == list(range(len(ordered))) else ordered


def missing_slots(xp: Any, sels: Sequence[int], tables: Mapping[str, Any], block: Block) -> Array:
    """Return the empty slots without a column, of each type of a far block, (N, nb).

    They are negative for columns in excess. Near pairs take slots, their empty columns do not.
    """
    parts = []
    for b, (start, stop) in zip(block.neighbours, block.columns, strict=True):
        table = tables[str(b)]
        free = float(sels[b]) - (stop - start)
        near = table["near"].shape[0] if "near" in table else 0
        own = xp.ones_like(table["mask"][:, :1]) * free
        if near:
            own = own - xp.sum(table["mask"][:, :near], axis=1)[:, None]
        parts.append(own)
    return concat(xp, parts, axis=1)


def kinds_of(xp: Any, counts: Mapping[int, int], atype: Array) -> Array:
    """Return 1 at the place of each atom's type among those present, else 0, (N, na)."""
    parts = [xp.astype(atype == a, xp.float64, copy=False)[:, None] for a in counts]
    return concat(xp, parts, axis=1)


def padded(xp: Any, block: Block, x: Array) -> Array:
    """Return (N, c, nb, k) from the columns of (N, c, P), with zeros where a type has fewer."""
    parts = []
    for start, stop in block.columns:
        part = x[:, :, start:stop]
        if stop - start < block.width:
            more = (*x.shape[:2], block.width - (stop - start))
            part = xp.concat([part, xp.zeros(more, dtype=x.dtype)], axis=2)
        parts.append(part)
    return parts[0][:, :, None, :] if len(parts) == 1 else xp.stack(parts, axis=2)


def spread(xp: Any, kind: Array, each: Array) -> Array:
    """Return (N, …) from (na, …): a product, whose derivative needs no scattering.

    Numbers of atoms are not known in an export, so that nothing can be repeated.
    """
    flat = xp.matmul(xp.astype(kind, each.dtype, copy=False), xp.reshape(each, (each.shape[0], -1)))
    return xp.reshape(flat, (-1, *each.shape[1:]))


def by_columns(xp: Any, x: Array, columns: Spans) -> Array:
    """Return (N, c, P), for the joined tables, from (N, ntypes, c)."""
    parts = [
        xp.broadcast_to(x[:, b, :, None], (x.shape[0], x.shape[2], span.stop - span.start))
        for b, span in columns.items()
    ]
    return concat(xp, parts, axis=2)
