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
from .types import MixedTable

#: The least and the most pairs in a tile: small ones repeat their net, large ones are not full.
SMALLEST, LARGEST = 8, 128

#: Neighbours of an atom that a tile's size is chosen for.
TYPICAL = 96


class Room(NamedTuple):
    """The sizes of a mixed table."""

    width: int  #: columns
    tiles: int
    size: int  #: pairs in a tile


class Pairs(NamedTuple):
    """All pairs of a batch, by frame, centre and type of the neighbour."""

    row: np.ndarray  #: place of the centre in the batch, (npairs,)
    column: np.ndarray  #: (npairs,)
    kind: np.ndarray  #: type of the neighbour, (npairs,)
    neighbor: np.ndarray  #: place of the neighbour, (npairs,)
    rij: np.ndarray  #: Å, (npairs, 3)
    number: np.ndarray  #: pairs of each type of neighbours, (N, ntypes)

    @property
    def width(self) -> int:
        """Columns needed."""
        return int(self.column.max(initial=-1)) + 1

    def groups(self, atype: np.ndarray, two_sided: bool) -> np.ndarray:
        """Return the group of each pair, for the types of all places."""
        if two_sided:
            return np.asarray(atype[self.row] * self.number.shape[1] + self.kind)
        return self.kind


def most_neighbors(frame: Frame) -> int:
    """Return the most neighbours of all types around one atom, of those that count."""
    counts = [np.bincount(t.i, minlength=len(frame.atype)) for t in frame.tables.values()]
    return int(np.sum(counts, axis=0).max(initial=0)) if counts else 0


def pairs_of(
    frames: Sequence[Frame], places: Sequence[np.ndarray], natoms: int, ntypes: int
) -> Pairs:
    """Return the pairs of frames whose atoms have these places of ``natoms``."""
    number = np.zeros((natoms, ntypes), dtype=np.int64)
    parts = []
    for frame, place in zip(frames, places, strict=True):
        for b, table in frame.tables.items():
            row = place[table.i]
            number[:, b] += np.bincount(row, minlength=natoms)
            parts.append((row, table.col, np.full(row.size, b), place[table.j], table.rij))
    row, col, kind, neighbor, rij = (np.concatenate(part) for part in zip(*parts, strict=True))
    before = np.cumsum(number, axis=1) - number
    return Pairs(row, before[row, kind] + col, kind, neighbor, rij, number)


def tile_size(natoms: int, groups: int) -> int:
    """Return the pairs in a tile, for so many atoms and groups: a power of two."""
    expected = 1.5 * natoms * TYPICAL / max(groups, 1)
    return min(LARGEST, max(SMALLEST, 1 << max(0, int(expected - 1)).bit_length()))


def tiles_needed(groups: np.ndarray, size: int) -> int:
    """Return the number of tiles for pairs of these groups, (npairs,)."""
    return int((-(-np.bincount(groups) // size)).sum())


def mixed_table(pairs: Pairs, groups: np.ndarray, natoms: int, room: Room) -> MixedTable:
    """Return the table of all pairs.

    Parameters
    ----------
    groups
        Of each pair, (npairs,).
    natoms
        Places for atoms, N.
    """
    table = empty_table(natoms, room.width)
    flat = fill(table, pairs.row, pairs.column, pairs.neighbor, pairs.rij)
    kind = np.zeros(natoms * room.width, dtype=np.int64)
    kind[flat] = pairs.kind
    order = np.lexsort((flat, groups))
    counts = np.bincount(groups)
    tiles = -(-counts // room.size)
    # The pairs of a group have consecutive places, from that of its first tile on.
    place = ranges((np.cumsum(tiles) - tiles) * room.size, counts)
    slots = np.zeros(room.tiles * room.size, dtype=np.int64)
    live = np.zeros(slots.size)
    places = np.zeros(natoms * room.width, dtype=np.int64)
    slots[place], live[place], places[flat[order]] = flat[order], 1.0, place
    own = np.zeros(room.tiles, dtype=np.int64)
    own[: tiles.sum()] = np.repeat(np.arange(tiles.size), tiles)
    return {
        **table,
        "kind": kind.reshape(natoms, room.width),
        "number": pairs.number.astype(np.float64),
        "groups": own,
        "slots": slots,
        "live": live,
        "places": places.reshape(natoms, room.width),
    }
