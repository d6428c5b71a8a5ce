import itertools

import numpy as np
import pytest

from multifit.errors import DataError
from multifit.neighbors.cells import occupied_grid
from multifit.neighbors.lattice import complete_cell
from multifit.neighbors.search import Pairs, find_pairs

CUBE = 10.0 * np.eye(3)
ALL_PBC = list(itertools.product([False, True], repeat=3))


@pytest.fixture(params=["chosen", "one", "blocks", "thin"])
def search(request, monkeypatch):
    """Run a test with the search that is chosen, and with each of those for many atoms."""
    if request.param != "chosen":
        monkeypatch.setattr("multifit.neighbors.search.is_wide", lambda box, natoms, rcut: False)
    if request.param in {"blocks", "thin"}:
        monkeypatch.setattr("multifit.neighbors.search.is_one_block", lambda images, rcut: False)
    if request.param == "blocks":
        monkeypatch.setattr("multifit.neighbors.blocks.FEW", 0)
    if request.param == "thin":
        monkeypatch.setattr("multifit.neighbors.blocks.FEW", 1e9)
    return request.param


def brute_force(coord, cell, pbc, rcut):
    """The set of (i, j, shift), by looking at every image that could matter."""
    pbc = np.array(pbc)
    cell = complete_cell(cell, pbc)
    inverse = np.linalg.inv(cell)
    spread = np.ptp(coord @ inverse, axis=0) + rcut * np.linalg.norm(inverse, axis=0)
    reach = np.where(pbc, np.ceil(spread), 0).astype(int)
    found = set()
    for shift in itertools.product(*(range(-m, m + 1) for m in reach)):
        r = coord[None] + np.array(shift) @ cell - coord[:, None]
        near = np.linalg.norm(r, axis=-1) < rcut
        if not any(shift):
            np.fill_diagonal(near, False)
        found |= {(int(i), int(j), *shift) for i, j in zip(*near.nonzero(), strict=True)}
    return found


def as_list(pairs):
    return list(map(tuple, np.column_stack([pairs.i, pairs.j, pairs.shift]).tolist()))


def check(pairs, coord, cell, pbc, rcut):
    """Everything that is promised of a list, except that it is complete."""
    assert isinstance(pairs, Pairs)
    assert pairs.i.dtype == pairs.j.dtype == pairs.shift.dtype == np.int64
    assert pairs.rij.dtype == pairs.distance.dtype == np.float64
    rows = as_list(pairs)
    assert len(rows) == len(set(rows))
    back = [(j, i, -a, -b, -c) for i, j, a, b, c in rows]
    assert set(back) == set(rows)
    flipped = dict(zip(rows, pairs.rij.tolist(), strict=True))
    assert all(flipped[b] == [-x for x in r] for b, r in zip(back, pairs.rij.tolist(), strict=True))
    shift_cell = 0.0 if cell is None else pairs.shift @ np.where(np.array(pbc)[:, None], cell, 0.0)
    assert np.allclose(pairs.rij, coord[pairs.j] - coord[pairs.i] + shift_cell, rtol=0, atol=1e-10)
    assert np.allclose(pairs.distance, np.linalg.norm(pairs.rij, axis=1), rtol=1e-14, atol=0)
    assert (pairs.distance < rcut).all()
    assert not pairs.shift[:, ~np.broadcast_to(pbc, 3)].any()
    assert rows == sorted(rows)


