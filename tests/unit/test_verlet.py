"""Frames from a list that is used again are those of a fresh search, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multifit.errors import DataError
from multifit.neighbors.frame import frame
from multifit.neighbors.verlet import VerletList

SEL = (40, 60)


def same(one, two):
    assert np.array_equal(one.atype, two.atype)
    assert np.array_equal(one.nearest, two.nearest)
    assert (one.dropped, one.fullest) == (two.dropped, two.fullest)
    assert one.tables.keys() == two.tables.keys()
    for b, table in one.tables.items():
        for x, y in zip(table, two.tables[b], strict=True):
            assert np.array_equal(x, y)


def spread(rng, natoms, cell):
    """Atoms of two types and one that is virtual, none of them at the place of another."""
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3) + 0.5
    places = rng.permutation(grid)[:natoms] / 4
    return (places + rng.uniform(-0.05, 0.05, places.shape)) @ cell, rng.integers(-1, 2, natoms)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    edge=st.floats(2.0, 9.0),
    rcut=st.floats(1.0, 5.0),
    skin=st.floats(0.0, 2.0),
    sel=st.sampled_from([(100, 100), (3, 5), (0, 7)]),
    strained=st.booleans(),
    wrapped=st.booleans(),
)
def test_random_walk(seed, pbc, edge, rcut, skin, sel, strained, wrapped):
    rng = np.random.default_rng(seed)
    cell = edge * np.eye(3) + np.tril(rng.uniform(-0.4 * edge, 0.4 * edge, (3, 3)), -1)
    coord, atype = spread(rng, int(rng.integers(0, 20)), cell)
    neighbours = VerletList(rcut, sel, ((0, 1),) if seed % 3 == 0 else (), skin)
    for _ in range(6):
        got = neighbours.frame(coord, cell, pbc, atype)
        same(got, frame(coord, cell, pbc, atype, rcut, sel, neighbours.exclude_pairs))
        coord = coord + rng.normal(0, 0.1 * skin + 0.002, coord.shape)
        if strained:
            deform = np.eye(3) + rng.normal(0, 0.003, (3, 3))
            coord, cell = coord @ deform, cell @ deform
        if wrapped:
            inverse = np.linalg.inv(cell)
            coord = coord - np.where(pbc, np.floor(coord @ inverse), 0.0) @ cell
        else:
            coord = coord + np.where(pbc, rng.integers(-2, 3, coord.shape), 0) @ cell
    assert neighbours.searches + neighbours.reuses == 6


@pytest.fixture
def liquid():
    rng = np.random.default_rng(0)
    cell = np.array([[8.0, 0, 0], [2.0, 8.0, 0], [-1.0, 1.5, 8.0]])
    coord, atype = spread(rng, 64, cell)
    return coord, cell, [True] * 3, np.abs(atype)


def test_list_lasts_until_half_the_skin(liquid):
    coord, cell, pbc, atype = liquid
    neighbours = VerletList(4.0, SEL, skin=0.5)
    for step, reuses in ((0.0, 0), (0.0, 1), (0.2, 2), (0.2499, 3)):
        moved = coord.copy()
        moved[7, 1] += step
        neighbours.frame(moved, cell, pbc, atype)
        assert (neighbours.searches, neighbours.reuses) == (1, reuses)
    moved = coord.copy()
    moved[7, 1] += 0.2501
    neighbours.frame(moved, cell, pbc, atype)
    neighbours.frame(coord, cell, pbc, atype)
    assert (neighbours.searches, neighbours.reuses) == (3, 3)  # counted from the last search


def test_atoms_that_leave_the_cell_need_no_search(liquid):
    coord, cell, pbc, atype = liquid
    neighbours = VerletList(4.0, SEL, skin=0.5)
    crossed = 0
    drift = np.array([0.9, -1.3, 0.4])
    for step in range(12):
        # All atoms drift: relative to the last search, so that many cross a face between two.
        moved = coord + step * 0.15 * drift / np.linalg.norm(drift)
        lag = np.floor(moved @ np.linalg.inv(cell))
        crossed += int(np.abs(lag).sum())
        got = neighbours.frame(moved - lag @ cell, cell, pbc, atype)
        same(got, frame(moved - lag @ cell, cell, pbc, atype, 4.0, SEL))
    assert crossed > 20
    assert neighbours.searches == 6  # every other frame moved less than half the skin


def test_small_strain_needs_no_search_and_large_strain_one(liquid):
    coord, cell, pbc, atype = liquid
    neighbours = VerletList(4.0, SEL, skin=0.5)
    for scale, searches in ((1.0, 1), (0.95, 1), (0.9, 1), (0.88, 2), (1.2, 2)):
        got = neighbours.frame(scale * coord, scale * cell, pbc, atype)
        assert neighbours.searches == searches
        same(got, frame(scale * coord, scale * cell, pbc, atype, 4.0, SEL))


def test_other_atoms_need_a_search(liquid):
    coord, cell, pbc, atype = liquid
    neighbours = VerletList(4.0, SEL, skin=0.5)
    other = atype.copy()
    other[3] = 1 - other[3]
    masked = atype.copy()
    masked[5] = -1
    systems = [
        (coord, cell, pbc, atype),
        (coord, cell, pbc, other),
        (coord, cell, pbc, masked),
        (coord, cell, [True, True, False], masked),
        (coord, None, [False] * 3, masked),
        (coord[:50], None, [False] * 3, masked[:50]),
        (coord[:0], None, [False] * 3, masked[:0]),
    ]
    for searches, system in enumerate(systems, 1):
        same(neighbours.frame(*system), frame(*system, 4.0, SEL))
        assert neighbours.searches == searches


def test_types_are_remembered_not_referred_to(liquid):
    coord, cell, pbc, atype = liquid
    neighbours = VerletList(4.0, SEL, skin=0.5)
    neighbours.frame(coord, cell, pbc, atype)
    atype[0] = 1 - atype[0]
    same(neighbours.frame(coord, cell, pbc, atype), frame(coord, cell, pbc, atype, 4.0, SEL))


def test_frames_are_checked_when_the_list_is_used_again(liquid):
    coord, cell, pbc, atype = liquid
    neighbours = VerletList(4.0, SEL, skin=20.0)
    neighbours.frame(coord, cell, pbc, atype, "frame 0")
    bad = coord.copy()
    bad[3] = coord[4]
    with pytest.raises(DataError, match=r"^frame 1: atoms 3 and 4 .* same place"):
        neighbours.frame(bad, cell, pbc, atype, "frame 1")
    bad[3, 0] = np.nan
    with pytest.raises(DataError, match=r"^frame 2: the coordinates .* of atom 3 .* not finite"):
        neighbours.frame(bad, cell, pbc, atype, "frame 2")
    with pytest.raises(DataError, match=r"^frame 3: .* cell is left out"):
        neighbours.frame(coord, None, pbc, atype, "frame 3")
    same(neighbours.frame(coord, cell, pbc, atype), frame(coord, cell, pbc, atype, 4.0, SEL))
