"""Batches: every pair is in its table, cut and padded as promised, and atoms come back in order."""

from __future__ import annotations

import json
from typing import Any

import _brute as brute
import numpy as np
import pytest
from _cases import RCUT, System, assemble, batcher, build, crystal, frame, molecule, parameters
from _compare import same
from hypothesis import given
from hypothesis import strategies as st

from multifit.batching.batch import SPARE, Batcher, flat_atoms
from multifit.batching.shapes import Shape, bucket
from multifit.descriptors import get_descriptor
from multifit.neighbors.requirements import Requirements
from multifit.tree import Tree, walk

PERIODIC = [True] * 3


@pytest.mark.parametrize("sel", [(8, 12), (2, 3), (0, 4)])
@pytest.mark.parametrize("static", [False, True])
def test_tables_hold_the_nearest_pairs(sel: tuple[int, ...], static: bool) -> None:
    system, model = crystal(), build(sel=sel)
    batch, layout = assemble(model, [system], static)
    assert set(batch["tables"]) == {str(b) for b in (0, 1) if sel[b]}
    for b, table in batch["tables"].items():
        n, width = table["mask"].shape
        assert n == len(layout.real)
        assert width <= sel[int(b)]
        assert table["rij"].shape == (n, 3, width)
        assert table["index"].shape == (n, width)
        for place in np.flatnonzero(layout.real):
            near = [
                one
                for one in brute.neighbours(system, int(layout.atom[place]), RCUT)
                if one[1] == int(b)
            ][: sel[int(b)]]
            k = int(table["mask"][place].sum())
            assert k == len(near)
            # Which those are counts, and not their order.
            got = np.sort(np.linalg.norm(table["rij"][place, :, :k], axis=0))
            same(got, [length for length, _, _ in near], rtol=1e-13)
            assert not table["rij"][place, :, k:].any()
            # The index leads to an atom of the right type whose image is where rij says.
            for column in range(k):
                end = table["index"][place, column]
                assert layout.real[end]
                assert system.atype[layout.atom[end]] == int(b)
                apart = system.coord[layout.atom[end]] - system.coord[layout.atom[place]]
                shift = (table["rij"][place, :, column] - apart) @ np.linalg.inv(system.cell)
                same(shift, np.round(shift), atol=1e-9)


@pytest.mark.parametrize("static", [False, True])
def test_places_that_pad_have_no_neighbours_and_are_none(static: bool) -> None:
    batch, layout = assemble(build(), [crystal(), molecule()], static)
    assert layout.real.all() != static
    for table in batch["tables"].values():
        for key in ("rij", "index", "mask"):
            assert not table[key][~layout.real].any()
        ends = table["index"][table["mask"] > 0]
        assert layout.real[ends].all()
        # Nor does a pair end at an atom of another frame.
        rows = np.broadcast_to(np.arange(len(layout.real))[:, None], table["mask"].shape)
        assert np.array_equal(layout.frame[rows[table["mask"] > 0]], layout.frame[ends])


def test_pairs_beyond_sel_are_counted() -> None:
    system = crystal()
    full, cut = frame(batcher(build()), system), frame(batcher(build(sel=(2, 3))), system)
    pairs = [len(t.i) for t in full.tables.values()]
    assert full.dropped == 0
    assert cut.dropped == sum(pairs) - sum(len(t.i) for t in cut.tables.values()) > 0
    assert cut.fullest == full.fullest
    counts = [
        [sum(one[1] == b for one in brute.neighbours(system, i, RCUT)) for b in (0, 1)]
        for i in range(6)
    ]
    assert full.fullest == tuple(np.max(counts, axis=0))
    assert full.nbytes > cut.nbytes > 0


@pytest.mark.parametrize("sel", [(8, 12), (2, 3), (0, 4)])
def test_the_smallest_distances_are_those_of_all_pairs(sel: tuple[int, ...]) -> None:
    """Also of pairs that ``sel`` leaves out, which the next step may put in."""
    for system in (crystal(), molecule()):
        want = np.full((2, 2), np.inf)
        for i, a in enumerate(system.atype):
            for length, b, _ in brute.neighbours(system, i, RCUT):
                want[a, b] = min(want[a, b], length)
        same(frame(batcher(build(sel=sel)), system).nearest, want, rtol=1e-13)


def test_hidden_pairs_are_in_no_table() -> None:
    found = frame(batcher(build(pair_exclude_types=((1, 0),))), crystal())
    atype = crystal().atype
    assert set(found.tables) == {0, 1}
    for b, table in found.tables.items():
        assert set(atype[table.i]) == set(atype[table.j]) == {b}
    assert np.isinf(found.nearest).tolist() == [[False, True], [True, False]]


