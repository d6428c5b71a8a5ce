"""Shapes of batches: few, large enough for all that is drawn, and not much larger."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multifit.batching.shapes import FINEST, MOST, WASTE, Shape, Shapes, bucket, planned, union

_shape = st.builds(
    Shape, st.integers(1, 8), st.tuples(*[st.integers(0, 300)] * 3).filter(lambda c: sum(c) > 0)
)
_drawn = st.lists(st.tuples(_shape, st.floats(0.01, 1.0)), min_size=1, max_size=12)


def smallest(shapes: list[Shape], need: Shape) -> Shape:
    """Return the smallest shape that holds what is needed."""
    return min((one for one in shapes if one.holds(need)), key=lambda one: one.natoms)


def expected(shapes: list[Shape], needs: list[Shape], weights: list[float]) -> float:
    """Return the mean number of atoms of batches, times the sum of weights."""
    pairs = zip(needs, weights, strict=True)
    return sum(weight * smallest(shapes, need).natoms for need, weight in pairs)


def ideal(needs: list[Shape], weights: list[float]) -> float:
    """Return the same where each batch has its own shape."""
    return sum(weight * need.natoms for need, weight in zip(needs, weights, strict=True))


def systems(number: int, seed: int = 0) -> tuple[list[Shape], list[float]]:
    """Return batches of random systems: 10 to 400 atoms, two to four of four types."""
    rng = np.random.default_rng(seed)
    needs = []
    for _ in range(number):
        kinds = rng.permutation(4)[: rng.integers(2, 5)]
        share = np.zeros(4)
        share[kinds] = rng.dirichlet(np.ones(len(kinds)) * 4)
        counts = np.ceil(share * rng.integers(10, 401)).astype(int)
        needs.append(Shape(int(rng.integers(1, 4)), tuple(counts.tolist())))
    return needs, rng.uniform(0.5, 1.5, number).tolist()


def test_a_shape_holds_what_is_not_larger_in_anything() -> None:
    shape = Shape(2, (3, 4))
    assert shape.natoms == 7
    assert shape.holds(shape)
    assert shape.holds(Shape(1, (0, 4)))
    assert not shape.holds(Shape(3, (1, 1)))
    assert not shape.holds(Shape(1, (0, 5)))


@given(shapes=st.lists(_shape, min_size=1, max_size=5))
def test_a_union_is_the_smallest_that_holds_all(shapes: list[Shape]) -> None:
    found = union(shapes)
    assert all(found.holds(one) for one in shapes)
    assert found.nframes in {one.nframes for one in shapes}
    for k, n in enumerate(found.counts):
        assert n in {one.counts[k] for one in shapes}


@given(drawn=_drawn)
def test_planned_shapes_are_few_and_hold_everything(drawn: list[tuple[Shape, float]]) -> None:
    needs, weights = [one for one, _ in drawn], [weight for _, weight in drawn]
    found = planned(needs, weights)
    assert 1 <= len(found) <= MOST
    assert all(any(shape.holds(need) for shape in found) for need in needs)
    # No shape is larger than something asks for.
    whole = union(needs)
    assert all(whole.holds(shape) for shape in found)
    assert len(found) == MOST or expected(found, needs, weights) <= WASTE * ideal(needs, weights)


@given(drawn=st.lists(st.tuples(_shape, st.floats(0.01, 1.0)), min_size=2, max_size=7))
def test_no_other_cuts_of_the_sorted_needs_are_better(drawn: list[tuple[Shape, float]]) -> None:
    drawn = sorted(dict(drawn).items(), key=lambda one: (one[0].natoms, one[0].counts))
    needs, weights = [one for one, _ in drawn], [weight for _, weight in drawn]
    found = planned(needs, weights)
    costs: dict[int, float] = {}
    for number in range(1, len(needs) + 1):
        for cuts in itertools.combinations(range(1, len(needs)), number - 1):
            bounds = zip([0, *cuts], [*cuts, len(needs)], strict=True)
            cost = sum(union(needs[i:j]).natoms * sum(weights[i:j]) for i, j in bounds)
            costs[number] = min(cost, costs.get(number, np.inf))
    # That many are needed, and they are the best of that many.
    limit = WASTE * ideal(needs, weights) * (1 + 1e-12)
    assert len(found) == next(
        (n for n in sorted(costs) if costs[n] <= limit), min(MOST, len(needs))
    ) or len(found) == min(MOST, len(needs))
    assert expected(found, needs, weights) <= costs[len(found)] * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_two_hundred_systems_take_four_shapes(seed: int) -> None:
    needs, weights = systems(200, seed)
    found = planned(needs, weights)
    assert len(found) <= MOST
    # Compositions are random, so that much is empty, but half of what it is with one shape.
    one, some = (expected(shapes, needs, weights) for shapes in ([union(needs)], found))
    assert some < 0.6 * one
    assert some < 3.0 * ideal(needs, weights)


def test_systems_of_one_composition_waste_a_quarter_at_most() -> None:
    rng = np.random.default_rng(3)
    needs = [Shape(1, (int(n), 2 * int(n))) for n in rng.integers(8, 128, 200)]
    weights = [1.0] * 200
    found = planned(needs, weights)
    assert expected(found, needs, weights) <= WASTE * ideal(needs, weights)
    assert len(found) < MOST + 1


def test_what_is_drawn_often_has_little_waste() -> None:
    often, seldom = Shape(1, (64, 128)), Shape(1, (640, 1280))
    for weight in (1.0, 0.01, 1e-6):
        assert planned([often, seldom], [1.0, weight]) == [often, seldom]
    # What is drawn seldom may waste what it likes.
    larger = Shape(1, (90, 180))
    assert planned([often, larger], [1.0, 0.01]) == [often, larger]
    assert planned([often, larger], [0.01, 1.0]) == [larger]


def test_what_is_never_drawn_is_held_too() -> None:
    needs = [Shape(1, (4, 4)), Shape(1, (50, 2))]
    found = planned(needs, [1.0, 0.0])
    assert all(any(shape.holds(need) for shape in found) for need in needs)
    assert planned([], []) == []
    assert planned([Shape(2, (0, 0))], [1.0]) == []


def test_equal_needs_count_together() -> None:
    small, large = Shape(1, (10,)), Shape(1, (100,))
    assert planned([small] * 50 + [large], [1.0] * 51) == planned([small, large], [50.0, 1.0])


def test_very_many_needs_are_put_together_first() -> None:
    rng = np.random.default_rng(1)
    needs = [Shape(1, tuple(n)) for n in rng.integers(1, 500, (4 * FINEST, 2)).tolist()]
    weights = [1.0] * len(needs)
    found = planned(needs, weights)
    assert len(found) <= MOST
    assert all(any(shape.holds(need) for shape in found) for need in needs)
    assert expected(found, needs, weights) < 2.0 * ideal(needs, weights)


@given(plan=_drawn, needs=st.lists(_shape, max_size=20))
def test_a_batch_always_fits(plan: list[tuple[Shape, float]], needs: list[Shape]) -> None:
    shapes = Shapes(static=True)
    shapes.plan([one for one, _ in plan], [weight for _, weight in plan])
    before = len(shapes.known)
    for need in [*(one for one, _ in plan), *needs]:
        shape = shapes.fit(need)
        assert shape.holds(need)
        assert shape in shapes.known
        # The same again, and the smallest that there is.
        assert shapes.fit(need) == shape
        assert (
            shape == smallest(shapes.known, need)
            or shape.natoms == smallest(shapes.known, need).natoms
        )
    # Those that were planned for need no other.
    assert before <= len(shapes.known) <= before + len(needs)


def test_planned_systems_need_no_other_shapes() -> None:
    shapes = Shapes(static=True)
    needs, weights = systems(200)
    shapes.plan(needs, weights)
    for need in needs:
        shapes.fit(need)
    assert len(shapes.known) <= MOST


@given(need=_shape)
def test_what_was_not_planned_gets_a_little_room(need: Shape) -> None:
    shapes = Shapes(static=True)
    found = shapes.fit(need)
    assert found.counts == tuple(bucket(n) if n else 0 for n in need.counts)
    assert found.nframes == need.nframes
    assert shapes.known == [found]


@given(need=_shape)
def test_without_static_shapes_each_batch_has_its_own(need: Shape) -> None:
    shapes = Shapes(static=False)
    shapes.plan([Shape(9, (400, 400, 400))], [1.0])
    assert shapes.fit(need) == need
    assert shapes.known == []
