"""Neighbours of many types in one table, and their pairs in tiles of one group each.

A table for each type would be mostly empty: its width is the most neighbours of that type around
any atom. In one table the cost follows the pairs, however many types there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..neighbors.cells import ranges
from ..neighbors.frame import Frame
from .filling import empty_table, fill
from .types import MixedTable, Tiles

#: The least and the most pairs in a tile: small ones repeat their net, large ones are not full.
SMALLEST, LARGEST = 8, 128

#: Near and other neighbours of an atom that the sizes of tiles are chosen for.
TYPICAL = (2, 96)


class Room(NamedTuple):
    """The sizes of a table, for near pairs or for the others."""

    width: int  #: columns
    tiles: int
    size: int  #: pairs in a tile


class Pairs(NamedTuple):
    """All pairs of a batch, by frame, type of the neighbour and centre."""

    row: np.ndarray  #: place of the centre in the batch, (npairs,)
    column: np.ndarray  #: among the near pairs of the centre, or among the others, (npairs,)
    zone: np.ndarray  #: 0 for near pairs, 1 for the others, (npairs,)
    kind: np.ndarray  #: type of the neighbour, (npairs,)
    neighbor: np.ndarray  #: place of the neighbour, (npairs,)
    rij: np.ndarray  #: Å, (npairs, 3)
    number: np.ndarray  #: pairs of each type of neighbours, (N, ntypes)

    @property
    def widths(self) -> tuple[int, int]:
        """Columns needed for near pairs, and for the others."""
        near, far = (self.column[self.zone == zone].max(initial=-1) for zone in (0, 1))
        return int(near) + 1, int(far) + 1

    def groups(self, atype: np.ndarray, two_sided: bool) -> np.ndarray:
        """Return the group of each pair, for the types of all places."""
        if two_sided:
            return np.asarray(atype[self.row] * self.number.shape[1] + self.kind)
        return self.kind


def widths_of(frame: Frame, ntypes: int, inner: float) -> tuple[int, int]:
    """Return the most pairs closer than ``inner`` (Å) around one atom, and the most others."""
    own = np.arange(len(frame.atype) + frame.nghost)
    return pairs_of([frame], [own], len(frame.atype), ntypes, inner).widths


def pairs_of(
    frames: Sequence[Frame],
    places: Sequence[np.ndarray],
    natoms: int,
    ntypes: int,
    inner: float,
) -> Pairs:
    """Return the pairs of frames whose atoms have these places of ``natoms``.

    Parameters
    ----------
    inner
        Å; closer pairs are near.
    """
    number = np.zeros((2, natoms, ntypes), dtype=np.int64)
    parts = []
    for frame, place in zip(frames, places, strict=True):
        for b, table in frame.tables.items():
            row, columns = place[table.i], table.columns(inner)
            zone = np.where(columns.near, 0, 1)
            count = np.bincount(zone * natoms + row, minlength=2 * natoms)
            number[:, :, b] += count.reshape(2, natoms)
            kind = np.full(row.size, b)
            parts.append((row, columns.col, zone, kind, place[table.j], table.rij))
    row, col, zone, kind, neighbor, rij = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    before = np.cumsum(number, axis=2) - number
    column = before[zone, row, kind] + col
    return Pairs(row, column, zone, kind, neighbor, rij, number.sum(axis=0))


def tile_size(natoms: int, groups: int, typical: int) -> int:
    """Return the pairs in a tile, for so many atoms and groups: a power of two.

    Parameters
    ----------
    typical
        Pairs of an atom.
    """
    expected = 1.5 * natoms * typical / max(groups, 1)
    return min(LARGEST, max(SMALLEST, 1 << max(0, int(expected - 1)).bit_length()))


def tiles_needed(groups: np.ndarray, size: int) -> int:
    """Return the number of tiles for pairs of these groups, (npairs,)."""
    return int((-(-np.bincount(groups) // size)).sum())


def mixed_table(pairs: Pairs, groups: np.ndarray, natoms: int, rooms: Sequence[Room]) -> MixedTable:
    """Return the table of all pairs.

    Parameters
    ----------
    groups
        Of each pair, (npairs,).
    natoms
        Places for atoms, N.
    rooms
        For near pairs, and for the others.
    """
    near, far = rooms
    table = empty_table(natoms, near.width + far.width)
    column = pairs.column + np.where(pairs.zone == 0, 0, near.width)
    flat = fill(table, pairs.row, column, pairs.neighbor, pairs.rij)
    kind = np.zeros(table["mask"].shape, dtype=np.int64)
    kind.reshape(-1)[flat] = pairs.kind
    tiles = []
    for zone, room in enumerate(rooms):
        mine = pairs.zone == zone
        slots = pairs.row[mine] * room.width + pairs.column[mine]
        tiles.append(_tiles(slots, groups[mine], natoms, room))
    number = pairs.number.astype(np.float64)
    made: MixedTable = {
        "rij": table["rij"],
        "index": table["index"],
        "mask": table["mask"],
        "kind": kind,
        "number": number,
        "far": tiles[1],
    }
    if near.width:
        made["near"] = tiles[0]
    return made


def _tiles(flat: np.ndarray, groups: np.ndarray, natoms: int, room: Room) -> Tiles:
    """Return tiles with the pairs at places in the columns as one row, (npairs,)."""
    order = np.lexsort((flat, groups))
    counts = np.bincount(groups)
    tiles = -(-counts // room.size)
    # The pairs of a group have consecutive places, from that of its first tile on.
    place = ranges((np.cumsum(tiles) - tiles) * room.size, counts)
    slots = np.zeros(room.tiles * room.size, dtype=np.int64)
    live = np.zeros(slots.size)
    places = np.zeros((natoms, room.width), dtype=np.int64)
    slots[place], live[place] = flat[order], 1.0
    places.reshape(-1)[flat[order]] = place
    own = np.zeros(room.tiles, dtype=np.int64)
    own[: tiles.sum()] = np.repeat(np.arange(tiles.size), tiles)
    return {"groups": own, "slots": slots, "live": live, "places": places}
