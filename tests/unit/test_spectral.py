"""Chebyshev series of embedding nets: polynomials, basis, coefficients, and how they grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, StrictBackend
from _cases import RCUT, System, assemble, batcher, build, draw, frame
from _compare import same
from numpy.polynomial import chebyshev as reference

from multifit.backend import Backend, get_backend
from multifit.descriptors import _chebyshev as cheb
from multifit.descriptors._chebyshev import chebyshev
from multifit.descriptors._coefficients import all_series, block_series, tails
from multifit.descriptors._environment import radial
from multifit.descriptors._planner import (
    FEWEST,
    GRID,
    INNER,
    MARGIN,
    MOST,
    STEP,
    Plan,
    SeriesPlanner,
)
from multifit.descriptors._tables import Block
from multifit.models import evaluate
from multifit.nn.groups import groups
from multifit.nn.networks import apply_network
from multifit.tree import Tree, map_leaves

NUMPY = get_backend("numpy")
COUNTS = [1, 2, 7, 9, 10, 17, 72]


def adapter(name: str, strict: StrictBackend) -> Backend:
    return strict if name == "strict" else get_backend(name)


# Polynomials and the basis.


@pytest.mark.parametrize("name", ["numpy", *INSTALLED, "strict"])
def test_polynomials_are_those_of_numpy(name: str, strict: StrictBackend) -> None:
    backend = adapter(name, strict)
    # An empty slot has x = −1, and a pair at the end of the interval x = 1.
    x = np.random.default_rng(1).uniform(-1.0, 1.0, size=(4, 5))
    x[0, 0], x[1, :], x[2, 3] = 1.0, -1.0, 0.0
    run = backend.compile(lambda x: {str(k): chebyshev(backend.xp, x, k) for k in COUNTS})
    for count, found in run(backend.asarray(x)).items():
        want = reference.chebvander(x, int(count) - 1)
        slack = 2e-15 * int(count)
        same(backend.to_numpy(found), np.swapaxes(want, 1, 2), rtol=0.0, atol=slack)


@pytest.mark.parametrize("name", ["numpy", *INSTALLED, "strict"])
@pytest.mark.parametrize("most", [0, cheb.TOGETHER])
def test_polynomials_side_by_side_are_those_of_each(
    name: str, most: int, strict: StrictBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cheb, "TOGETHER", most)
    backend, rng = adapter(name, strict), np.random.default_rng(3)
    # Equal counts in several places, the largest in the middle, a single column.
    counts = [7, 24, 7, 40, 2]
    given = [rng.uniform(-1.0, 1.0, size=(4, k)) for k in (3, 2, 1, 1, 5)]
    x = [backend.asarray(each) for each in given]
    found = cheb.side_by_side(backend.xp, x, counts)
    for each, count, got in zip(given, counts, found, strict=True):
        want = chebyshev(NUMPY.xp, each, count)
        same(backend.to_numpy(got), want, rtol=0.0, atol=1e-15 * count)


@pytest.mark.parametrize("count", COUNTS)
def test_polynomials_are_cosines(count: int) -> None:
    """To the last digits, all over the interval, which the recurrence keeps."""
    angle = np.linspace(0.0, np.pi, 400)[None, :]
    got = chebyshev(NUMPY.xp, np.cos(angle), count)[0]
    exact = np.cos(np.arange(count)[:, None] * angle)
    same(got, exact, rtol=0.0, atol=1e-14 * count)


@pytest.mark.parametrize("count", COUNTS)
def test_the_basis_is_exact_for_polynomials(count: int) -> None:
    basis = cheb.chebyshev_basis(count, np.ones((1, 1)))
    polynomial = np.random.default_rng(count).normal(size=count)
    found = basis["transform"] @ reference.chebval(basis["nodes"], polynomial)
    same(found, polynomial, rtol=1e-12)
    slope = reference.chebder(polynomial) if count > 1 else np.zeros(1)
    same((basis["derivative"] @ polynomial)[: max(1, count - 1)], slope, rtol=1e-13)
    assert (basis["derivative"] @ polynomial)[-1] == 0.0
    same(basis["signs"], reference.chebvander(np.array(-1.0), count - 1)[0], rtol=0.0)


def test_nodes_lie_inside_the_interval() -> None:
    nodes = cheb.chebyshev_basis(33, np.ones((1, 1)))["nodes"]
    assert (np.diff(nodes) < 0).all()
    assert np.abs(nodes).max() < 1
    same(nodes, -nodes[::-1], rtol=0.0, atol=0.0)


def test_only_the_reach_depends_on_distances() -> None:
    """So that a compiled step stays as it is when an interval grows."""
    near, far = (cheb.chebyshev_basis(72, np.full((2, 2), reach)) for reach in (1.5, 0.4))
    assert set(near) == {"nodes", "transform", "derivative", "signs", "start", "reach"}
    for key, x in near.items():
        assert (x.shape, x.dtype) == (far[key].shape, far[key].dtype)
        assert np.array_equal(x, far[key]) == (key != "reach")


# Coefficients.


#: Intervals, means and deviations of the net of the first type around atoms of two types.
SCALES = [(0.0, 1.3, 0.2, 0.4), (0.3, 0.9, -0.1, 0.6)]


def case_of(count: int, precision: str = "float64", activation: str = "tanh") -> tuple[Any, ...]:
    """Return the settings, the parameters, and a basis with the intervals of SCALES."""
    model = build(precision=precision, activation=activation)
    params = draw(model)["descriptor"]
    start, reach, mean, deviation = (np.repeat(x[:, None], 2, axis=1) for x in np.array(SCALES).T)
    params["davg"][:, :, 0], params["dstd"][:, :, 0] = mean, deviation
    return model.descriptor, params, cheb.chebyshev_basis(count, reach, start)


def test_zones_computed_together_have_the_coefficients_of_each() -> None:
    config, params, far = case_of(24)
    near = case_of(40)[2]
    zones = {"near": near, "far": far}
    plan = {**zones, cheb.BOTH: cheb.of_both_zones([near, far])}
    found = [Block(zone, (b,), ()) for b, zone in ((0, "far"), (1, "near"), (1, "far"))]
    given = NUMPY.xp, config, params
    atoms, calls = groups({0: 2, 1: 3}), (zones, plan)
    apart, together = (all_series(*given, own, atoms, [0, 1], found) for own in calls)
    for one, other in zip(apart, together, strict=True):
        for want, got in zip(one, other, strict=True):
            same(got, want, rtol=0.0, atol=1e-13 * float(np.abs(want).max()))


@pytest.mark.parametrize("name", ["numpy", *INSTALLED, "strict"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_coefficients_give_the_net_on_each_interval(
    name: str, precision: str, strict: StrictBackend
) -> None:
    backend, (config, params, basis) = adapter(name, strict), case_of(72, precision)

    def series(params: Tree, plan: Tree) -> dict[str, Any]:
        block = Block("far", (0,), ())
        return {"c": block_series(backend.xp, config, params, plan, [0, 1], block)[0]}

    run = backend.compile(series)
    made = run(*(map_leaves(backend.asarray, x) for x in (params, {"far": basis})))
    found = backend.to_numpy(made["c"])
    net = params["embeddings"]["0"]
    exact = map_leaves(lambda x: x.astype(np.float64), net)
    for values, (start, reach, mean, deviation) in zip(found, SCALES, strict=True):
        assert values.dtype == np.float64
        s = np.linspace(start, reach, 50)
        rows = ((s - mean) / deviation)[:, None]
        want, pullback = apply_network(NUMPY.xp, config.double_network, exact, rows)
        x = 2.0 * (s - start) / (reach - start) - 1.0
        same(reference.chebval(x, values).T, want, rtol=1e-12)
        # Differentiating a series of K terms costs a factor of about K² at the ends.
        slope = (
            reference.chebval(x, reference.chebder(values)).T.sum(axis=1) * 2.0 / (reach - start)
        )
        same(slope, pullback(np.ones_like(want))[:, 0] / deviation, rtol=1e-10)


@pytest.mark.parametrize("activation", sorted(cheb.SMOOTH))
def test_every_smooth_activation_has_a_series(activation: str) -> None:
    for a, count in enumerate((72, 40)):
        assert tails(*case_of(count, activation=activation), [a], [0]) < 1e-13


def test_the_tail_falls_with_the_number_of_coefficients() -> None:
    found = [float(tails(*case_of(k), [0], [0])[0, 0]) for k in (4, 8, 16, 32, 64)]
    assert found[:4] == sorted(found[:4], reverse=True)
    assert found[0] > 1e-3
    assert found[-1] < 1e-14


# How the series grows.


def distances(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def spectrum(nearest: Any = 1.0, **more: Any) -> tuple[SeriesPlanner, Tree]:
    """Return the series of a model of O and H in which all pairs are at the same distance."""
    model = build(**more)
    found = SeriesPlanner(NUMPY, model.descriptor)
    found.include(np.broadcast_to(np.asarray(nearest, dtype=np.float64), (2, 2)))
    params = draw(model)
    # Steps of stiff nets are where near pairs end and others begin.
    params["descriptor"]["davg"][:, :, 0] = 0.8
    return found, params


def stiffen(params: Tree, which: str, by: float) -> None:
    """Make the steps of an embedding net so much steeper."""
    first = params["descriptor"]["embeddings"][which]["layers"]["0"]
    first["w"] = first["w"] * np.asarray(by, dtype=first["w"].dtype)


def never() -> Tree:
    raise AssertionError("the parameters are asked for")


def sizes(basis: Plan | None) -> dict[str, int]:
    """Return the number of coefficients for near pairs and for the others."""
    assert basis is not None
    return {zone: len(each["nodes"]) for zone, each in basis.host.items() if zone in FEWEST}


def reaches(*rows: list[float]) -> np.ndarray:
    """Return s_max of intervals that end at these distances."""
    return np.asarray(radial(NUMPY.xp, build().descriptor.environment, distances(*rows)))


FAR = np.full((2, 2), 2.0)
#: Å below which pairs are near.
END = INNER * RCUT
#: Of the types, so close that no interval holds them before.
CLOSER = distances([np.inf, 0.8], [0.8, np.inf])


def test_an_interval_ends_on_a_grid_below_the_closest_pair() -> None:
    found, _ = spectrum(distances([2.8, 1.0], [1.0, 1.55]))
    same(found.nearest, [[2.5, 0.75], [0.75, 1.25]], rtol=0.0)
    for r in np.linspace(GRID / MARGIN + 1e-9, RCUT, 40):
        here, _ = spectrum(r)
        ends = here.nearest / GRID
        assert np.array_equal(ends, np.round(ends))
        assert (MARGIN * r - GRID < here.nearest).all()
        assert (here.nearest <= MARGIN * r).all()
    # Closer than the grid's first point, the margin alone is left.
    tiny, _ = spectrum(0.1)
    same(tiny.nearest, np.full((2, 2), MARGIN * 0.1), rtol=0.0)
    assert (tiny.nearest > 0).all()


def test_every_pair_of_types_has_its_own_interval() -> None:
    found, params = spectrum(distances([2.8, 1.0], [0.7, np.inf]))
    basis = found.plan_for(FAR * np.inf, never)
    assert basis is not None
    # Types that were not met reach from the cut-off as far as any: nothing is outside.
    rest = MARGIN * RCUT
    same(basis.host["far"]["reach"], reaches([2.5, END], [END, rest]), rtol=1e-8)
    # Of near pairs those that there are.
    same(basis.host["near"]["reach"][:, 0][1:], reaches([0.5])[0], rtol=0.0)
    same(basis.host["near"]["reach"][0, 1:], reaches([0.75])[0], rtol=0.0)
    found.refine(params)
    assert sizes(basis) == found.counts == FEWEST


def test_the_far_interval_ends_where_pairs_are_near() -> None:
    edge = reaches([END])[0, 0]
    for r in (0.1, 0.9 * END, END, 1.01 * END, 1.5 * END, 0.999 * RCUT):
        found, _ = spectrum(r)
        basis = found.plan_for(FAR * np.inf, never)
        assert basis is not None
        near, far = basis.host["near"]["reach"], basis.host["far"]["reach"]
        # The closest of the pairs that are not near lies inside, if only just.
        assert (reaches([max(r, END)]) <= far).all()
        assert (far <= edge * (1.0 + 1e-8)).all()
        if r < END:
            assert (near > edge).all()
            same(near, reaches(*found.nearest.tolist()), rtol=0.0)


def test_far_pairs_shrink_no_interval_below_the_cut_off() -> None:
    found, _ = spectrum(0.999 * RCUT)
    basis = found.plan_for(np.full((2, 2), 0.999 * RCUT), never)
    assert basis is not None
    assert (basis.host["near"]["reach"] > 0).all()
    assert (basis.host["far"]["reach"] > 0).all()


def test_a_closer_pair_enlarges_its_interval_alone() -> None:
    # Near pairs are new to H with H; those of O with H come closer still.
    grown, params = spectrum(distances([2.8, 1.0], [1.0, 2.8]))
    first = grown.plan_for(FAR * np.inf, never)
    assert first is not None
    assert grown.plan_for(grown.nearest, never) is first
    before = grown.nearest.copy()
    second = grown.plan_for(distances([np.inf, 0.7], [0.7, 0.8]), lambda: params)
    assert second is not None
    assert np.array_equal(grown.nearest < before, [[False, True], [True, True]])
    larger = {zone: second.host[zone]["reach"] > first.host[zone]["reach"] for zone in FEWEST}
    assert np.array_equal(larger["near"], grown.nearest < before)
    assert np.array_equal(larger["far"], [[False, False], [False, True]])
    # The arrays have the shapes of those before: nothing is compiled again.
    shapes = [map_leaves(lambda x: (x.shape, x.dtype), basis.host) for basis in (first, second)]
    assert shapes[0] == shapes[1]
    assert grown.plan_for(CLOSER, never) is second


def test_an_interval_never_shrinks() -> None:
    grown, _ = spectrum(0.8)
    before = grown.nearest.copy()
    grown.include(FAR)
    same(grown.nearest, before, rtol=0.0)


def test_types_that_meet_for_the_first_time_are_looked_at() -> None:
    one = distances([1.0, np.inf], [np.inf, np.inf])
    grown, params = spectrum(one)
    stiffen(params, "1", 24.0)
    asked = []

    def current() -> Tree:
        asked.append(True)
        return params

    grown.refine(params)
    assert grown.counts == FEWEST
    grown.plan_for(one, current)
    assert not asked
    met = distances([1.0, 1.0], [1.0, np.inf])
    basis = grown.plan_for(met, current)
    assert len(asked) == 1
    assert grown.counts["near"] > FEWEST["near"]
    assert basis is None or sizes(basis) == grown.counts
    grown.plan_for(met, current)
    assert len(asked) == 1
    grown.plan_for(met - 0.5, current)
    assert len(asked) == 2


def test_only_nets_of_types_that_meet_are_looked_at() -> None:
    _, params = spectrum()
    stiffen(params, "1", 3000.0)
    lucky, _ = spectrum(distances([1.0, np.inf], [np.inf, np.inf]))
    lucky.refine(params)
    assert lucky.usable
    grown, _ = spectrum()
    grown.refine(params)
    assert not grown.usable
    assert grown.plan_for(FAR, never) is None


@pytest.mark.parametrize("one_side", [True, False])
def test_each_pair_of_types_has_the_net_that_is_looked_at(one_side: bool) -> None:
    # Of centre O and neighbour H; with one side, of H as neighbours of anything.
    only = distances([np.inf, 1.0], [np.inf, np.inf])
    grown, params = spectrum(only, type_one_side=one_side)
    nets = params["descriptor"]["embeddings"]
    used = str(grown.config.network_index(0, 1))
    assert used == ("1" if one_side else "2")
    for key in nets:
        if key != used:
            stiffen(params, key, 3000.0)
    grown.refine(params)
    assert grown.counts == FEWEST
    stiffen(params, used, 3000.0)
    grown.refine(params)
    assert not grown.usable


def test_near_pairs_ask_only_where_there_are_any() -> None:
    # All are far but O and H: of the nets for the neighbours, that of H with O alone is near.
    nearest = distances([2.0, 2.0], [1.0, 2.0])
    for used, grows in (("0", True), ("1", False)):
        grown, params = spectrum(nearest)
        stiffen(params, used, 20.0)
        grown.refine(params)
        assert grown.usable
        assert (grown.counts["near"] > FEWEST["near"]) == grows
    # The first pair that is near has them looked at.
    assert grown.plan_for(distances([np.inf] * 2, [np.inf, 1.0]), lambda: params) is not None
    assert grown.counts["near"] > FEWEST["near"]


def test_one_zone_grows_without_the_other() -> None:
    # A step at s = 1.2, where only near pairs are.
    near, params = spectrum(0.7)
    params["descriptor"]["davg"][:, :, 0] = 1.2
    stiffen(params, "0", 4.0)
    first = near.plan_for(FAR * np.inf, never)
    near.refine(params)
    second = near.plan_for(FAR * np.inf, never)
    assert near.counts["near"] > FEWEST["near"]
    assert near.counts["far"] == FEWEST["far"]
    assert first is not None
    assert second is not None
    same(second.host["far"], first.host["far"], rtol=0.0)
    # Without near pairs it is the other way round.
    far, params = spectrum(2.0)
    params["descriptor"]["davg"][:, :, 0] = 0.4
    stiffen(params, "0", 12.0)
    first = far.plan_for(FAR * np.inf, never)
    far.refine(params)
    second = far.plan_for(FAR * np.inf, never)
    assert far.counts["far"] > FEWEST["far"]
    assert far.counts["near"] == FEWEST["near"]
    assert first is not None
    assert second is not None
    same(second.host["near"], first.host["near"], rtol=0.0)


def test_each_model_counts_for_itself() -> None:
    grown, params = spectrum(0.9)
    stiffen(params, "0", 12.0)
    grown.refine(params)
    assert grown.counts != FEWEST
    assert spectrum()[0].counts == FEWEST == {"near": 40, "far": 24}


def test_a_stiff_net_takes_more_coefficients() -> None:
    grown, params = spectrum(0.9)
    grown.refine(params)
    assert grown.counts == FEWEST
    stiffen(params, "0", 12.0)
    grown.refine(params)
    counts = dict(grown.counts)
    for zone, count in counts.items():
        assert FEWEST[zone] < count <= MOST
        assert (count - FEWEST[zone]) % STEP == 0
    assert sizes(grown.plan_for(FAR, never)) == counts
    # Once more than enough, never fewer: each number is a compilation.
    stiffen(params, "0", 0.08)
    grown.refine(params)
    assert grown.counts == counts
    stiffen(params, "0", 3000.0)
    grown.refine(params)
    assert grown.plan_for(FAR, never) is None


def test_numbers_of_coefficients_are_no_multiples_of_a_cache_line() -> None:
    assert STEP % 16 == 0
    for count in (*FEWEST.values(), MOST):
        assert (count - 8) % STEP == 0


def test_absurdly_close_pairs_fall_back_to_the_definition() -> None:
    for r in (1e-4, 0.0):
        grown, params = spectrum()
        assert grown.plan_for(np.full((2, 2), r), lambda p=params: p) is None
        assert not grown.usable


@pytest.mark.parametrize("more", [{"activation": "relu"}, {"precision": "float16"}])
def test_what_is_not_smooth_or_of_half_precision_is_evaluated_directly(more: Any) -> None:
    grown, params = spectrum(**more)
    assert grown.tolerance is None
    assert not grown.usable
    grown.refine(params)
    assert grown.plan_for(FAR, never) is None


def test_hessians_take_no_series() -> None:
    model = build()
    found = SeriesPlanner(NUMPY, model.descriptor, wanted=False)
    found.include(FAR)
    assert not found.usable


def test_a_net_of_float32_has_a_series_with_fewer_digits() -> None:
    rough, _ = spectrum(precision="float32")
    exact, _ = spectrum()
    assert rough.usable
    assert rough.tolerance is not None
    assert exact.tolerance is not None
    assert rough.tolerance > 1e4 * exact.tolerance
    # So a net that is too stiff for one is not for the other.
    counts = []
    for precision in ("float32", "float64"):
        grown, params = spectrum(0.9, precision=precision)
        stiffen(params, "0", 12.0)
        grown.refine(params)
        counts.append(grown.counts)
    for zone in FEWEST:
        assert counts[0][zone] < counts[1][zone]


# What a run that goes on finds again.


def test_a_state_says_all_that_was_found() -> None:
    grown, _ = spectrum(distances([2.8, 1.0], [1.0, np.inf]))
    grown.restore({"nearest": grown.nearest, "counts": {"near": 104, "far": 56}})
    state = grown.state()
    assert state == {"nearest": [[2.5, 0.75], [0.75, -1.0]], "counts": {"near": 104, "far": 56}}
    # What goes on later does not change what was written.
    assert state["counts"] is not grown.counts
    again = SeriesPlanner(NUMPY, grown.config)
    again.restore(state)
    assert np.array_equal(again.nearest, grown.nearest)
    assert again.counts == grown.counts
    first, second = grown.plan_for(FAR * np.inf, never), again.plan_for(FAR * np.inf, never)
    assert first is not None
    assert second is not None
    same(second.host, first.host, rtol=0.0)


def test_what_is_larger_is_kept() -> None:
    """A run goes on with the intervals of its data and of those that it saw before."""
    now, _ = spectrum(distances([1.2, np.inf], [np.inf, 2.8]))
    assert now.plan_for(FAR * np.inf, never) is not None
    now.restore({"nearest": [[1.5, 0.75], [0.75, -1.0]], "counts": {"far": 88, "near": 24}})
    same(now.nearest, [[1.0, 0.75], [0.75, 2.5]], rtol=0.0)
    assert now.counts == {"near": FEWEST["near"], "far": 88}
    basis = now.plan_for(FAR * np.inf, never)
    assert basis is not None
    assert sizes(basis) == now.counts
    assert basis.host["near"]["reach"][0, 1] > basis.host["near"]["reach"][0, 0]


def test_atoms_at_the_same_place_are_remembered() -> None:
    """Not taken for types that were never met."""
    before, _ = spectrum()
    before.include(distances([np.inf, 0.0], [0.0, np.inf]))
    assert not before.usable
    again, _ = spectrum()
    again.restore(before.state())
    assert np.array_equal(again.nearest, before.nearest)
    assert again.plan_for(FAR, never) is None


@pytest.mark.parametrize(
    "state",
    [
        # Of other types.
        {"nearest": [[0.1] * 3] * 3, "counts": {"near": 200, "far": 200}},
        # Of versions that had one interval for all types, and one number of coefficients.
        {"nearest": 0.3, "present": [[0, 0]], "count": 96},
        {"nearest": [[0.5, 0.0], [0.0, 0.5]], "count": 96},
        {"nearest": [[0.5, 0.5], [0.5, 0.5]], "counts": {"all": 96}},
    ],
)
def test_a_state_of_other_types_or_an_older_kind_is_left(state: Any) -> None:
    now, _ = spectrum()
    before = now.nearest.copy()
    now.restore(state)
    same(now.nearest, before, rtol=0.0)
    assert now.counts == FEWEST


def test_empty_near_slots_of_types_without_near_pairs_are_exact() -> None:
    """They are there because other centres have near pairs; the net is stiff where it is far."""
    model = build(type_one_side=False)
    params = draw(model)
    params["descriptor"]["davg"] *= 0.3
    stiffen(params, str(model.descriptor.network_index(1, 1)), 300.0)
    # One pair of O and H is near, none of H and H is.
    coord = np.array([[0, 0, 0], [1.0, 0, 0], [2.7, 0.3, 0.1], [1.2, 1.9, 0.4]])
    system = System(coord, np.array([0, 1, 1, 1]), None)
    batch, _ = assemble(model, [system])
    grown = SeriesPlanner(NUMPY, model.descriptor)
    basis = grown.plan_for(frame(batcher(model), system).nearest, lambda: params)
    assert basis is not None
    assert grown.counts["far"] > grown.counts["near"]
    plain = evaluate(NUMPY, model, params, batch)
    found = evaluate(NUMPY, model, params, {**batch, "plan": basis.host})
    same(found["energy"], plain["energy"], rtol=1e-12)
    same(found["force"], plain["force"], rtol=0.0, atol=1e-10 * np.abs(plain["force"]).max())


def test_nets_of_excluded_pairs_are_looked_at_where_slots_are_empty() -> None:
    """Their empty slots count, at s = 0; their pairs do not."""
    grown, params = spectrum(0.9, type_one_side=False, exclude_types=((0, 1),))
    params["descriptor"]["davg"][:, :, 0] = 0.1
    stiffen(params, str(grown.config.network_index(0, 1)), 20.0)
    grown.refine(params)
    assert grown.counts["far"] > FEWEST["far"]
    assert grown.counts["near"] == FEWEST["near"]


def test_a_run_that_gave_up_before_is_looked_at_again() -> None:
    again, params = spectrum()
    state = again.state()
    again.restore({**state, "counts": {"near": MOST + STEP, "far": FEWEST["far"]}})
    again.refine(params)
    assert again.usable
    assert again.counts == {"near": MOST, "far": FEWEST["far"]}
