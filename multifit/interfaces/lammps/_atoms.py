"""The atoms of one process in LAMMPS, and the pairs among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import DataError
from ...inference.potential import Potential
from ...inference.prepared import PreparedDomain
from ...neighbors.domain import domain_pairs
from ._exchange import Exchange
from ._ranks import Ranks

#: How far pairs are listed beyond the cutoff, Å. It need not be LAMMPS' own skin, which only
#: decides which ghosts there are.
SKIN = 1.0


@dataclass(frozen=True)
class Atoms:
    """The local atoms and ghosts of a process, as LAMMPS has them now; views, not copies."""

    coord: np.ndarray  #: Å, (nall, 3), local atoms first
    ident: np.ndarray  #: identifiers, (nall,)
    ltype: np.ndarray  #: types of LAMMPS, from 1, (nall,)
    nlocal: int


def atoms_of(lmp: Any) -> Atoms:
    """Return the atoms of this process."""
    nlocal = int(lmp.extract_setting("nlocal"))
    nall = nlocal + int(lmp.extract_setting("nghost"))
    if nall == 0:
        none = np.zeros(0, dtype=np.int64)
        return Atoms(np.zeros((0, 3)), none, none, 0)
    get = lmp.numpy.extract_atom
    coord = get("x", nelem=nall, dim=3).reshape(nall, 3)
    # Of a single number, LAMMPS returns an array without axes.
    return Atoms(
        coord, get("id", nelem=nall).reshape(nall), get("type", nelem=nall).reshape(nall), nlocal
    )


class Neighbours:
    """The pairs of a process's atoms, searched again when needed.

    A list is kept as long as the atoms of this process and their ghosts are the same ones in the
    same order, and none has moved by half the skin since the search.

    Parameters
    ----------
    potential
        The model.
    kinds
        The model's type of each type of LAMMPS.
    skin
        Å.
    """

    def __init__(self, potential: Potential, kinds: np.ndarray, skin: float = SKIN) -> None:
        self._potential, self._kinds, self._skin = potential, kinds, skin
        self._last: Atoms | None = None
        self.searches = 0
        self.atype = np.zeros(0, dtype=np.int64)
        self.others = np.zeros(0, dtype=np.int64)  #: identifiers of atoms of other processes
        self.domain: PreparedDomain | None = None  #: None for a process without atoms
        self.exchange: Exchange | None = None

    def serves(self, atoms: Atoms) -> bool:
        """Return True if the last list still has all pairs."""
        last = self._last
        if last is None or last.nlocal != atoms.nlocal:
            return False
        if not np.array_equal(last.ident, atoms.ident):
            return False
        if not np.array_equal(last.ltype, atoms.ltype):
            return False
        moved = atoms.coord - last.coord
        np.multiply(moved, moved, out=moved)
        farthest = float(moved.sum(axis=1).max(initial=0.0))
        return farthest < 0.25 * self._skin**2  # False for a coordinate that is not a number

    def search(self, atoms: Atoms) -> None:
        """Search for the pairs of these atoms.

        Raises
        ------
        DataError
            If a position is not finite, or atoms are too dense.
        """
        self._last = None  # nothing is kept of invalid positions
        _check_finite(atoms)
        reach = self._potential.rcut + self._skin
        i, k = domain_pairs(atoms.coord, atoms.nlocal, reach)
        owner, self.others = _owners(atoms, k)
        local = self._kinds[atoms.ltype[: atoms.nlocal]]
        outside = np.zeros(len(self.others), dtype=np.int64)
        ghosts = np.flatnonzero(owner >= atoms.nlocal)
        outside[owner[ghosts] - atoms.nlocal] = self._kinds[atoms.ltype[ghosts]]
        self.atype = np.concatenate([local, outside])
        self.domain = None
        if atoms.nlocal:
            self.domain = PreparedDomain(
                self._potential, i, k, owner, self.atype, atoms.nlocal, atoms.coord
            )
        self.searches += 1
        self._last = Atoms(atoms.coord.copy(), atoms.ident.copy(), atoms.ltype.copy(), atoms.nlocal)

    def plan(self, atoms: Atoms, ranks: Ranks) -> None:
        """Plan how forces on other processes' atoms reach these; on all processes together."""
        self.exchange = ranks.exchange(atoms.ident[: atoms.nlocal], self.others)


def _owners(atoms: Atoms, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the atom of each image, and the identifiers of those of other processes.

    Parameters
    ----------
    k
        Images at which pairs end, (npairs,).

    Returns
    -------
    owner, others
        (nall,): a local atom, or nlocal + the place of its identifier in ``others`` (nothers,); −1
        for an image that no pair ends at.
    """
    nlocal, nall = atoms.nlocal, len(atoms.ident)
    owner = np.full(nall, -1, dtype=np.int32)
    owner[:nlocal] = np.arange(nlocal)
    used = np.zeros(nall, dtype=bool)
    used[k] = True
    ghosts = nlocal + np.flatnonzero(used[nlocal:])
    wanted = atoms.ident[ghosts].astype(np.int64)
    order = np.argsort(atoms.ident[:nlocal], kind="stable")
    known = atoms.ident[:nlocal][order]
    here = np.zeros(len(ghosts), dtype=bool)
    if nlocal:
        at = np.minimum(np.searchsorted(known, wanted), nlocal - 1)
        here = known[at] == wanted
        owner[ghosts[here]] = order[at[here]]
    others, place = np.unique(wanted[~here], return_inverse=True)
    owner[ghosts[~here]] = nlocal + place
    return owner, others


def _check_finite(atoms: Atoms) -> None:
    """Raise an error for a position that is not finite."""
    bad = np.flatnonzero(~np.isfinite(atoms.coord).all(axis=1))
    if bad.size:
        raise DataError(
            f"the atom with ID {atoms.ident[bad[0]]} is at {atoms.coord[bad[0]].tolist()}: the "
            "simulation is unstable; check the model, the time step and the initial structure"
        )
