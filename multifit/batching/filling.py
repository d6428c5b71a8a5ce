"""Pairs in the rows and columns of a table."""

from __future__ import annotations

import numpy as np

from .types import Neighbors


def empty_table(natoms: int, width: int) -> Neighbors:
    """Return a table without pairs."""
    return {
        "rij": np.zeros((natoms, 3, width)),
        "index": np.zeros((natoms, width), dtype=np.int64),
        "mask": np.zeros((natoms, width)),
    }


def fill(
    table: Neighbors, row: np.ndarray, column: np.ndarray, neighbor: np.ndarray, rij: np.ndarray
) -> np.ndarray:
    """Put pairs into a table, and return their places in it as one row, (npairs,).

    Parameters
    ----------
    row, column
        Of each pair, (npairs,).
    neighbor
        Row of the neighbour, (npairs,).
    rij
        Å, (npairs, 3).
    """
    width = table["mask"].shape[1]
    # One flat index is three times faster than one for each axis.
    start = row * width
    flat: np.ndarray = start + column
    table["index"].reshape(-1)[flat] = neighbor
    table["mask"].reshape(-1)[flat] = 1.0
    place = flat + 2 * start
    for axis, x in enumerate(rij.T):
        table["rij"].reshape(-1)[place + axis * width] = x
    return flat
