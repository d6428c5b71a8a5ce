"""Models of many types, of which some occur: batched products give the numbers of the formulas."""

from __future__ import annotations

from typing import Any

import _brute as brute
import numpy as np
import pytest
from _backends import INSTALLED, StrictBackend
from _cases import System, assemble, batcher, build, draw, energy, frame
from _compare import same

import multifit.models as mdl
from multifit.backend import get_backend
from multifit.nn.groups import ALL, FEW, groups
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


@pytest.mark.parametrize("name", OPTIONS)
def test_energies_are_those_of_the_formulas(name: str) -> None:
    model, params = case(name)
    batch, layout = assemble(model, [solid()])
    found = outputs(NUMPY, model, params, batch)["atom_energy"]
    if not model.fitting.layer_name and not model.fitting.atom_ener:
        want = brute.atom_energies(model, params, solid())
        same(found, want[layout.atom], rtol=1e-11)
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


@pytest.mark.parametrize("name", ["excluded", "excluded, two sides"])
def test_forces_are_derivatives(name: str) -> None:
    model, params = case(name)
    batch, layout = assemble(model, [solid()])
    force = outputs(NUMPY, model, params, batch)["force"]
    for place, axis in ((0, 0), (9, 1), (23, 2)):
        moved = []
        for step in (1e-5, -1e-5):
            system = solid()
            system.coord[layout.atom[place], axis] += step
            moved.append(energy(model, params, system))
        same(force[place, axis], (moved[1] - moved[0]) / 2e-5, rtol=1e-6, atol=1e-8)


def test_hessians_know_groups() -> None:
    model, params = case("excluded")
    batch, _ = assemble(model, [solid()])
    batch["directions"] = mdl.directions(24)[:, :2]
    found = mdl.evaluate_hessian(NUMPY, model, params, batch)
    assert np.isfinite(found["hessian"]).all()


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
