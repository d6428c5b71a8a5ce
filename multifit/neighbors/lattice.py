"""A cell that is periodic in some directions, checked, with what the search needs of it.

Frames of a trajectory in a fixed cell share these numbers: they are kept for the last few cells.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..errors import DataError

#: Lattice vectors shorter than this are considered zero, Å.
TOO_SHORT = 1e-6

#: Lattice vectors longer than this are considered mistakes: as for coordinates, Å.
TOO_LONG = 1e10

#: Smallest singular value of the periodic lattice vectors, scaled to length 1.
FLAT = 1e-8

#: Cells that are kept.
KEPT = 64


@dataclass(frozen=True, eq=False)
class Lattice:
    """A cell, complete in open directions; arrays are read-only."""

    cell: np.ndarray  #: open rows are unit vectors normal to the others, Å, (3, 3)
    periodic: np.ndarray  #: flags of the periodic directions, (3,) bool
    inverse: np.ndarray  #: of the cell, 1/Å, (3, 3)
    heights: np.ndarray  #: distances between opposite faces, Å, (3,)
    volume: float  #: Å³


def lattice(cell: np.ndarray | None, periodic: np.ndarray, at: str = "") -> Lattice:
    """Return a cell whose periodic rows are finite and independent, completed.

    Parameters
    ----------
    cell
        Lattice vectors as rows, Å, (3, 3); rows of open directions are not read.
    periodic
        Flags of the periodic directions, (3,) bool.
    at
        Start of error messages.

    Raises
    ------
    DataError
        If the cell is missing, not finite or singular.
    """
    given = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64)
    found = _known(given.tobytes(), periodic.tobytes(), cell is None)
    if isinstance(found, str):
        raise DataError(at + found)
    return found


@functools.lru_cache(maxsize=KEPT)
def _known(cell: bytes, periodic: bytes, missing: bool) -> Lattice | str:
    """Return a cell given as bytes, or what is wrong with it."""
    box = np.frombuffer(cell, dtype=np.float64).reshape(3, 3)
    flags = np.frombuffer(periodic, dtype=bool)
    problem = _problem(box, flags, missing)
    if problem:
        return problem
    full = complete_cell(box, flags)
    inverse = np.linalg.inv(full)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    for array in (full, inverse, heights):
        array.flags.writeable = False
    return Lattice(full, flags, inverse, heights, abs(float(np.linalg.det(full))))


def _problem(box: np.ndarray, periodic: np.ndarray, missing: bool) -> str:
    """Return what is wrong with the periodic rows of a cell, or an empty string."""
    rows = box[periodic]
    if not np.isfinite(rows).all() or (np.abs(rows) > TOO_LONG).any():
        return f"the cell {box.tolist()} is not finite or absurdly large"
    length = np.linalg.norm(rows, axis=1)
    if len(rows) and (missing or not length.any()):
        return (
            "the system is periodic but its cell is left out or zero; "
            "give the cell, or mark the system as not periodic"
        )
    if (length < TOO_SHORT).any() or (
        np.linalg.svd(rows / length[:, None], compute_uv=False) < FLAT
    ).any():
        return (
            f"the cell {box.tolist()} is singular: its periodic lattice vectors must be "
            "independent and not zero"
        )
    return ""


def complete_cell(cell: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Return the cell with its open rows replaced by unit vectors normal to the periodic rows.

    Parameters
    ----------
    cell
        Lattice vectors as rows, Å, (3, 3); rows of open directions are not read.
    periodic
        Flags of the periodic directions, (3,) bool; their rows are linearly independent.
    """
    full = np.eye(3)
    if periodic.any():
        normals = np.linalg.qr(cell[periodic].T, mode="complete")[0].T
        full[~periodic] = normals[periodic.sum() :]
        full[periodic] = cell[periodic]
    return full
