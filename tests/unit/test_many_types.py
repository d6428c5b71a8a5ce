"""Models of many types, of which some occur: batched products give the numbers of the formulas."""

from __future__ import annotations

import functools
from typing import Any

import _brute as brute
import numpy as np
import pytest
from _backends import INSTALLED, StrictBackend
from _cases import System, assemble, batcher, build, draw, energy, frame
from _compare import same

import multifit.models as mdl
from multifit.backend import get_backend
from multifit.batching import mixed
from multifit.batching.types import MIXED
from multifit.errors import UnsupportedError
from multifit.nn.groups import ALL, FEW, groups, nets_of
from multifit.nn.networks import apply_network, fitting_network, init_network
from multifit.nn.stacking import stacked, unstacked
from multifit.tree import Tree, flatten, map_leaves, unflatten

NUMPY = get_backend("numpy")

#: The types that occur, of NTYPES; more than a few, of unequal numbers.
NTYPES, PRESENT = 12, (1, 3, 4, 7, 8, 11)

#: Slots: of one type too few, of one type none.
SEL = (2, 2, 0, 1, 3, 2, 2, 3, 2, 2, 1, 4)

OPTIONS: dict[str, dict[str, Any]] = {
    "one side": {},
    "two sides": {"type_one_side": False},
    "excluded": {"exclude_types": ((1, 3), (4, 4)), "pair_exclude_types": ((7, 8),)},
    "excluded, two sides": {"exclude_types": ((1, 3),), "type_one_side": False},
    "fitting": {"fitting_exclude": (3,), "atom_ener": (None, 0.5, None, None, -1.0) + (None,) * 7},
    "shared layers": {"layer_name": ("a", None, "end")},
    "one fitting net": {"mixed_types": True},
}


def solid(seed: int = 2) -> System:
    """Return 24 atoms of the present types in a cell, as few as one of a type."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:24]
    coord = grid * 1.9 + rng.uniform(-0.25, 0.25, size=(24, 3))
    atype = rng.permutation(np.repeat(PRESENT, (1, 2, 4, 4, 3, 10)))
    return System(coord, atype, np.diag([5.9, 6.0, 6.1]))


def case(name: str, **more: Any) -> tuple[mdl.Model, Tree]:
    model = build(sel=SEL, **{**OPTIONS[name], **more})
    return model, draw(model)


@pytest.fixture(params=["tables", "one table"])
def tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Have neighbours of the present types in separate tables, and in one; True for one."""
    one: bool = request.param == "one table"
    if one:
        monkeypatch.setattr("multifit.descriptors.se_e2_a._descriptor.MANY", len(PRESENT) - 1)
    return one


def planned(model: mdl.Model, params: Tree, system: System) -> Tree:
    """Return a batch with the series of a run."""
    batch, _ = assemble(model, [system])
    planner = model.descriptor.planner(NUMPY, "spectral")
    plan = planner.plan_for(frame(batcher(model), system).nearest, lambda: params)
    assert plan is not None
    return {**batch, "plan": plan.host}


def outputs(backend: Any, model: mdl.Model, params: Tree, batch: Tree) -> dict[str, np.ndarray]:
    given = (map_leaves(backend.asarray, x) for x in (params, batch))
    run = backend.compile(lambda params, batch: mdl.evaluate(backend, model, params, batch))
    return {k: backend.to_numpy(x) for k, x in run(*given).items()}


def as_trained(params: Tree) -> Tree:
    """Return parameters as a run has them."""
    made = stacked(flatten(params))
    assert any(f".{ALL}." in name for name in made)
    return unflatten(made)


@functools.cache
def formulas(name: str) -> np.ndarray:
    """Return the energies by the formulas, which take seconds."""
    found: np.ndarray = brute.atom_energies(*case(name), solid())
    return found


@pytest.mark.parametrize("name", OPTIONS)
def test_energies_are_those_of_the_formulas(name: str, tables: bool) -> None:
    model, params = case(name)
    batch, layout = assemble(model, [solid()])
    assert (MIXED in batch["tables"]) == tables
    found = outputs(NUMPY, model, params, batch)["atom_energy"]
    if not model.fitting.layer_name and not model.fitting.atom_ener:
        same(found, formulas(name)[layout.atom], rtol=1e-11)
    same(outputs(NUMPY, model, as_trained(params), batch)["atom_energy"], found, rtol=1e-12)


