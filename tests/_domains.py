"""Domains as simulation engines have them: local atoms, ghosts, and pairs with a skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _cases import RCUT, System

from multifit.neighbors.search import find_pairs


@dataclass(frozen=True)
class Domain:
    """What an engine gives to ``evaluate_pairs``, and the atoms that it is made of."""

    rij: np.ndarray
    i: np.ndarray
    j: np.ndarray
    atype: np.ndarray
    nlocal: int
    owner: np.ndarray  #: number of each local atom and ghost in the whole system, (nall,)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The positional arguments."""
        return self.rij, self.i, self.j, self.atype, self.nlocal

    @property
    def local(self) -> np.ndarray:
        """Numbers of the local atoms in the whole system."""
        return self.owner[: self.nlocal]


def divide(system: System, home: Sequence[int] | np.ndarray, skin: float = 1.0) -> list[Domain]:
    """Return a domain for each number up to the largest in ``home``, (natoms,), in random order.

    An atom's periodic images are ghosts, and atoms of other domains are.
    """
    home = np.asarray(home)
    pbc = system.cell is not None
    cell = np.zeros((3, 3)) if system.cell is None else system.cell
    pairs = find_pairs(system.coord, cell, pbc, RCUT + skin)
    rng = np.random.default_rng(8)
    return [
        _domain(system, pairs, np.flatnonzero(home == k), rng) for k in range(int(home.max()) + 1)
    ]


def _domain(system: System, pairs: Any, local: np.ndarray, rng: np.random.Generator) -> Domain:
    """Return the domain of some atoms."""
    place = np.full(len(system.atype), -1)
    place[local] = np.arange(len(local))
    mine = rng.permutation(np.flatnonzero(place[pairs.i] >= 0))
    i, j, shift, rij = (x[mine] for x in (pairs.i, pairs.j, pairs.shift, pairs.rij))
    end = np.where(shift.any(axis=1), -1, place[j])
    images, number = np.unique(np.column_stack([j, shift])[end < 0], axis=0, return_inverse=True)
    end[end < 0] = len(local) + number.reshape(-1)
    owner = np.concatenate([local, images[:, 0]]).astype(np.int64)
    return Domain(rij, place[i], end, system.atype[owner], len(local), owner)


def total(
    natoms: int, domains: Sequence[Domain], found: Sequence[dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return what the domains' outputs add up to, ghosts' shares returned to their owners."""
    out: dict[str, Any] = {}
    for domain, one in zip(domains, found, strict=True):
        for key, x in one.items():
            if key in ("energy", "virial", "dos"):
                out[key] = out.get(key, 0.0) + x
            else:
                whole = out.setdefault(key, np.zeros((natoms, *x.shape[1:])))
                np.add.at(whole, domain.owner[: len(x)], x)
    return out