def test_atoms_lie_by_type_and_come_back_in_order() -> None:
    systems = [crystal(), molecule(), crystal(3)]
    for static in (False, True):
        batch, layout = assemble(build(), systems, static)
        same(batch["natoms"], [6.0, 5.0, 6.0])
        types = np.array(
            [systems[f].atype[i] for f, i in zip(layout.frame, layout.atom, strict=True)]
        )
        real = types[layout.real]
        assert np.array_equal(real, np.sort(real))
        labels = [
            np.random.default_rng(k).normal(size=(len(s.atype), 3)) for k, s in enumerate(systems)
        ]
        flat = layout.spread(labels)
        assert not flat[~layout.real].any()
        back = layout.gather(flat, 3, 6)
        for k, label in enumerate(labels):
            same(back[k, : len(label)], label, rtol=0.0)
        atoms = flat_atoms(np, batch)
        assert np.array_equal(atoms.mask, layout.real)
        assert np.array_equal(atoms.frame, layout.frame)
        # The type of a place is that of its centre, whether it pads or not.
        assert np.array_equal(batch["atype"][layout.real], real)
        counts = {a: len(centre["mask"]) for a, centre in batch["centres"].items()}
        assert np.array_equal(batch["atype"], np.repeat([0, 1], [counts["0"], counts["1"]]))


def test_virtual_atoms_are_in_no_list() -> None:
    system = System(np.zeros((3, 3)) + np.arange(3)[:, None], np.array([1, -1, 0]), None)
    _, layout = assemble(build(), [system])
    assert layout.atom.tolist() == [2, 0]
    same(layout.gather(np.ones((2, 1)), 1, 3)[0, :, 0], [1.0, 0.0, 1.0])


def test_parameters_follow_their_atoms() -> None:
    systems, model = [crystal(), crystal(1)], build(numb_fparam=2, numb_aparam=1)
    extra = parameters(model, systems)
    batch, layout = assemble(model, systems, True, **extra)
    same(batch["fparam"], extra["fparam"], rtol=0.0)
    flat = np.concatenate([c["aparam"] for c in batch["centres"].values()])
    for place in np.flatnonzero(layout.real):
        same(flat[place], extra["aparam"][layout.frame[place], layout.atom[place]], rtol=0.0)


def _sizes(batch: Tree) -> Any:
    """Return the shapes of all arrays of a batch, by name."""
    return {name: x.shape for name, x in walk(batch)}


def test_tables_of_a_compiling_backend_never_shrink() -> None:
    b = Batcher(Requirements(RCUT, (8, 12)), static_shapes=True)
    big, small = crystal(), molecule()
    # Only the small one has near pairs.
    shapes = [_sizes(b.assemble([frame(b, system)])[0]) for system in (big, small, big, small)]
    assert shapes[1] == shapes[2] == shapes[3]
    widths = [found["tables.1.mask"][1] for found in shapes]
    assert widths == sorted(widths)


def test_tables_are_as_wide_as_what_was_learned_and_a_little_more() -> None:
    b = Batcher(Requirements(RCUT, (30, 40)), static_shapes=True)
    ready = [frame(b, system) for system in (crystal(), molecule())]
    b.reserve(ready)
    batch, _ = b.assemble(ready[1:])
    for k, table in batch["tables"].items():
        found = [f.tables[int(k)].columns(b.needs.inner).widths for f in ready]
        near, others = (max(each) for each in zip(*found, strict=True))
        assert len(table["near"]) == (bucket(near + SPARE) if near else 0)
        assert table["mask"].shape[1] == len(table["near"]) + bucket(others + SPARE)
    tight = Batcher(Requirements(RCUT, (2, 3)), static_shapes=True)
    tight.reserve([frame(tight, crystal())])
    batch, _ = tight.assemble([frame(tight, crystal())])
    assert [table["mask"].shape[1] for table in batch["tables"].values()] == [2, 3]


def test_without_static_shapes_nothing_pads() -> None:
    b = Batcher(Requirements(RCUT, (8, 12)))
    b.shapes.plan([Shape(4, (50, 50))], [1.0])
    ready = [frame(b, system) for system in (crystal(), molecule())]
    b.reserve(ready)
    _, layout = b.assemble(ready)
    assert layout.real.all()
    batch, layout = b.assemble(ready[1:])
    assert (layout.nframes, len(layout.real)) == (1, 5)
    for k, table in batch["tables"].items():
        near, others = ready[1].tables[int(k)].columns(b.needs.inner).widths
        assert (len(table["near"]), table["mask"].shape[1]) == (near, near + others)