@pytest.mark.parametrize("name", OPTIONS)
def test_one_type_after_the_other_gives_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, params = case(name)
    batch, _ = assemble(model, [solid()])
    found = outputs(NUMPY, model, params, batch)
    for module in ("nn.groups", "descriptors._tables"):
        monkeypatch.setattr(f"multifit.{module}.FEW", 99)
    same(found, outputs(NUMPY, model, params, batch), rtol=1e-11)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_series_is_the_definition(name: str) -> None:
    model, params = case(name)
    batch = planned(model, params, solid())
    got = outputs(NUMPY, model, params, batch)
    same(outputs(NUMPY, model, as_trained(params), batch), got, rtol=1e-11)
    del batch["plan"]
    same(got, outputs(NUMPY, model, params, batch), rtol=1e-9)


@pytest.mark.parametrize("backend", [*INSTALLED, "strict"])
@pytest.mark.parametrize("name", ["one side", "excluded, two sides"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_backends_agree(backend: str, name: str, precision: str, strict: StrictBackend) -> None:
    adapter = strict if backend == "strict" else get_backend(backend)
    model, params = case(name, precision=precision)
    for batch in (planned(model, params, solid()), assemble(model, [solid()])[0]):
        want = outputs(NUMPY, model, params, batch)
        got = outputs(adapter, model, as_trained(params), batch)
        tight = precision == "float64"
        same(got.pop("force"), want.pop("force"), rtol=1e-9 if tight else 2e-4)
        same(got, want, rtol=1e-10 if tight else 2e-5)


@pytest.mark.parametrize("backend", [*INSTALLED, "strict"])
@pytest.mark.parametrize("name", ["one side", "excluded, two sides"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_one_table_gives_the_numbers_of_separate_ones(
    backend: str,
    name: str,
    precision: str,
    strict: StrictBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapter = strict if backend == "strict" else get_backend(backend)
    model, params = case(name, precision=precision)
    want = outputs(NUMPY, model, params, assemble(model, [solid(), solid(3)])[0])
    monkeypatch.setattr("multifit.descriptors.se_e2_a._descriptor.MANY", 1)
    batch, layout = assemble(model, [solid(), solid(3)])
    assert list(batch["tables"]) == [MIXED]
    tight = precision == "float64"
    got = outputs(adapter, model, as_trained(params), batch)
    same(got.pop("force"), want.pop("force"), rtol=1e-9 if tight else 2e-4)
    same(got, want, rtol=1e-10 if tight else 2e-5)
    if backend == "numpy":
        padded, places = assemble(model, [solid(), solid(3)], static_shapes=True)
        live = padded["tables"][MIXED]["far"]["live"]
        assert len(live) > live.sum()
        again = outputs(NUMPY, model, params, padded)
        same(again["energy"], got["energy"], rtol=1e-12)
        force = outputs(NUMPY, model, params, batch)["force"]
        same(places.gather(again["force"], 2, 24), layout.gather(force, 2, 24), rtol=1e-10)


@pytest.mark.parametrize("backend", [*INSTALLED, "strict"])
@pytest.mark.parametrize("name", ["one side", "excluded, two sides"])
def test_the_series_of_one_table_is_the_definition(
    backend: str, name: str, strict: StrictBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = strict if backend == "strict" else get_backend(backend)
    model, params = case(name)
    want = outputs(NUMPY, model, params, assemble(model, [solid()])[0])
    monkeypatch.setattr("multifit.descriptors.se_e2_a._descriptor.MANY", 4)
    monkeypatch.setattr("multifit.descriptors.se_e2_a._mixed_geometry.NODES", 99.0)
    batch = planned(model, params, solid())
    known = mdl.prepared(NUMPY.xp, model, params, batch)["geometry"][MIXED]
    assert "cheb" in known
    assert "far" not in known
    got = outputs(adapter, model, as_trained(params), batch)
    same(got.pop("force"), want.pop("force"), rtol=1e-9)
    same(got, want, rtol=1e-10)


@pytest.mark.parametrize("known", [False, True])
def test_a_few_pairs_of_many_types_have_no_series(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multifit.descriptors.se_e2_a._descriptor.MANY", 4)
    model, params = case("two sides")
    planner = model.descriptor.planner(NUMPY)
    plan = planner.plan_for(frame(batcher(model), solid()).nearest, lambda: params)
    assert plan is not None
    if known:  # the coefficients, so that no net is evaluated
        plan = planner.fixed(plan, params)
    batch = {**assemble(model, [solid()])[0], "plan": plan.host}
    made = mdl.prepared(NUMPY.xp, model, params, batch)["geometry"][MIXED]
    assert ("cheb" in made) == known
    del batch["plan"]
    want = outputs(NUMPY, model, params, batch)
    same(outputs(NUMPY, model, params, {**batch, "plan": plan.host}), want, rtol=1e-9)


def test_more_nets_than_pairs_have_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multifit.descriptors.se_e2_a._descriptor.MANY", 4)
    monkeypatch.setattr("multifit.descriptors.se_e2_a._descriptor.MOST_NETS", NTYPES)
    model, params = case("two sides")
    nearest = frame(batcher(model), solid()).nearest
    planner = model.descriptor.planner(NUMPY)
    assert planner.plan_for(nearest, lambda: params) is None
    assert planner.covers(nearest)
    with pytest.raises(UnsupportedError, match="neighbours of so many types"):
        model.descriptor.planner(NUMPY, "spectral").plan_for(nearest, lambda: params)
    few = np.where(np.arange(NTYPES) < 5, nearest, np.inf)
    assert planner.plan_for(few, lambda: params) is not None


def test_tiles_hold_the_pairs_of_one_group() -> None:
    model, _ = case("excluded, two sides")
    made = batcher(model)
    found = frame(made, solid())
    place = np.argsort(np.argsort(found.atype, kind="stable"))
    kinds = np.sort(found.atype)
    pairs = mixed.pairs_of([found], [place], 24, NTYPES, 1.9)
    groups_of = pairs.groups(kinds, True)
    rooms = []
    for zone, width in enumerate(pairs.widths):
        size = mixed.tile_size(24, len(PRESENT) ** 2, mixed.TYPICAL[zone])
        tiles = mixed.tiles_needed(groups_of[pairs.zone == zone], size)
        rooms.append(mixed.Room(width + 3, tiles + 2, size))
    table = mixed.mixed_table(pairs, groups_of, 24, rooms)
    assert table["mask"].sum() == sum(t.i.size for t in found.tables.values())
    assert np.array_equal(table["number"].sum(axis=1), table["mask"].sum(axis=1))
    edge = rooms[0].width
    distance = np.sqrt((table["rij"] ** 2).sum(axis=1))
    for zone, columns in zip(("near", "far"), (slice(edge), slice(edge, None)), strict=True):
        room, own = rooms[zone == "far"], table[zone]
        real = table["mask"][:, columns] > 0
        assert real.any()
        assert (distance[:, columns][real] < 1.9).all() == (zone == "near")
        live = own["live"].reshape(room.tiles, room.size) > 0
        assert live.sum() == real.sum()
        slots = own["slots"].reshape(room.tiles, room.size)
        for group, here, is_live in zip(own["groups"], slots, live, strict=True):
            row, column = np.divmod(here[is_live], room.width)
            assert (kinds[row] * NTYPES + table["kind"][:, columns][row, column] == group).all()
        assert np.array_equal(own["slots"][own["places"]][real], np.flatnonzero(real))


def require_derivatives(model: mdl.Model, params: Tree, force: np.ndarray) -> None:
    """Compare some forces of the solid with differences of energies."""
    _, layout = assemble(model, [solid()])
    for place, axis in ((0, 0), (9, 1), (23, 2)):
        moved = []
        for step in (1e-5, -1e-5):
            system = solid()
            system.coord[layout.atom[place], axis] += step
            moved.append(energy(model, params, system))
        same(force[place, axis], (moved[1] - moved[0]) / 2e-5, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["excluded", "excluded, two sides"])
def test_forces_are_derivatives(name: str, tables: bool) -> None:
    model, params = case(name)
    batch, _ = assemble(model, [solid()])
    require_derivatives(model, params, outputs(NUMPY, model, params, batch)["force"])


def test_hessians_know_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    model, params = case("excluded")
    found = []
    for many in (99, 4):
        monkeypatch.setattr("multifit.descriptors.se_e2_a._descriptor.MANY", many)
        batch, _ = assemble(model, [solid()])
        batch["directions"] = mdl.directions(24)[:, :2]
        found.append(mdl.evaluate_hessian(NUMPY, model, params, batch))
    assert np.abs(found[0]["hessian"]).max() > 0.01
    same(found[1], found[0], rtol=1e-9)


def _operations(jaxpr: Any) -> int:
    """Return the number of operations, those of inner functions included."""
    number = 0
    for each in jaxpr.eqns:
        number += 1
        for value in each.params.values():
            inner = getattr(value, "jaxpr", value)
            number += _operations(inner) if hasattr(inner, "eqns") else 0
    return number


@pytest.mark.parametrize("one_side", [True, False])
@pytest.mark.parametrize("series", [True, False])
def test_types_that_do_not_occur_cost_no_operations(one_side: bool, series: bool) -> None:
    jax = pytest.importorskip("jax")
    backend, numbers = get_backend("jax"), []
    for more in (0, 18):
        model = build(sel=SEL + (2,) * more, type_one_side=one_side)
        params = draw(model)
        batch = planned(model, params, solid())
        if not series:
            del batch["plan"]
        batch = mdl.prepared(NUMPY.xp, model, params, batch)
        names = set(mdl.trainable_names(model))
        flat = flatten(params)
        moving = stacked({k: x for k, x in flat.items() if k in names})
        rest = {k: x for k, x in flat.items() if k not in names}

        def loss(moving: Any, rest: Any, batch: Any, model: mdl.Model = model) -> Any:
            out = mdl.evaluate(backend, model, unflatten({**rest, **moving}), batch)
            return backend.xp.sum(out["force"] ** 2)

        numbers.append(_operations(jax.make_jaxpr(jax.grad(loss))(moving, rest, batch).jaxpr))
    assert numbers[0] == numbers[1]
    assert numbers[0] < 1500


def test_groups_hold_all_atoms_without_much_padding() -> None:
    counts = {1: 5, 4: 40, 5: 6, 7: 38, 9: 1, 12: 36}
    found = groups(counts, apart=(5,))
    assert [each.kinds for each in found.members] == [(4, 7, 12), (1, 9), (5,)]
    x = np.arange(sum(counts.values()) * 2.0).reshape(-1, 2)
    parts = found.gather(NUMPY.xp, x)
    assert [part.shape for part in parts] == [(3, 40, 2), (2, 5, 2), (6, 2)]
    assert np.array_equal(found.flat(NUMPY.xp, parts), x)
    few = groups(dict(list(counts.items())[:FEW]))
    assert all(each.single for each in few.members)


def test_parameters_are_stacked_and_taken_apart_again() -> None:
    _, params = case("shared layers")
    flat = flatten(params)
    made = stacked(flat)
    assert len(made) < len(flat) / 5
    back = unstacked(made)
    assert set(back) == set(flat)
    assert all(np.array_equal(back[name], x) for name, x in flat.items())
    few = flatten(draw(build()))
    assert set(stacked(few)) == set(few)


@pytest.mark.parametrize("backend", [*INSTALLED, "strict"])
@pytest.mark.parametrize("n", [3, 4])
def test_nets_of_few_atoms_are_the_same_in_columns(
    backend: str, n: int, strict: StrictBackend
) -> None:
    adapter = strict if backend == "strict" else get_backend(backend)
    network = fitting_network(7, 1, (5, 10, 10))
    rng = np.random.default_rng(4)
    params = init_network(network, 1)
    stack = map_leaves(lambda x: rng.normal(size=(2, *x.shape)), params)
    x, y_bar = rng.normal(size=(2, n, 7)), rng.normal(size=(2, n, 1))
    found = []
    for compiled in (False, True):
        nets = map_leaves(adapter.asarray, {"all": stack})
        nets = nets_of(adapter.xp, nets, [0, 1])
        y, pull = apply_network(adapter.xp, network, nets, adapter.asarray(x), compiled)
        found.append([adapter.to_numpy(each) for each in (y, pull(adapter.asarray(y_bar)))])
    same(found[1][0], found[0][0], rtol=1e-12)
    same(found[1][1], found[0][1], rtol=1e-12)
