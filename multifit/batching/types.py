"""The arrays of a batch, by name, with their shapes and units.

A batch has N places for atoms, sorted by type across frames; type a has n_a. Padding, of places and
frames, has a mask, or a number of atoms, of zero. ``Array`` is a NumPy array on the host and an
array of the backend on the device. Parameters of frames and atoms have the units of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NotRequired, TypedDict, cast

from ..tree import map_leaves

Array = Any


class Centres(TypedDict):
    """The atoms of one type as centres."""

    frame: Array  #: frame of each atom, int64, (n_a,)
    atom: Array  #: atom in its frame, int64, (n_a,)
    mask: Array  #: 1 for a real atom, 0 for padding, (n_a,)
    aparam: NotRequired[Array]  #: atomic parameters, (n_a, numb_aparam)


class Neighbors(TypedDict):
    """Neighbours around all atoms, at most k of an atom."""

    rij: Array  #: vectors from the centre to the neighbour, Å, (N, 3, k)
    index: Array  #: row of the neighbour: below N, or N + row among ``ghosts``, int64, (N, k)
    mask: Array  #: 1 for a pair, 0 for an empty column, (N, k)


class Table(Neighbors):
    """The neighbours of one type."""

    near: Array  #: zeros; the first m of the k columns are those of near pairs, (m,)
    first: NotRequired[Array]  #: type of the first atom of each centre's frame, int64, (N,)


class Tiles(TypedDict):
    """Pairs in k columns of a table, in tiles of r pairs of one group.

    A group is one type of neighbours, or one pair of types. There are enough tiles for all
    groups, so that nets of many types are applied in one batched product.
    """

    groups: Array  #: group of each tile: a type b, or a · ntypes + b, int64, (tiles,)
    slots: Array  #: place of each pair of the tiles in the columns as one row, int64, (tiles · r,)
    live: Array  #: 1 for a pair, 0 for padding of a tile, (tiles · r,)
    places: Array  #: place of each pair among those of all tiles, 0 if empty, int64, (N, k)


class MixedTable(Neighbors):
    """The neighbours of all types around all atoms: near pairs in the first columns."""

    kind: Array  #: type of the neighbour, 0 for an empty column, int64, (N, k)
    number: Array  #: pairs of each type of neighbours, as floats, (N, ntypes)
    near: NotRequired[Tiles]  #: of the first m columns, if there are near pairs
    far: Tiles  #: of the other columns


class OrderedTable(Neighbors):
    """The neighbours of all types around all atoms, the nearest first."""

    kind: Array  #: type of the neighbour, 0 for an empty column, int64, (N, k)
    #: number of each shell → zeros; all neighbours within it are in the first m columns, (m,)
    shells: dict[str, Array]


#: Key of an :class:`OrderedTable` among the tables of a batch, then the only one.
ORDERED = "ordered"

#: Key of a :class:`MixedTable` among the tables of a batch, then the only one.
MIXED = "mixed"

#: Key of the tables of each part of a descriptor, by its number; then the only one.
PARTS = "parts"


def each_table(tables: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every table of a batch: of all parts of the descriptor, if it has several."""
    for name, table in tables.items():
        if name == PARTS:
            for own in table.values():
                yield from each_table(own)
        else:
            yield table


class Batch(TypedDict):
    """Frames and their neighbours as the core takes them; keys are types as strings."""

    natoms: Array  #: real atoms of each frame, as floats; 0 for padding, (nframes,)
    atype: Array  #: type of each place, int64, (N,)
    centres: dict[str, Centres]  #: of the types present in the batch
    tables: NotRequired[dict[str, Any]]  #: until :func:`multifit.models.prepared` replaces them
    geometry: NotRequired[dict[str, Any]]  #: opaque: the tables as preprocessed by the descriptor
    plan: NotRequired[dict[str, Any]]  #: opaque: the descriptor's plan of evaluation, if any
    ghosts: NotRequired[Array]  #: zeros; places for ghosts at which pairs may end, (M,)
    directions: NotRequired[Array]  #: atoms displaced by columns of the Hessian, (natoms, m)
    fparam: NotRequired[Array]  #: frame parameters, (nframes, numb_fparam)


def map_arrays(f: Callable[[Any], Any], batch: Batch) -> Batch:
    """Return the batch with f applied to every array."""
    return cast(Batch, map_leaves(f, batch))
