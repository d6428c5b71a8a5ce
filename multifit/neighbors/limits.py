"""Limits on a frame, so that one with wrong units is refused before its pairs fill the memory."""

from __future__ import annotations

import functools

import numpy as np

from ..errors import DataError
from .cells import occupied_grid
from .lattice import KEPT, Lattice

#: Neighbours per atom, or images of all atoms, beyond which the unit of the cell is wrong: some
#: hundred times those in water, and about 500 MB.
MAX_NEIGHBOURS, MAX_IMAGES = 10_000, 2_000_000

#: Images per atom in reach that every cell may have, Å of the shortest lattice vector: an atom is
#: not nearer than that to itself.
FEW_IMAGES, SHORTEST = 64, 0.1

#: Atoms in a cube half a cutoff wide beyond which the unit of the coordinates is wrong.
TOO_DENSE = 2000


def check_size(natoms: int, lattice: Lattice, rcut: float, at: str) -> None:
    """Raise an error if the list of pairs of a small or flat cell would not fit into memory."""
    problem = _size_problem(natoms, lattice, rcut)
    if problem:
        raise DataError(at + problem)


@functools.lru_cache(maxsize=KEPT)
def _size_problem(natoms: int, lattice: Lattice, rcut: float) -> str:
    """Return what is wrong with a cell for its number of atoms, or an empty string."""
    box, periodic = lattice.cell, lattice.periodic
    edges = np.linalg.norm(box[periodic], axis=1)
    if (edges < SHORTEST).any():
        return (
            f"the cell {box.tolist()} has a lattice vector of {edges.min():.2g} Å, but two "
            f"atoms are never nearer than {SHORTEST:g} Å; check that the cell is in Å"
        )
    images = float(np.prod(1.0 + 2.0 * rcut / lattice.heights[periodic]))
    neighbours = natoms * 4.19 * rcut**3 / lattice.volume if periodic.all() else 0.0
    too_flat = images > FEW_IMAGES and natoms * images > MAX_IMAGES
    if neighbours > MAX_NEIGHBOURS or too_flat:
        return (
            f"the cutoff rcut = {rcut:g} Å is too large for the cell {box.tolist()} of "
            f"{natoms} atoms, or the cell too small or too flat; check rcut, and that the cell is "
            "in Å"
        )
    return ""


def check_density(wrapped: np.ndarray, rcut: float, at: str = "") -> None:
    """Raise an error if atoms are so dense that the list of pairs would not fit into memory."""
    if len(wrapped) <= TOO_DENSE:
        return
    key, _ = occupied_grid(wrapped, max(0.5 * rcut, SHORTEST), 0)
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    if count.max() > TOO_DENSE:
        raise DataError(
            f"{at}{count.max()} atoms lie within rcut = {rcut:g} Å of atom "
            f"{first[count.argmax()]} (counting from 0); check rcut, and that the coordinates are "
            "in Å, and not fractional or all zero"
        )
