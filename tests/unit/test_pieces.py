"""Large frames in pieces are what they are as a whole; small ones go through together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import System, batcher, build, crystal, draw, frame, molecule, parameters
from _compare import same
from hypothesis import given
from hypothesis import strategies as st

from multifit.backend import get_backend
from multifit.batching import partition
from multifit.batching.adaptive import COMPILATION, AdaptiveShapes
from multifit.batching.shapes import Shape, Shapes
from multifit.descriptors.se_e2_a import SeE2A
from multifit.dos import Grid, even_grid
from multifit.errors import DataError
from multifit.inference import neighbor_lists, runner
from multifit.inference.grouping import group_by_size
from multifit.inference.potential import Potential

EXACT = 1e-12


def cluster(n: int = 40, virtual: int = 3) -> System:
    """Return atoms far apart from each other in a long strip, some of them virtual."""
    rng = np.random.default_rng(4)
    coord = np.stack(np.meshgrid(np.arange(n // 4), [0, 1], [0, 1], indexing="ij"), axis=-1)
    coord = 1.6 * coord.reshape(-1, 3) + rng.uniform(-0.1, 0.1, size=(n, 3))
    atype = rng.integers(0, 2, size=n)
    atype[rng.permutation(n)[:virtual]] = -1
    shuffled = rng.permutation(n)
    return System(coord[shuffled], atype[shuffled], None)


def tiled(times: tuple[int, int, int] = (2, 1, 2)) -> System:
    """Return crystals side by side, no two alike, whose atoms are not all inside the cell."""
    one, rng = crystal(), np.random.default_rng(2)
    assert one.cell is not None
    images = np.stack(np.meshgrid(*map(np.arange, times), indexing="ij"), axis=-1).reshape(-1, 3)
    coord = (one.coord + (images @ one.cell)[:, None]).reshape(-1, 3)
    coord += rng.uniform(-0.05, 0.05, size=coord.shape)
    cell = one.cell * np.array(times)[:, None]
    coord[::3] += cell[0] - cell[2]
    return System(coord, np.tile(one.atype, len(images)), cell)


def both(
    model: Any, system: System, name: str, at_once: int, **wanted: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what is predicted in pieces, and at once."""
    params, extra = draw(model), parameters(model, [system])
    given = (system.coord, system.atype, system.cell)
    got, want = (
        Potential(model, params, name, atoms_at_once=n).predict(*given, **extra, **wanted)
        for n in (at_once, 10**6)
    )
    return got, want


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_pieces_add_up_to_the_whole_on_every_backend(name: str) -> None:
    model = build(type_one_side=False, numb_fparam=1, numb_aparam=2)
    got, want = both(model, tiled(), name, 7, atom_virial=True)
    same(got, want, rtol=EXACT, atol=1e-13)
    assert np.abs(want["force"]).max() > 1e-3


@pytest.mark.parametrize("at_once", [1, 5, 11])
@pytest.mark.parametrize(
    ("options", "system"),
    [
        ({}, crystal()),
        ({"sel": (3, 4)}, tiled()),
        ({"activation": "relu"}, tiled((1, 3, 1))),
        ({"exclude_types": ((0, 1),)}, tiled()),
        ({"pair_exclude_types": ((0, 1),)}, tiled()),
        ({"atom_exclude_types": (1,), "tot_ener_zero": True}, cluster()),
        ({"sel": (0, 12)}, cluster()),
        ({"mixed_types": True, "numb_fparam": 2}, cluster()),
        ({"numb_dos": 4}, cluster()),
        ({"numb_dos": 3, "numb_aparam": 2}, tiled()),
    ],
)
def test_pieces_add_up_to_the_whole(options: dict[str, Any], system: System, at_once: int) -> None:
    model = build(**options)
    wanted = {"atom_virial": True} if model.output.derivatives else {}
    got, want = both(model, system, "numpy", at_once, **wanted)
    same(got, want, rtol=EXACT, atol=1e-13)


def test_atoms_that_a_mask_takes_away_are_in_no_piece() -> None:
    model, system = build(numb_aparam=1, use_aparam_as_mask=True), tiled()
    params, there = draw(model), np.arange(24) % 5 != 2
    given = (system.coord, system.atype, system.cell, None, there[:, None].astype(float))
    got, want = (Potential(model, params, atoms_at_once=n).predict(*given) for n in (5, 99))
    same(got, want, rtol=EXACT)
    assert not got["force"][0, ~there].any()