def test_a_batch_gets_the_planned_shape_that_holds_it() -> None:
    model = build(sel=(8, 12, 4), numb_fparam=2, numb_aparam=1)
    b = batcher(model, static_shapes=True)
    b.shapes.plan([Shape(3, (8, 10, 5)), Shape(1, (2, 3, 0))], [1.0, 1.0])
    ready = [frame(b, system) for system in (crystal(), crystal(1))]
    extra = parameters(model, [crystal(), crystal(1)])
    batch, layout = b.assemble(ready, **extra)
    assert layout.nframes == 3
    same(batch["natoms"], [6.0, 6.0, 0.0])
    assert [len(c["mask"]) for c in batch["centres"].values()] == [8, 10, 5]
    assert not batch["centres"]["2"]["mask"].any()
    same(batch["fparam"], np.concatenate([extra["fparam"], np.zeros((1, 2))]), rtol=0.0)
    small, layout = b.assemble([frame(b, molecule())], extra["fparam"][:1], extra["aparam"][:1, :5])
    assert (layout.nframes, len(layout.real)) == (1, 5)
    assert set(small["centres"]) == {"0", "1"}


def test_values_of_frames_and_atoms_are_padded_with_zeros() -> None:
    b = batcher(build(), static_shapes=True)
    b.shapes.plan([Shape(4, (9, 9))], [1.0])
    _, layout = b.assemble([frame(b, system) for system in (crystal(), molecule())])
    same(layout.padded(np.ones((2, 3))), [[1.0] * 3] * 2 + [[0.0] * 3] * 2, rtol=0.0)
    same(layout.padded(np.arange(2)), [0, 1, 0, 0], rtol=0.0)
    flat = layout.spread([np.ones((6, 2)), np.full((5, 2), 2.0)])
    assert np.array_equal(flat[:, 0], np.where(layout.real, 1.0 + layout.frame, 0.0))


@given(n=st.integers(1, 10_000))
def test_buckets_are_few_and_not_much_larger(n: int) -> None:
    size = bucket(n)
    assert n <= size <= max(n + 7, n * 9 / 8)
    assert bucket(size) == size


def test_buckets_are_few() -> None:
    assert len({bucket(n) for n in range(1, 1025)}) < 50


@pytest.mark.parametrize("static", [False, True])
def test_batches_of_the_same_atoms_share_what_depends_on_these_alone(static: bool) -> None:
    system = crystal()
    made = batcher(build(), static)
    first, layout = made.assemble([frame(made, system)])
    moved = System(system.coord + 0.01, system.atype, system.cell)
    second, again = made.assemble([frame(made, moved)])
    assert again is layout
    for key in ("natoms", "atype", "centres"):
        assert second[key] is first[key]
    assert not any(x.flags.writeable for _, x in walk({"centres": first["centres"]}))
    # Parameters of atoms belong to one batch.
    natoms = len(system.atype)
    third, _ = made.assemble([frame(made, system)], None, [np.ones((natoms, 1))])
    assert all("aparam" in each for each in third["centres"].values())
    assert not any("aparam" in each for each in first["centres"].values())


def test_atoms_of_other_types_have_other_places() -> None:
    system = crystal()
    made = batcher(build())
    _, layout = made.assemble([frame(made, system)])
    swapped = System(system.coord, system.atype[::-1].copy(), system.cell)
    _, other = made.assemble([frame(made, swapped)])
    assert other is not layout
    flat = other.spread([np.arange(len(system.atype))])
    same(swapped.atype[flat], np.sort(swapped.atype))


@pytest.mark.parametrize("name", ["se_e2_a", "dpa2", "dpa3", "hybrid"])
def test_the_widths_of_all_tables_restore_them(name: str) -> None:
    descriptor = next(iter(get_descriptor(name).examples()))
    system = crystal()
    made = [Batcher(descriptor.requires(), static_shapes=True) for _ in range(2)]
    ready = [frame(made[0], system)]
    made[0].reserve(ready)
    made[1].restore(json.loads(json.dumps(made[0].state())))
    assert made[1].state() == made[0].state()
    shapes = [[x.shape for _, x in walk(one.assemble(ready)[0])] for one in made]
    assert shapes[0] == shapes[1]
    few = Batcher(descriptor.requires(), static_shapes=True)
    few.restore({})
    assert few.state() != made[0].state()
