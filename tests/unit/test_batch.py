"""Batches: every pair is in its table, cut and padded as promised, and atoms come back in order."""

from __future__ import annotations

import _brute as brute
import numpy as np
import pytest
from _cases import RCUT, System, assemble, batcher, build, crystal, frame, molecule, parameters
from _compare import same
from hypothesis import given
from hypothesis import strategies as st

from multifit.batch import Batcher, bucket

PERIODIC = [True] * 3


@pytest.mark.parametrize("sel", [(8, 12), (2, 3), (0, 4)])
@pytest.mark.parametrize("static", [False, True])
def test_tables_hold_the_nearest_pairs(sel: tuple[int, ...], static: bool) -> None:
    system, model = crystal(), build(sel=sel)
    batch, layout = assemble(model, [system], static)
    for a, centre in batch["centres"].items():
        here = np.flatnonzero(layout.real & (system.atype[layout.atom] == int(a)))
        offset = here[0]
        for b, table in centre["tables"].items():
            assert table["mask"].shape[1] <= sel[int(b)]
            for place in here:
                row = place - offset
                near = [
                    one
                    for one in brute.neighbours(system, int(layout.atom[place]), RCUT)
                    if one[1] == int(b)
                ][: sel[int(b)]]
                k = int(table["mask"][row].sum())
                assert k == len(near)
                got = np.linalg.norm(table["rij"][row, :, :k], axis=0)
                same(got, [length for length, _, _ in near], rtol=1e-13)
                same(table["rij"][row, :, k:], np.zeros_like(table["rij"][row, :, k:]), atol=0.0)
                # The index leads to an atom of the right type whose image is where rij says.
                for column in range(k):
                    other = layout.atom[table["index"][row, column]]
                    assert system.atype[other] == int(b)
                    apart = system.coord[other] - system.coord[layout.atom[place]]
                    shift = (table["rij"][row, :, column] - apart) @ np.linalg.inv(system.cell)
                    same(shift, np.round(shift), atol=1e-9)


def test_pairs_beyond_sel_are_counted() -> None:
    system = crystal()
    full, cut = frame(batcher(build()), system), frame(batcher(build(sel=(2, 3))), system)
    pairs = [len(t.row) for t in full.tables.values()]
    assert full.dropped == 0
    assert cut.dropped == sum(pairs) - sum(len(t.row) for t in cut.tables.values()) > 0
    assert cut.fullest == full.fullest
    counts = [
        [sum(one[1] == b for one in brute.neighbours(system, i, RCUT)) for b in (0, 1)]
        for i in range(6)
    ]
    assert full.fullest == tuple(np.max(counts, axis=0))
    assert full.nbytes > cut.nbytes > 0


def test_hidden_pairs_are_in_no_table() -> None:
    tables = frame(batcher(build(pair_exclude_types=((1, 0),))), crystal()).tables
    assert set(tables) == {(0, 0), (1, 1)}


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
        masks = np.concatenate([c["mask"] for c in batch["centres"].values()])
        assert np.array_equal(masks, layout.real)


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


def test_tables_of_a_compiling_backend_never_shrink() -> None:
    b = Batcher(RCUT, (8, 12), static_shapes=True)
    big, small = crystal(), molecule()
    shapes = []
    for system in (big, small, big):
        batch, _ = b.assemble([frame(b, system)])
        shapes.append(
            {
                (a, k): table["mask"].shape
                for a, centre in batch["centres"].items()
                for k, table in centre["tables"].items()
            }
        )
    assert shapes[0] == shapes[1] == shapes[2]


@given(n=st.integers(1, 10_000))
def test_buckets_are_few_and_not_much_larger(n: int) -> None:
    size = bucket(n)
    assert n <= size <= max(n + 7, n * 9 / 8)
    assert bucket(size) == size


def test_buckets_are_few() -> None:
    assert len({bucket(n) for n in range(1, 1025)}) < 50