@pytest.mark.parametrize("options", [{}, {"tot_ener_zero": True}, {"numb_dos": 4}])
def test_a_compiler_meets_one_shape_of_pieces(options: dict[str, Any]) -> None:
    model = build(**options)
    met = []
    backend = replace(get_backend("numpy"), static_shapes=True)  # type: ignore[type-var]
    potential = Potential(model, draw(model), backend, atoms_at_once=9)
    networks, start = potential.runner.evaluator, potential.runner.evaluator.start

    def watch(batch: Any, *rest: Any) -> Any:
        widths = tuple(table["mask"].shape for table in batch["tables"].values())
        met.append((len(batch["atype"]), len(batch["ghosts"]), widths))
        return start(batch, *rest)

    networks.start = watch  # type: ignore[method-assign]
    system = cluster(44, 4)
    got = potential.predict(system.coord, system.atype)
    moved = system.coord + np.random.default_rng(0).normal(scale=0.02, size=system.coord.shape)
    potential.predict(moved, system.atype)
    assert len(met) == 10
    assert len(set(met)) == 1
    want = Potential(model, draw(model)).predict(system.coord, system.atype)
    same(got, want, rtol=EXACT, atol=1e-13)


def test_derivatives_of_the_second_order_are_made_of_the_whole() -> None:
    got, want = both(build(), molecule(), "numpy", 2, hessian=True)
    same(got, want, rtol=EXACT)


def test_pieces_hold_every_real_atom_once_and_the_same_composition() -> None:
    system = cluster(200, 9)
    order = partition.spatial_order(system.coord, None, [False] * 3, system.atype, 30)
    assert sorted(order.atoms) == np.flatnonzero(system.atype >= 0).tolist()
    parts = np.split(system.atype[order.atoms], order.edges[1:-1])
    assert len(parts) == 7
    counts = np.array([np.bincount(part, minlength=2) for part in parts])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert all(np.array_equal(part, np.sort(part)) for part in parts)
    # A strip is cut across: no piece is much longer than its share.
    spans = [np.ptp(x) for x in np.split(system.coord[order.atoms, 0], order.edges[1:-1])]
    assert max(spans) < 2 * np.ptp(system.coord[:, 0]) / len(parts)
    back = np.zeros_like(system.coord)
    back[order.atoms] = system.coord[order.atoms]
    assert np.array_equal(back[system.atype >= 0], system.coord[system.atype >= 0])
    assert not back[system.atype < 0].any()


def test_atoms_that_are_near_through_a_face_are_near_in_the_order() -> None:
    rng = np.random.default_rng(1)
    coord, cell = rng.uniform(0, 20, size=(4000, 3)), np.diag([20.0] * 3)
    out = coord + rng.integers(-2, 3, size=coord.shape) * 20.0
    atype = np.zeros(4000, dtype=int)
    inside, outside = (
        partition.spatial_order(x, cell, [True] * 3, atype, 500).atoms for x in (coord, out)
    )
    # Rounding may exchange two atoms.
    assert (inside == outside).mean() > 0.9
    first = coord[inside[:500]]
    assert (np.ptp(first, axis=0) < 15).all()


@pytest.mark.parametrize("coord", [np.zeros((5, 3)), np.full((5, 3), np.nan), np.eye(5)[:, :3]])
@pytest.mark.parametrize("cell", [None, np.zeros((3, 3)), np.eye(3)])
def test_any_atoms_can_be_put_in_order(coord: np.ndarray, cell: np.ndarray | None) -> None:
    order = partition.spatial_order(coord, cell, [cell is not None] * 3, np.zeros(5, dtype=int), 2)
    assert sorted(order.atoms) == list(range(5))


def test_a_piece_sees_whom_its_atoms_see() -> None:
    whole = frame(batcher(build()), cluster(40, 0))
    natoms = len(whole.atype)
    met = []
    for start in range(0, natoms, 12):
        stop = min(start + 12, natoms)
        piece = partition.subdomain(whole, start, stop)
        back = np.concatenate([np.arange(start, stop), piece.ghosts])
        for b, table in piece.frame.tables.items():
            met += [(start + i, back[j], b) for i, j in zip(table.i, table.j, strict=True)]
    want = [(i, j, b) for b, t in whole.tables.items() for i, j in zip(t.i, t.j, strict=True)]
    assert sorted(met) == sorted(want)


