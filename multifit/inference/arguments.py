"""What people give to :meth:`multifit.Potential.predict`, as arrays of the shapes it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError


def numbers(name: str, value: Any) -> np.ndarray:
    """Return what was given as float64."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise DataError(f"{name} must be numbers in an array or in lists of one length") from exc


def frames(coord: Any) -> np.ndarray:
    """Return coordinates as (nframes, natoms, 3), one frame or more of one atom or more."""
    x = numbers("coord", coord)
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3 or x.shape[2] != 3:
        raise DataError(
            f"coord has the shape {np.shape(coord)}, but must have (natoms, 3) or "
            "(nframes, natoms, 3)"
        )
    if 0 in x.shape:
        what = "no frames" if x.shape[0] == 0 else "no atoms"
        raise DataError(f"coord has the shape {np.shape(coord)}: there are {what}; give at least 1")
    return x


def periodic(pbc: Any) -> list[bool]:
    """Return whether each of the three lattice vectors repeats."""
    try:
        flags = np.asarray(pbc)
    except ValueError:
        flags = np.zeros(0)
    if flags.shape not in {(), (3,)} or flags.dtype.kind not in "biu":
        raise DataError(f"pbc must be one or three of True and False, not {pbc!r}")
    return [bool(flag) for flag in np.broadcast_to(flags, (3,))]


def cells(cell: Any, nframes: int) -> list[np.ndarray | None]:
    """Return each frame's cell (3, 3), or None where there is none."""
    if cell is None:
        return [None] * nframes
    x = numbers("cell", cell)
    if x.shape in ((9,), (nframes, 9)):
        x = x.reshape(*x.shape[:-1], 3, 3)
    if x.shape == (3, 3):
        return [x] * nframes
    if x.shape != (nframes, 3, 3):
        raise DataError(
            f"cell has the shape {np.shape(cell)}, but must be (3, 3) or {nframes}×(3, 3)"
        )
    return list(x)
