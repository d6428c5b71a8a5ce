"""Neighbours of all types in one table, the nearest first.

Columns of neighbours within a shorter cutoff are then the first ones, so that a descriptor takes
them with a slice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..neighbors.frame import Frame
from .filling import empty_table, fill
from .mixed import Pairs, pairs_of
from .types import OrderedTable

#: Widths of shells with static shapes are multiples of this.
STEP = 4


def ordered_pairs(
    frames: Sequence[Frame], places: Sequence[np.ndarray], natoms: int, ntypes: int
) -> Pairs | None:
    """Return the pairs of frames with columns in the order of distance; None without pairs.

    Parameters
    ----------
    frames
        With the places of their atoms among ``natoms``.
    """
    if not any(frame.tables for frame in frames):
        return None
    pairs = pairs_of(frames, places, natoms, ntypes, 0.0)
    order = np.lexsort((_squared(pairs), pairs.row))
    row = pairs.row[order]
    counts = np.bincount(row, minlength=natoms)
    column = np.arange(row.size) - (np.cumsum(counts) - counts)[row]
    return pairs._replace(
        row=row,
        column=column,
        kind=pairs.kind[order],
        neighbor=pairs.neighbor[order],
        rij=pairs.rij[order],
    )


def _squared(pairs: Pairs) -> np.ndarray:
    x, y, z = pairs.rij.T
    return np.asarray(x * x + y * y + z * z)


def shell_widths(pairs: Pairs | None, shells: Sequence[tuple[float, int]]) -> list[int]:
    """Return the columns needed for the neighbours within each shell, at most its number."""
    if pairs is None:
        return [0 for _ in shells]
    squared = _squared(pairs)
    found = [pairs.column[squared < radius * radius].max(initial=-1) + 1 for radius, _ in shells]
    return [min(int(n), most) for n, (_, most) in zip(found, shells, strict=True)]


def ordered_table(
    pairs: Pairs | None, natoms: int, width: int, shells: Sequence[int]
) -> OrderedTable:
    """Return the table of pairs from :func:`ordered_pairs`.

    Parameters
    ----------
    natoms
        Places for atoms, N.
    width
        Columns.
    shells
        Columns of each shell.
    """
    table = empty_table(natoms, width)
    kind = np.zeros(natoms * width, dtype=np.int64)
    if pairs is not None:
        kind[fill(table, pairs.row, pairs.column, pairs.neighbor, pairs.rij)] = pairs.kind
    return {
        **table,
        "kind": kind.reshape(natoms, width),
        "shells": {str(k): np.zeros(m) for k, m in enumerate(shells)},
    }