def test_errors_name_the_atoms_of_the_frame() -> None:
    system = cluster(40, 0)
    system.coord[31] = system.coord[5]
    with pytest.raises(DataError, match="atoms 5 and 31"):
        Potential(build(), draw(build()), atoms_at_once=8).predict(system.coord, system.atype)
    system.coord[17, 1] = np.nan
    with pytest.raises(DataError, match=r"frame 0: the coordinates .* of atom 17"):
        Potential(build(), draw(build()), atoms_at_once=8).predict(system.coord, system.atype)
    with pytest.raises(DataError, match="atoms_at_once is 0"):
        Potential(build(), draw(build()), atoms_at_once=0)


@pytest.mark.parametrize("at_once", [6, 100])
def test_a_trajectory_keeps_its_list(at_once: int) -> None:
    model, system, rng = build(), tiled(), np.random.default_rng(0)
    potential = Potential(model, draw(model), atoms_at_once=at_once)
    plain = Potential(model, draw(model))
    for step in range(8):
        coord = system.coord + step * 0.02 * rng.normal(size=system.coord.shape)
        given = (coord, system.atype, system.cell)
        same(potential.predict(*given, skin=0.8), plain.predict(*given), rtol=1e-11)
    kept = potential.runner.neighbors._own.kept
    assert kept is not None
    assert 1 <= kept.neighbours.searches < 6
    assert kept.neighbours.searches + kept.neighbours.reuses == 8
    potential.predict(system.coord, system.atype[::-1], system.cell, skin=0.8)
    assert potential.runner.neighbors._own.kept is not kept
    with pytest.raises(DataError, match="skin is -1"):
        potential.predict(*given, skin=-1)


def test_orders_do_not_last_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbor_lists, "ORDER_LASTS", 2)
    model, system = build(), cluster(40, 2)
    potential = Potential(model, draw(model), atoms_at_once=9)
    lists = []
    for step in range(5):
        given = (system.coord * (1 + 0.2 * step), system.atype)
        same(potential.predict(*given, skin=0.3), Potential(model, draw(model)).predict(*given))
        kept = potential.runner.neighbors._own.kept
        assert kept is not None
        lists.append(kept.neighbours)
    assert lists[0] is lists[1] is not lists[-1]


