"""Pairs of atoms within a cutoff, periodic images included.

A search finds the close pairs (:func:`search`), and then one formula computes their vectors
(:func:`measured`), so that a list can be used again after the atoms have moved a little. Every pair
is listed both ways, in an order that depends only on atoms and images, so that runs are
reproducible bit for bit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from . import arguments
from .blocks import block_pairs, is_one_block, one_block
from .cells import cell_pairs, replicate
from .lattice import KEPT, Lattice, lattice
from .limits import check_density, check_size
from .nearest import is_wide, nearest_pairs

#: Two atoms nearer than this are considered to be at the same place, Å.
TOO_CLOSE = 1e-6

#: Beyond this distance from the origin, float64 does not resolve 1e-6 Å, Å.
TOO_FAR = 1e10

#: Pairs measured at once, so that their data fit in the processor's cache.
CHUNK = 32_768


@dataclass(frozen=True)
class Pairs:
    """All pairs within a cutoff, both ways, sorted by (i, j, shift); not by distance.

    Attributes
    ----------
    i, j
        Centre and neighbour, int64, (npairs,). j == i is an atom and its own periodic image.
    shift
        Cells between them, int64, (npairs, 3): rij = coord[j] + shift @ cell − coord[i].
    rij
        From centre to neighbour, Å, float64, (npairs, 3); the two ways are exact negatives.
    distance
        Å, float64, (npairs,).
    """

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    rij: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class Positions:
    """Positions of atoms, checked and moved into the cell."""

    coord: np.ndarray  #: in the cell along periodic directions, Å, (natoms, 3)
    lag: np.ndarray  #: cells by which each atom was outside, int64, (natoms, 3)
    lattice: Lattice

    @property
    def cell(self) -> np.ndarray:
        """The cell, complete in open directions, Å, (3, 3)."""
        return self.lattice.cell

    @property
    def periodic(self) -> np.ndarray:
        """Flags of the periodic directions, (3,) bool."""
        return self.lattice.periodic


@dataclass(frozen=True)
class Candidates:
    """Pairs that may be close: atoms and the cells between them; sorted by (i, j, shift).

    Attributes
    ----------
    i, j
        Centre and neighbour, int32, (npairs,).
    code
        The shift between two atoms in the cell as a number, int32, (npairs,): its digits are
        shift + reach, the last one least significant.
    reach
        Largest shift in each direction, int64, (3,).
    """

    i: np.ndarray
    j: np.ndarray
    code: np.ndarray
    reach: np.ndarray

    @property
    def strides(self) -> np.ndarray:
        """Increments of the code per cell in each direction, int64, (3,)."""
        _, y, z = 2 * self.reach + 1
        return np.array([y * z, z, 1], dtype=np.int64)

    def shift(self, code: np.ndarray) -> np.ndarray:
        """Return the shifts that codes stand for, int64, (ncodes, 3)."""
        digits = np.unravel_index(code, tuple(2 * self.reach + 1))
        return np.asarray(np.stack(digits, axis=1) - self.reach)


class Measured(NamedTuple):
    """A part of the candidates, including those beyond the cutoff."""

    i: np.ndarray  #: int64, (n,)
    j: np.ndarray  #: int64, (n,)
    rij: np.ndarray  #: Å, float64, (3, n): components first
    distance: np.ndarray  #: Å, (n,)


def find_pairs(
    coord: npt.ArrayLike,
    cell: npt.ArrayLike | None,
    pbc: npt.ArrayLike,
    rcut: float,
    *,
    where: str = "",
) -> Pairs:
    """Return all pairs of atoms, and of atoms and periodic images, closer than the cutoff.

    Parameters
    ----------
    coord
        Positions, Å, (natoms, 3), inside the cell or not.
    cell
        Lattice vectors as rows, Å, (3, 3), of any shape and handedness, or None. Rows of open
        directions are not read.
    pbc
        True if the cell is periodic, one bool or three.
    rcut
        Cutoff, Å; may exceed half the cell. Distances are strictly smaller.
    where
        Name of the atoms in messages: ``"system data/a, frame 3"``.

    Raises
    ------
    DataError
        If a number is not finite, the cell is missing or singular, two atoms are at the same place,
        or atoms are so dense that a unit must be wrong.

    Examples
    --------
    >>> pairs = find_pairs([[0, 0, 0], [0, 0, 2.9]], 3 * np.eye(3), [False, False, True], 1.0)
    >>> pairs.j, pairs.shift[:, 2], pairs.distance.round(6)
    (array([1, 0]), array([-1,  1]), array([0.1, 0.1]))
    """
    atoms = positions(*arguments.arrays(coord, cell, pbc, where), where)
    candidates = search(atoms, rcut, where)
    parts = list(measured(atoms, candidates, where))
    i, j = candidates.i.astype(np.int64), candidates.j.astype(np.int64)
    distance = np.concatenate([part.distance for part in parts])
    near = np.flatnonzero(distance < rcut)
    i, j = i[near], j[near]
    shift = candidates.shift(candidates.code[near]) + atoms.lag[i] - atoms.lag[j]
    rij = np.concatenate([part.rij for part in parts], axis=1)
    return Pairs(i, j, shift, rij.T[near], distance[near])


# ----------------------------------------------------------------------------------- in two steps


def positions(
    coord: np.ndarray, cell: np.ndarray | None, pbc: Sequence[bool] | np.ndarray, where: str = ""
) -> Positions:
    """Return the atoms moved into the cell.

    Parameters
    ----------
    coord, cell, pbc, where
        As for :func:`find_pairs`, already of the right shapes; only the values are checked.

    Raises
    ------
    DataError
        If a number is not finite, or the cell is missing or singular.
    """
    at = f"{where}: " if where else ""
    x = np.asarray(coord, dtype=np.float64)
    _check_coord(x, at)
    box = lattice(cell, np.asarray(pbc, dtype=bool), at)
    lag = np.floor(x @ box.inverse) * box.periodic
    return Positions(x - lag @ box.cell, lag.astype(np.int64), box)


def search(atoms: Positions, rcut: float, where: str = "") -> Candidates:
    """Return all pairs closer than the cutoff and some slightly farther, both ways.

    Raises
    ------
    DataError
        If atoms are so dense that the pairs would not fit into memory.
    """
    at = f"{where}: " if where else ""
    rcut = _checked_cutoff(rcut, at)
    x, box = atoms.coord, atoms.cell
    if len(x) == 0:
        none = np.zeros(0, dtype=np.int32)
        return Candidates(none, none, none, np.zeros(3, dtype=np.int64))
    check_size(len(x), atoms.lattice, rcut, at)
    check_density(x, rcut, at)
    # Searches differ in rounding: use a slightly larger cutoff, and let one formula decide.
    largest = max(float(np.abs(x).max()), float(np.abs(box).max()))
    rcut += 1e-9 * rcut + 16 * math.ulp(largest)
    if is_wide(atoms.lattice, len(x), rcut):
        return Candidates(*nearest_pairs(x, atoms.lattice, rcut))
    images = replicate(x, atoms.lattice, rcut)
    if is_one_block(images, rcut):
        i, k = one_block(images, rcut)
    else:
        i, k = block_pairs(images, rcut) or cell_pairs(images, rcut)
    atom = images.atom.astype(np.int32)
    reach = np.abs(images.shift).max(axis=1)
    found = Candidates(i, np.take(atom, k), np.zeros_like(k), reach)
    if reach.any():
        strides = found.strides
        code = (strides @ images.shift + strides @ reach).astype(np.int32)
        np.take(code, k, out=found.code, mode="clip")  # not "raise", which would make a copy
    return found


def measured(atoms: Positions, candidates: Candidates, where: str = "") -> Iterator[Measured]:
    """Return the vectors of all candidates, part by part, in order; at least one part.

    Raises
    ------
    DataError
        If two atoms are at the same place.
    """
    x = np.ascontiguousarray(atoms.coord.T)
    across = _translations(atoms.lattice, tuple(candidates.reach.tolist()))
    for start in range(0, max(1, candidates.i.size), CHUNK):
        part = slice(start, start + CHUNK)
        i, j = candidates.i[part].astype(np.int64), candidates.j[part].astype(np.int64)
        rij = np.empty((3, i.size))
        for r, component in zip(rij, x, strict=True):
            np.subtract(np.take(component, j), np.take(component, i), out=r)
        if across.shape[1] > 1:
            code = candidates.code[part].astype(np.int64)
            for r, component in zip(rij, across, strict=True):
                r += np.take(component, code)
        distance = np.sqrt(rij[0] * rij[0] + rij[1] * rij[1] + rij[2] * rij[2])
        if distance.min(initial=np.inf) < TOO_CLOSE:
            _refuse_closest(atoms, candidates, start + int(distance.argmin()), distance, where)
        yield Measured(i, j, rij, distance)


@functools.lru_cache(maxsize=KEPT)
def _translations(box: Lattice, reach: tuple[int, ...]) -> np.ndarray:
    """Return the vector of each code, Å, (3, ncodes); opposite shifts have exact negatives."""
    s = [np.arange(-m, m + 1) for m in reach]
    a, b, c = box.cell
    table = s[0][:, None, None] * a[:, None, None, None] + s[1][:, None] * b[:, None, None, None]
    return np.asarray((table + s[2] * c[:, None, None, None]).reshape(3, -1))


# ------------------------------------------------------------------------------ checks of inputs


def _checked_cutoff(rcut: float, at: str) -> float:
    """Return the cutoff as a float, finite and positive."""
    try:
        value = float(rcut)
    except (TypeError, ValueError):
        value = np.nan
    if not 0.0 < value < np.inf:
        raise DataError(f"{at}the cutoff must be a finite positive number of Å, not {rcut!r}")
    return value


def _check_coord(x: np.ndarray, at: str) -> None:
    """Raise an error for coordinates that are not finite or absurdly far out."""
    near = np.abs(x) <= TOO_FAR
    if not near.all():
        bad = np.flatnonzero(~near.all(axis=1))
        atom = x[bad[0]]
        problem = (
            f"lie more than {TOO_FAR:g} Å from the origin"
            if np.isfinite(atom).all()
            else "are not finite"
        )
        raise DataError(
            f"{at}the coordinates {atom.tolist()} of atom {bad[0]} (counting from 0) {problem}; "
            "remove or repair this frame"
        )


def _refuse_closest(
    atoms: Positions, candidates: Candidates, k: int, distance: np.ndarray, where: str
) -> None:
    """Raise an error for two atoms at the same place, where forces have no direction."""
    i, j = int(candidates.i[k]), int(candidates.j[k])
    shift = candidates.shift(candidates.code[k : k + 1])[0] + atoms.lag[i] - atoms.lag[j]
    through = ", one of them through a periodic image" if shift.any() else ""
    raise DataError(
        f"{where + ': ' if where else ''}atoms {i} and {j} (counting from 0) are at the same place "
        f"({distance.min():.1e} Å apart{through}); remove one of them"
    )
