"""Coordinates, cells and flags as given by the user, as arrays of known type and shape.

Values are not checked here: :func:`multifit.neighbors.search.positions` rejects non-finite
ones, and singular cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError


def numbers(name: str, value: Any, at: str = "") -> np.ndarray:
    """Return the values as float64; ``at`` starts the message if they are not numbers.

    Raises
    ------
    DataError
        If they are not an array of numbers.
    """
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise DataError(
            f"{at}{name} must be numbers in an array or in lists of one length"
        ) from exc


def periodic(pbc: Any, at: str = "") -> np.ndarray:
    """Return True for each periodic lattice vector, (3,) bool, from one flag or three.

    Raises
    ------
    DataError
        If there are not one or three, or they are not flags.
    """
    try:
        flags = np.asarray(pbc)
    except ValueError:
        flags = np.zeros(0)
    if flags.shape not in {(), (3,)} or flags.dtype.kind not in "biu":
        raise DataError(f"{at}pbc must be one or three of True and False, not {pbc!r}")
    return np.broadcast_to(flags.astype(bool), (3,))


def arrays(
    coord: Any, cell: Any, pbc: Any, where: str = ""
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Return the coordinates (natoms, 3), the cell (3, 3) or None, and the flags (3,) of a frame.

    Raises
    ------
    DataError
        If a shape is wrong, or an array does not hold numbers.
    """
    at = f"{where}: " if where else ""
    x = numbers("the coordinates", coord, at)
    if x.ndim != 2 or x.shape[1] != 3:
        raise DataError(f"{at}the coordinates must have shape (natoms, 3), not {x.shape}")
    box = None if cell is None else numbers("the cell", cell, at)
    if box is not None and box.shape != (3, 3):
        raise DataError(
            f"{at}the cell must have shape (3, 3), one lattice vector per row, not {box.shape}"
        )
    return x, box, periodic(pbc, at)