def test_neighbours_of_neighbours_are_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part has no ghosts of the second hop: with message passing, frames stay whole."""
    requires = SeE2A.requires
    monkeypatch.setattr(SeE2A, "requires", lambda self: replace(requires(self), hops=2))
    system, sizes = cluster(32, 0), []
    potential = Potential(build(), draw(build()), atoms_at_once=8)
    networks, start = potential.runner.evaluator, potential.runner.evaluator.start

    def watch(batch: Any, *rest: Any) -> Any:
        sizes.append(len(batch["atype"]))
        return start(batch, *rest)

    networks.start = watch  # type: ignore[method-assign]
    potential.predict(system.coord, system.atype)
    assert sizes == [32]
    with pytest.raises(DataError, match=r"passes messages over 2 hops, but no pair starts at"):
        potential.evaluate_pairs(np.ones((1, 3)), [0], [1], [0, 1], 1)


# Batches of what differs.


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_structures_that_differ_go_through_together(name: str) -> None:
    model = build(numb_fparam=1, numb_aparam=2)
    potential = Potential(model, draw(model), name, atoms_at_once=20)
    systems = [crystal(), molecule(), cluster(24, 1), crystal(3), molecule(4)]
    given = [
        {"coord": s.coord, "types": s.atype, "cell": s.cell}
        | {key: x[0] for key, x in parameters(model, [s], seed=k).items()}
        for k, s in enumerate(systems)
    ]
    got = potential.predict_many(given)
    assert len(got) == 5
    plain = Potential(model, draw(model))
    for one, found in zip(given, got, strict=True):
        same(found, {key: x[0] for key, x in plain.predict(**one).items()}, rtol=1e-11)
    assert potential.predict_many([]) == []


def test_levels_are_of_each_structure() -> None:
    grid = Grid(even_grid(-1.0, 1.0, 5), electrons=(2.0, 1.0))
    model = build(numb_dos=5, grid=grid)
    potential = Potential(model, draw(model))
    systems = [molecule(), crystal()]
    got = potential.predict_many(
        [{"coord": s.coord, "types": s.atype, "cell": s.cell} for s in systems]
    )
    for s, found in zip(systems, got, strict=True):
        want = potential.predict(s.coord, s.atype, s.cell)
        energies = want.pop("energies")
        same(found, {key: x[0] for key, x in want.items()} | {"energies": energies}, rtol=EXACT)


def test_structures_come_from_ase() -> None:
    ase = pytest.importorskip("ase")
    potential, one = Potential(build(), draw(build())), crystal()
    symbols = np.array(["O", "H"])[one.atype]
    solid = ase.Atoms(symbols, positions=one.coord, cell=one.cell, pbc=True)
    free = ase.Atoms(symbols, positions=one.coord)
    got = potential.predict_many([solid, free])
    for cell, found in zip((one.cell, None), got, strict=True):
        want = potential.predict(one.coord, one.atype, cell)
        same(found, {key: x[0] for key, x in want.items()}, rtol=EXACT)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"types": [0]}, "structure 1: coord is missing"),
        ({"coord": np.zeros((1, 3)), "type": [0]}, r"unknown key 'type' \(did you mean 'types'"),
        ({"coord": np.zeros((1, 3)), "types": ["He"]}, "structure 1: atom 0 is 'He'"),
        ({"coord": np.zeros((2, 1, 3)), "types": ["H"]}, "structure 1: coord has 2 frames"),
        (7, "structure 1: a int is no structure"),
    ],
)
def test_wrong_structures_are_named(wrong: Any, message: str) -> None:
    right = {"coord": molecule().coord, "types": molecule().atype}
    with pytest.raises(DataError, match=message):
        Potential(build(), draw(build())).predict_many([right, wrong])


@given(sizes=st.lists(st.integers(0, 30), max_size=30), limit=st.integers(1, 40))
def test_batches_are_full_and_not_too_full(sizes: list[int], limit: int) -> None:
    groups = group_by_size(sizes, limit, [0] * len(sizes))
    assert sorted(k for group in groups for k in group) == list(range(len(sizes)))
    totals = [sum(max(sizes[k], 1) for k in group) for group in groups]
    assert all(n <= limit or len(group) == 1 for n, group in zip(totals, groups, strict=True))
    for total, after in zip(totals, groups[1:], strict=False):
        assert total + max(sizes[after[0]], 1) > limit


def test_kinds_are_kept_apart() -> None:
    assert group_by_size([3, 2, 3, 2], 100, [3, 2, 3, 2]) == [[1, 3], [0, 2]]


def test_shapes_are_few_until_better_ones_pay() -> None:
    rooms = AdaptiveShapes(Shapes(static=True))
    rooms.make([Shape(1, (100, 200))])
    known = rooms.shapes.known[0]
    assert known.holds(Shape(1, (100, 200)))
    small = Shape(1, (10, 20))
    calls = 0
    while len(rooms.shapes.known) == 1:
        rooms.make([small])
        calls += 1
    assert calls == COMPILATION // (known.natoms - 30) + 1
    assert rooms.shapes.fit(small) == small
    rooms.make([Shape(2, (10, 20)), Shape(1, (11, 20))])
    assert rooms.shapes.fit(Shape(2, (11, 20))) == known or len(rooms.shapes.known) == 3
    none = AdaptiveShapes(Shapes(static=False))
    none.make([small])
    assert none.shapes.known == []


def test_memory_does_not_grow_with_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ATOMS_AT_ONCE", 8)
    sizes = []
    potential = Potential(build(), draw(build()))
    networks, start = potential.runner.evaluator, potential.runner.evaluator.start

    def watch(batch: Any, *rest: Any) -> Any:
        sizes.append(len(batch["atype"]))
        return start(batch, *rest)

    networks.start = watch  # type: ignore[method-assign]
    system = cluster(100, 0)
    potential.predict(system.coord, system.atype)
    assert len(sizes) == 13
    assert max(sizes) <= 8 + 1
