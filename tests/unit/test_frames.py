"""Frames against loops over all atoms and images."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multifit.descriptors._planner import INNER
from multifit.errors import DataError
from multifit.neighbors.frame import frame, frame_of_pairs
from multifit.neighbors.pairs import ordered, pair_list
from multifit.neighbors.search import find_pairs


def by_loops(coord, cell, pbc, atype, rcut, sel, exclude_pairs):
    """Return for each type the set of (i, j, rij) kept, and what else a frame has."""
    ntypes = len(sel)
    reach = [range(-6, 7) if p else (0,) for p in pbc]
    shifts = np.array(list(itertools.product(*reach)))
    nearest, fullest, dropped = np.full((ntypes, ntypes), np.inf), [0] * ntypes, 0
    kept = {b: [] for b in range(ntypes)}
    for i, a in enumerate(atype):
        around = {b: [] for b in range(ntypes)}
        for j, b in enumerate(atype):
            if a < 0 or b < 0 or (a, b) in exclude_pairs or (b, a) in exclude_pairs:
                continue
            for shift in shifts:
                r = coord[j] - coord[i] + shift @ cell
                d = float(np.sqrt(r @ r))
                if d < rcut and (i != j or shift.any()):
                    around[b].append((d, i, j, *np.round(r, 7).tolist()))
                    nearest[a, b] = min(nearest[a, b], d)
        for b, found in around.items():
            fullest[b] = max(fullest[b], len(found))
            dropped += max(0, len(found) - sel[b])
            kept[b] += [one[1:] for one in sorted(found)[: sel[b]]]
    return {b: set(rows) for b, rows in kept.items() if rows}, nearest, dropped, tuple(fullest)


def rows(table):
    return list(
        zip(table.i.tolist(), table.j.tolist(), *np.round(table.rij, 7).T.tolist(), strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    rcut=st.floats(0.8, 4.0),
    sel=st.sampled_from([(99, 99, 99), (2, 4, 99), (0, 3, 1)]),
    exclude_pairs=st.sampled_from([(), ((0, 1),), ((1, 1), (2, 0))]),
)
def test_equals_loops(seed, pbc, rcut, sel, exclude_pairs):
    rng = np.random.default_rng(seed)
    cell = 3.5 * np.eye(3) + np.tril(rng.uniform(-1, 1, (3, 3)), -1)
    coord = rng.uniform(0, 1, (int(rng.integers(1, 7)), 3)) @ cell
    coord = coord + np.where(pbc, rng.integers(-1, 2, coord.shape), 0) @ cell
    atype = rng.integers(-1, 3, len(coord))
    got = frame(coord, cell, pbc, atype, rcut, sel, exclude_pairs)
    kept, nearest, dropped, fullest = by_loops(coord, cell, pbc, atype, rcut, sel, exclude_pairs)
    assert (got.dropped, got.fullest) == (dropped, fullest)
    assert np.allclose(got.nearest, nearest, rtol=1e-12, atol=1e-12)
    assert got.tables.keys() == kept.keys()
    for b, table in got.tables.items():
        found = rows(table)
        assert len(found) == len(set(found))
        assert set(found) == kept[b]
        assert (np.diff(table.i) >= 0).all()
        assert (atype[table.j] == b).all()
        for i in set(table.i.tolist()):  # columns count from 0 without a gap
            assert table.col[table.i == i].tolist() == list(range((table.i == i).sum()))


def columns_by_loop(table, rcut):
    """Return whether each pair is near, its column, and the columns of near pairs and others."""
    near, col, taken, widths = [], [], {}, [0, 0]
    for i, rij in zip(table.i.tolist(), table.rij, strict=True):
        close = bool(np.linalg.norm(rij) < INNER * rcut)
        place = taken[i, close] = taken.get((i, close), -1) + 1
        widths[not close] = max(widths[not close], place + 1)
        near.append(close)
        col.append(place)
    return near, col, tuple(widths)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    natoms=st.integers(2, 25),
    size=st.floats(0.3, 6.0),
    sel=st.sampled_from([(99, 99), (3, 99), (1, 2)]),
)
def test_near_pairs_and_others_have_columns_of_their_own(seed, natoms, size, sel):
    # From clusters in which all pairs are near to some in which none is.
    rng = np.random.default_rng(seed)
    coord, atype = rng.uniform(0, size, (natoms, 3)), rng.integers(-1, 2, natoms)
    for table in frame(coord, None, [False] * 3, atype, 3.0, sel).tables.values():
        found = table.columns(INNER * 3.0)
        near, col, widths = columns_by_loop(table, 3.0)
        assert found.near.tolist() == near
        assert found.col.tolist() == col
        assert found.widths == widths
        # No pair is lost, and none takes a place twice.
        places = zip(table.i.tolist(), near, col, strict=True)
        assert len(set(places)) == len(col)
        assert sum(widths) >= table.col.max() + 1


@pytest.mark.parametrize(("rcut", "widths"), [(100.0, (6, 0)), (2.5, (0, 6))])
def test_columns_where_all_pairs_are_near_or_none(rcut, widths):
    coord, cell = crystal()
    table = frame(coord, cell, [True] * 3, np.zeros(64, int), 2.5, [6]).tables[0]
    found = table.columns(INNER * rcut)
    assert found.widths == widths
    assert np.array_equal(found.col, table.col)


def crystal(n=4, a=2.0):
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3) * a
    return grid, n * a * np.eye(3)


def test_of_equally_near_neighbours_the_first_are_kept():
    coord, cell = crystal()
    got = frame(coord, cell, [True] * 3, np.zeros(64, int), 2.5, [4])
    full = frame(coord, cell, [True] * 3, np.zeros(64, int), 2.5, [6])
    assert (got.dropped, got.fullest, full.dropped) == (128, (6,), 0)
    first = full.tables[0].col < 4
    for cut, uncut in zip(got.tables[0], full.tables[0], strict=True):
        assert np.array_equal(cut, uncut[first])


def test_the_nearest_are_kept_around_crowded_atoms_only():
    coord = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1, 0], [0, 0, 2.0], [8, 0, 0], [9, 0, 0]])
    table = frame(coord, None, [False] * 3, np.zeros(6, int), 2.6, [2]).tables[0]
    pairs = list(zip(table.i.tolist(), table.col.tolist(), table.j.tolist(), strict=True))
    assert pairs == [
        (0, 0, 1), (0, 1, 2), (1, 0, 0), (1, 1, 2), (2, 0, 0), (2, 1, 1), (3, 0, 0), (3, 1, 2),
        (4, 0, 5), (5, 0, 4),
    ]  # fmt: skip


def test_parts_of_a_list_are_joined(monkeypatch):
    coord, cell = crystal()
    atype = np.arange(64) % 3 - 1
    whole = frame(coord, cell, [True] * 3, atype, 3.0, [5, 30])
    monkeypatch.setattr("multifit.neighbors.search.CHUNK", 37)
    parts = frame(coord, cell, [True] * 3, atype, 3.0, [5, 30])
    assert whole.dropped == parts.dropped > 0
    for b, table in whole.tables.items():
        assert all(map(np.array_equal, table, parts.tables[b]))


def test_how_atoms_are_wrapped_does_not_matter():
    coord, cell = crystal()
    atype = np.arange(64) % 2
    one, two = (
        frame(x, cell, [True] * 3, atype, 3.0, [9, 9]) for x in (coord, coord + 3 * cell[0])
    )
    for b, table in one.tables.items():
        assert all(map(np.array_equal, table, two.tables[b]))


@pytest.mark.parametrize("atype", [[], [-1, -1], [0, -1]])
def test_no_pairs(atype):
    coord = np.zeros((len(atype), 3))
    got = frame(coord, None, [False] * 3, np.array(atype, dtype=int), 3.0, [5, 30])
    assert (got.tables, got.dropped, got.fullest, got.nbytes) == ({}, 0, (0, 0), 0)
    assert np.isinf(got.nearest).all()


def test_memory_is_counted_and_the_width_known():
    coord = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1, 0]])
    got = frame(coord, None, [False] * 3, np.array([0, 0, 1]), 2.6, [4, 4])
    assert [got.tables[b].col.max() for b in (0, 1)] == [1, 0]
    assert got.nbytes == (4 + 2) * (3 * 4 + 3 * 8)


def test_a_blind_pair_at_the_same_place_is_refused():
    with pytest.raises(DataError, match=r"^frame 3: atoms 0 and 1 .* same place"):
        frame(
            np.zeros((2, 3)), None, [False] * 3, np.array([0, 1]), 2.0, [4, 4], [(0, 1)], "frame 3"
        )


# Frames of pairs that come from outside.


def same_frame(one, two):
    assert np.array_equal(one.atype, two.atype)
    assert np.array_equal(one.nearest, two.nearest)
    assert (one.dropped, one.fullest, one.nghost) == (two.dropped, two.fullest, two.nghost)
    assert one.tables.keys() == two.tables.keys()
    for b, table in one.tables.items():
        assert [x.dtype for x in table] == [x.dtype for x in two.tables[b]]
        assert all(map(np.array_equal, table, two.tables[b]))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    rcut=st.floats(0.8, 4.0),
    skin=st.floats(0.0, 2.0),
    sel=st.sampled_from([(99, 99, 99), (2, 4, 99), (0, 3, 1)]),
    exclude_pairs=st.sampled_from([(), ((0, 1),), ((1, 1), (2, 0))]),
    chunk=st.sampled_from([1, 7, 10_000]),
)
def test_given_pairs_make_the_frame_that_a_search_makes(
    seed, pbc, rcut, skin, sel, exclude_pairs, chunk
):
    rng = np.random.default_rng(seed)
    cell = 3.5 * np.eye(3) + np.tril(rng.uniform(-1, 1, (3, 3)), -1)
    coord = rng.uniform(0, 1, (int(rng.integers(0, 7)), 3)) @ cell
    atype = rng.integers(-1, 3, len(coord))
    want = frame(coord, cell, pbc, atype, rcut, sel, exclude_pairs)
    found = find_pairs(coord, cell, pbc, rcut + skin)
    # Centres in any order; the pairs of each in the order of the search, on which ties depend.
    order = np.argsort(rng.permutation(len(coord))[found.i], kind="stable")
    given = (x[order] for x in (found.rij, found.i, found.j))
    pairs = pair_list(*given, len(coord), len(coord))
    real = np.flatnonzero(atype >= 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("multifit.neighbors.search.CHUNK", chunk)
        parts = list(ordered(pairs, real, len(real), len(coord)))
    most = max(chunk, np.bincount(found.i, minlength=1).max())
    assert all(len(part.i) <= most for part in parts)
    got = frame_of_pairs(parts, atype[real], rcut, sel, exclude_pairs)
    for b, table in got.tables.items():
        numbers = [x.astype(np.int32) for x in (real[table.i], real[table.j])]
        got.tables[b] = table._replace(i=numbers[0], j=numbers[1])
    same_frame(replace(got, atype=atype), want)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sel=st.sampled_from([(99, 99), (2, 3), (0, 4)]))
def test_ghosts_are_seen_and_see_nobody(seed, sel):
    rng = np.random.default_rng(seed)
    nall = int(rng.integers(1, 12))
    natoms = int(rng.integers(0, nall + 1))
    coord, atype = rng.uniform(0, 4, (nall, 3)), rng.integers(0, 2, nall)
    whole = frame(coord, None, [False] * 3, atype, 2.5, sel)
    found = find_pairs(coord, None, False, 3.0)
    mine = found.i < natoms
    pairs = pair_list(found.rij[mine], found.i[mine], found.j[mine], natoms, nall)
    parts = ordered(pairs, np.arange(nall), natoms, nall)
    got = frame_of_pairs(parts, atype, 2.5, sel, (), natoms)
    assert (got.nghost, got.atype.tolist()) == (nall - natoms, atype[:natoms].tolist())
    rest = {b: t.i < natoms for b, t in whole.tables.items() if (t.i < natoms).any()}
    assert got.tables.keys() == rest.keys()
    for b, kept in rest.items():
        for x, y in zip(got.tables[b], whole.tables[b], strict=True):
            assert np.array_equal(x, y[kept])


def test_atoms_can_be_renumbered():
    coord, cell = crystal()
    atype, order = np.arange(64) % 2, np.random.default_rng(1).permutation(64)
    found = find_pairs(coord, cell, True, 3.0)
    pairs = pair_list(found.rij, found.i, found.j, 64, 64)
    got = frame_of_pairs(ordered(pairs, order, 64, 64), atype[order], 3.0, [30, 30])
    want = frame(coord[order], cell, [True] * 3, atype[order], 3.0, [30, 30])
    for b, table in want.tables.items():
        assert sorted(rows(got.tables[b])) == sorted(rows(table))


def test_ghosts_are_centres_if_neighbours_of_neighbours_count():
    given = (np.ones((2, 3)), [0, 2], [2, 0], 2, 3)
    with pytest.raises(DataError, match="pair 1 has i = 2, but centres are the 2 local atoms;"):
        pair_list(*given)
    assert pair_list(*given, hops=2).i.tolist() == [0, 2]
    with pytest.raises(DataError, match="pair 0 has i = 3, but centres are the 3 local atoms and"):
        pair_list(np.ones((1, 3)), [3], [0], 2, 3, hops=2)
