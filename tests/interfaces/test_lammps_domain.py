"""Pairs and evaluation of a domain with ghosts; no LAMMPS is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _lammps_files import sample

from multifit.errors import DataError
from multifit.inference.prepared import PreparedDomain
from multifit.neighbors.cells import replicate
from multifit.neighbors.domain import domain_pairs
from multifit.neighbors.lattice import lattice
from multifit.neighbors.search import find_pairs, positions


def ghosts(
    coord: np.ndarray, cell: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places of atoms and then of their images, and the atom of each."""
    periodic = np.ones(3, dtype=bool)
    places = positions(coord, cell, periodic).coord
    images = replicate(places, lattice(cell, periodic), reach)
    outside = np.setdiff1d(np.arange(images.atom.size), images.home)
    order = np.concatenate([images.home, outside])
    return images.place.T[order], images.atom[order], places


@pytest.mark.parametrize("times", [1, 3])
def test_pairs_are_those_of_the_periodic_system(tmp_path: Path, times: int) -> None:
    given = sample(tmp_path, times)
    coord, atom, places = ghosts(given.coord, given.cell, 4.0)
    i, k = domain_pairs(coord, len(given.coord), 4.0)
    rij = coord[k] - coord[i]
    near = (rij * rij).sum(axis=1) < 16.0
    assert near.mean() > 0.99
    want = find_pairs(places, given.cell, True, 4.0)
    assert np.array_equal(np.bincount(i[near]), np.bincount(want.i))
    got = sorted(zip(i[near].tolist(), atom[k[near]].tolist(), strict=True))
    assert got == sorted(zip(want.i.tolist(), want.j.tolist(), strict=True))


def test_a_domain_without_local_atoms_has_no_pairs() -> None:
    i, k = domain_pairs(np.zeros((2, 3)), 0, 4.0)
    assert len(i) == len(k) == 0


@pytest.mark.parametrize("hidden", [False, True])
def test_a_prepared_domain_equals_predict_while_atoms_move(tmp_path: Path, hidden: bool) -> None:
    given = sample(tmp_path)
    atype = given.atype.copy()
    if hidden:
        atype[::7] = -1
    n, rcut = len(atype), given.potential.rcut
    coord, atom, places = ghosts(given.coord, given.cell, rcut + 1.0)
    i, k = domain_pairs(coord, n, rcut + 1.0)
    domain = PreparedDomain(given.potential, i, k, atom.astype(np.int32), atype, n, coord)
    moved = np.random.default_rng(3).uniform(-0.25, 0.25, size=(n, 3))
    for step in (0.0, 1.0):
        found = domain.evaluate(coord + step * moved[atom], atom_virial=True)
        want = given.potential.predict(places + step * moved, atype, given.cell, atom_virial=True)
        for key in ("energy", "force", "virial", "atom_energy", "atom_virial"):
            assert np.allclose(found[key], want[key][0], rtol=0, atol=1e-11), key


def test_atoms_at_the_same_place_are_refused(tmp_path: Path) -> None:
    given = sample(tmp_path, 1)
    coord = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    pair = np.array([0, 1], dtype=np.int32), np.array([1, 0], dtype=np.int32)
    domain = PreparedDomain(given.potential, *pair, np.arange(2), np.array([0, 1]), 2, coord)
    with pytest.raises(DataError, match="same place"):
        domain.evaluate(np.zeros((2, 3)))