def random_system(seed):
    """Atoms spread over ±2.5 cells in a triclinic cell of 2 to 7 Å, of either handedness."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(2, 7, 3)) + np.triu(rng.uniform(-2, 2, (3, 3)), 1)
    cell = cell @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    cell = cell[rng.permutation(3)]
    pbc = ALL_PBC[seed % 8]
    coord = rng.uniform(-2.5, 2.5, (rng.integers(1, 14), 3)) @ cell
    return coord, cell, pbc, rng.uniform(0.5, 9.0)


@pytest.mark.parametrize("seed", range(64))
def test_equals_brute_force(seed, search):
    coord, cell, pbc, rcut = random_system(seed)
    expected = brute_force(coord, cell, pbc, rcut)
    if seed % 2:  # rows of open directions are not read
        cell[~np.array(pbc)] = [0.0, np.nan, np.inf][seed // 8 % 3]
    pairs = find_pairs(coord, cell, pbc, rcut)
    assert set(as_list(pairs)) == expected
    check(pairs, coord, np.nan_to_num(cell, posinf=0.0), pbc, rcut)


@pytest.mark.parametrize("seed", range(8))
def test_all_searches_give_the_same_arrays(seed, monkeypatch):
    coord, cell, pbc, rcut = random_system(seed)
    first = find_pairs(coord, cell, pbc, rcut)
    monkeypatch.setattr("multifit.neighbors.search.is_one_block", lambda images, rcut: False)
    for few in (0, 1e9):
        monkeypatch.setattr("multifit.neighbors.blocks.FEW", few)
        second = find_pairs(coord, cell, pbc, rcut)
        for name in ("i", "j", "shift", "rij", "distance"):
            assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_larger_system_in_several_chunks(search, monkeypatch):
    monkeypatch.setattr("multifit.neighbors.cells.CHUNK", 1000)
    monkeypatch.setattr("multifit.neighbors.blocks.PRODUCT", 1000)
    monkeypatch.setattr("multifit.neighbors.search.CHUNK", 1000)
    rng = np.random.default_rng(0)
    coord = rng.uniform(0, 12, (150, 3))
    pairs = find_pairs(coord, 12 * np.eye(3), True, 5.0)
    assert set(as_list(pairs)) == brute_force(coord, 12 * np.eye(3), [True] * 3, 5.0)


def test_crystal_has_ties_and_neighbours_at_the_cutoff(search):
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) * 2.0
    pairs = find_pairs(grid, 8 * np.eye(3), True, 4.0)
    check(pairs, grid, 8 * np.eye(3), [True] * 3, 4.0)
    assert np.bincount(pairs.i).tolist() == [6 + 12 + 8] * 64  # those at 4 Å exactly are not in


def test_order_does_not_depend_on_how_atoms_are_wrapped(search):
    coord = np.array([[0.5, 1.0, 1.5], [0.5, 2.5, 1.5], [4.5, 1.0, 1.5]])
    away = coord + np.array([[10.0, 0, 0], [0, -20.0, 0], [0, 0, 30.0]])
    one, two = (find_pairs(x, CUBE, True, 6.0) for x in (coord, away))
    assert np.array_equal(one.i, two.i)
    assert np.array_equal(one.distance, two.distance)


def test_atoms_a_million_cells_away(search):
    rng = np.random.default_rng(3)
    coord, away = rng.uniform(0, 10, (30, 3)), rng.integers(-(10**6), 10**6, (30, 3))
    home, far = (find_pairs(x, CUBE, True, 6.0) for x in (coord, coord + away @ CUBE))
    moved = far.shift + away[far.j] - away[far.i]
    rows = np.column_stack([far.i, far.j, moved]).tolist()
    assert set(map(tuple, rows)) == set(as_list(home))
    assert np.allclose(np.sort(far.distance), np.sort(home.distance), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("natoms", "pbc", "npairs"), [(0, True, 0), (1, False, 0), (1, True, 6)])
def test_no_atom_and_one_atom(natoms, pbc, npairs, search):
    pairs = find_pairs(np.ones((natoms, 3)), CUBE, pbc, 10.5)
    check(pairs, np.ones((natoms, 3)), CUBE, [pbc] * 3, 10.5)
    assert (len(pairs.i), pairs.shift.shape, pairs.rij.shape) == (npairs, (npairs, 3), (npairs, 3))
    assert pairs.distance.tolist() == [10.0] * npairs


def test_input_may_be_lists_float32_or_strided(search):
    coord = np.random.default_rng(1).uniform(0, 10, (20, 3)).astype(np.float32)
    reference = find_pairs(coord.astype(np.float64), CUBE, True, 4.0)
    strided = np.zeros((20, 6), dtype=np.float32)[:, ::2]
    strided[...] = coord
    for x in (coord, coord.tolist(), np.asfortranarray(coord), strided):
        assert np.array_equal(find_pairs(x, CUBE.tolist(), [True] * 3, 4).rij, reference.rij)


def exploded(*far):
    coord = np.random.default_rng(0).uniform(0, 8, (20, 3))
    coord[3] += far
    return coord, None, False


def sheet():
    x, y = np.meshgrid(np.arange(0, 2001, 50.0), np.arange(0, 2001, 50.0))
    return np.column_stack([x.ravel(), y.ravel(), 0 * x.ravel()]), None, False


def flat_cell(*size):
    cell = np.diag(np.array(size, dtype=float))
    return np.random.default_rng(0).uniform(0, 1, (60, 3)) @ cell, cell, True


#: Geometries of a volume that would be too much for a grid.
FAR_APART = {
    "two atoms": (np.array([[0, 0, 0], [3000, 3000, 0.0]]), None, False),
    "exploded in x": exploded(1e6, 0, 0),
    "exploded in xy": exploded(1e6, 1e6, 0),
    "exploded in xyz": exploded(1e6, 1e6, 1e6),
    "exploded to 1e9": exploded(1e9, 0, 0),
    "sheet": sheet(),
    "slab": flat_cell(2000, 2000, 5),
    "wire": flat_cell(1e6, 5, 5),
}


@pytest.mark.parametrize("name", FAR_APART)
def test_atoms_far_apart_need_no_memory(name, search):
    coord, cell, pbc = FAR_APART[name]
    box = np.zeros((3, 3)) if cell is None else cell
    pairs = find_pairs(coord, cell, pbc, 6.0)
    check(pairs, coord, cell, [pbc] * 3, 6.0)
    assert set(as_list(pairs)) == brute_force(coord, box, [pbc] * 3, 6.0)


def test_blocks_are_for_dense_systems(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr("multifit.neighbors.search.cell_pairs", None)
    assert find_pairs(rng.uniform(0, 30, (2700, 3)), 30 * np.eye(3), True, 4.0).i.size > 50_000
    with pytest.raises(TypeError, match="not callable"):
        find_pairs(rng.uniform(0, 300, (1000, 3)), None, False, 4.0)


NAN, INF = float("nan"), float("inf")
TWO = np.array([[1.0, 1, 1], [2, 2, 2]])
REFUSED = {
    "NaN coordinate": ([[0, 0, 0], [0, NAN, 0]], CUBE, True, 6, "of atom 1 .* are not finite"),
    "infinite coordinate": ([[0, 0, INF], [0, 0, 0]], None, False, 6, "of atom 0 .* not finite"),
    "far away": ([[0, 0, 0], [1e15, 1e15, 1e15]], None, False, 6, "of atom 1 .* more than 1e.10 Å"),
    "NaN cell": (TWO, CUBE * [1, NAN, 1], True, 6, "cell .* not finite"),
    "infinite cell": (TWO, np.full((3, 3), INF), True, 6, "cell .* not finite"),
    "no cell": (TWO, None, True, 6, "its cell is left out"),
    "zero cell": (TWO, 0 * CUBE, [0, 1, 0], 6, "left out or zero"),
    "one zero row": (TWO, np.diag([9.0, 9, 0]), True, 6, "singular"),
    "dependent rows": (TWO, [[1, 2, 3], [2, 4, 6], [0, 0, 5]], True, 6, "singular"),
    "coplanar rows": (TWO, [[9, 0, 0], [0, 9, 0], [9, 9, 0]], True, 6, "singular"),
    "dependent periodic rows": (TWO, [[5, 0, 0], [5, 0, 0], [0, 0, 5]], [1, 1, 0], 6, "singular"),
    "same place": ([[1, 2, 3], [0, 0, 0], [1, 2, 3]], CUBE, True, 6, "atoms 0 and 2 .* same place"),
    "same image": ([[0, 0, 0], [1, 2, 3], [11, 2, -17]], CUBE, True, 6, "1 and 2 .* image"),
    "nearly same": ([[0, 0, 1e-8], [0, 0, 10]], CUBE, [0, 0, 1], 6, "atoms 0 and 1 .* image"),
    "zero cutoff": (TWO, CUBE, True, 0, "finite positive number of Å, not 0"),
    "NaN cutoff": (TWO, CUBE, True, NAN, "not nan"),
    "infinite cutoff": (TWO, CUBE, True, INF, "not inf"),
    "cutoff text": (TWO, CUBE, True, "six", "not 'six'"),
    "flat coordinates": ([1, 2, 3], CUBE, True, 6, r"\(natoms, 3\), not \(3,\)"),
    "ragged coordinates": ([[1, 2, 3], [1]], CUBE, True, 6, "coordinates must be numbers"),
    "cell of nine": (TWO, np.eye(3).ravel(), True, 6, r"\(3, 3\), .* not \(9,\)"),
    "two flags": (TWO, CUBE, [True, True], 6, "pbc must be one or three"),
    "pbc text": (TWO, CUBE, "T T T", 6, "pbc must be one or three"),
    "cell in nm": (np.ones((300, 1)) * [0.1, 0, 0], 0.6 * np.eye(3), True, 6, "too small"),
    "huge cutoff": (TWO, 3.0 * np.eye(3), True, 60, "rcut = 60 Å is too large for the cell"),
    "flat cell": (TWO, [[10, 0, 0], [1e6, 1, 0], [0, 0, 10]], True, 6, "too flat"),
    "all zero": (np.zeros((30_000, 3)), 60 * np.eye(3), True, 6, "not fractional or all zero"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(case, search):
    coord, cell, pbc, rcut, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as caught:
        find_pairs(coord, cell, pbc, rcut, where="system data/a, frame 3")
    assert str(caught.value).startswith("system data/a, frame 3: ")
    assert "\n" not in str(caught.value)


def test_same_place_is_found_in_the_smallest_cells(search):
    coord = [[0.0, 0, 0], [3.0, 0, 0]]
    assert len(find_pairs(coord, 3.1 * np.eye(3), True, 9.0).i) > 100
    with pytest.raises(DataError, match=r"^atoms 0 and 1 "):
        find_pairs(coord, 3.0 * np.eye(3), True, 9.0)


def test_grid_numbers_stay_small_and_keep_neighbours():
    points = np.array([[0.0, 0, 0], [1e10, 0, 0], [1e10 + 2, 0, 0], [1e10 + 2, -5e9, 1.5]])
    key, stride = occupied_grid(points, 1.0, 2)
    assert key.max() < 2000
    assert key[2] - key[1] == 2 * stride[0]
    assert key[1] - key[0] > 2 * stride[0]


@pytest.mark.parametrize("pbc", ALL_PBC[1:])
def test_nearest_images_are_the_pairs_of_all_images(pbc, monkeypatch):
    rng = np.random.default_rng(5)
    cell = 11.0 * np.eye(3) + rng.normal(scale=1.5, size=(3, 3))
    coord = rng.uniform(-1.0, 2.0, size=(40, 3)) @ cell
    heights = 1.0 / np.linalg.norm(np.linalg.inv(complete_cell(cell, np.array(pbc))), axis=0)
    for share in (0.2, 0.4, 0.4995):
        rcut = share * heights[np.array(pbc)].min()
        found = find_pairs(coord, cell, pbc, rcut)
        with monkeypatch.context() as patch:
            patch.setattr("multifit.neighbors.search.nearest_pairs", None)  # was it called?
            with pytest.raises(TypeError):
                find_pairs(coord, cell, pbc, rcut)
            patch.setattr("multifit.neighbors.search.is_wide", lambda box, natoms, rcut: False)
            wanted = find_pairs(coord, cell, pbc, rcut)
        assert len(wanted.i)
        for got, want in zip(vars(found).values(), vars(wanted).values(), strict=True):
            np.testing.assert_array_equal(got, want)
