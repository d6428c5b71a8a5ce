"""Pairs within a cutoff in a small cell that is at least twice as wide: one image of each atom.

Along a lattice vector whose faces are h apart, two places closer than h/2 differ by less than half
of it. Rounding the fractional differences therefore finds the only image of an atom that can be
within a cutoff below h/2: there are no others to compare.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .lattice import Lattice

#: Pairs of atoms compared at once; more do not fit in the processor's cache.
MOST = 300_000

#: Rounding of a difference of fractional coordinates in float32.
ROUNDING = 4e-7


class Nearest(NamedTuple):
    """Pairs that may be close, sorted by (i, j)."""

    i: np.ndarray  #: int32, (npairs,)
    j: np.ndarray  #: int32, (npairs,)
    code: np.ndarray  #: of the shift, as in ``Candidates``, int32, (npairs,)
    reach: np.ndarray  #: largest shift in each direction, int64, (3,)


def is_wide(box: Lattice, natoms: int, rcut: float) -> bool:
    """Return True if only the nearest image of each of a few atoms can be within the cutoff."""
    if natoms * natoms > MOST or not box.periodic.any():
        return False
    narrowest = float(box.heights[box.periodic].min())
    return (2.0 + 1e-3) * rcut < narrowest < 25.0 * rcut  # beyond, float32 is too coarse


def nearest_pairs(place: np.ndarray, box: Lattice, rcut: float) -> Nearest:
    """Return all pairs closer than the cutoff, and some slightly farther, where :func:`is_wide`.

    Parameters
    ----------
    place
        Inside the cell, Å, (natoms, 3).
    rcut
        Cutoff, Å.
    """
    natoms = len(place)
    part = (box.inverse.T @ place.T).astype(np.float32, order="C")
    apart = part[:, None, :] - part[:, :, None]
    cells = np.rint(apart)
    cells[~box.periodic] = 0.0
    apart -= cells
    vectors = box.cell.T.astype(np.float32) @ apart.reshape(3, -1)
    squares = np.einsum("cp,cp->p", vectors, vectors)
    margin = ROUNDING * float(np.abs(part).max(initial=1.0)) * float(np.abs(box.cell).sum())
    close = squares < np.float32((rcut + margin) ** 2)
    close[:: natoms + 1] = False  # an atom is not its own neighbour
    found = np.flatnonzero(close)
    count = np.count_nonzero(close.reshape(natoms, natoms), axis=1)
    i = np.repeat(np.arange(natoms, dtype=np.int32), count)
    j = found.astype(np.int32) - natoms * i
    reach = box.periodic.astype(np.int64)
    _, width, depth = 2.0 * reach + 1.0
    strides = np.array([width * depth, depth, 1.0], dtype=np.float32)
    # The shift of the neighbour is that of the cell which was subtracted.
    code = (strides @ reach - np.take(strides @ cells.reshape(3, -1), found)).astype(np.int32)
    return Nearest(i, j, code, reach)
