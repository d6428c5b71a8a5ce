"""Descriptors by series are those of the nets at every pair, whatever the types and intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _cases import System, assemble, build, crystal, describe, draw, evaluate, molecule, series
from _compare import same
from _derivatives import by_differences_of, by_framework, contracted, pulled

from multifit import models as mdl
from multifit.backend import Backend, get_backend
from multifit.descriptors import _chebyshev as cheb
from multifit.descriptors._planner import FEWEST as ZONES
from multifit.tree import Tree, flatten, map_leaves, unflatten

NUMPY = get_backend("numpy")
COUNT = 160
FEWEST = ZONES["near"]

OPTIONS: dict[str, dict[str, Any]] = {
    "one side": {},
    "two sides": {"type_one_side": False},
    "no slots for a type": {"sel": (0, 12)},
    "no slots for the other": {"sel": (8, 0), "type_one_side": False},
    "excluded": {"exclude_types": ((0, 1),)},
    "excluded, two sides": {"exclude_types": ((1, 1),), "type_one_side": False},
    "hidden pairs": {"pair_exclude_types": ((1, 0),)},
    "hidden pairs of one type": {"pair_exclude_types": ((1, 1),), "type_one_side": False},
    "many slots are empty": {"sel": (30, 50), "type_one_side": False},
    "none is empty": {"sel": (2, 3)},
    "types that are not there": {"sel": (8, 12, 4, 0), "type_one_side": False},
    "protected": {"env_protection": 0.3},
    "no timestep": {"resnet_dt": False},
}
SYSTEMS = [crystal(), molecule()]


def described(
    model: mdl.Model, params: Tree, batch: Tree, backend: Backend = NUMPY, series: bool = True
) -> tuple[Any, Any]:
    """Return D of all atoms in order (N, M·axis_neuron), and its pullback."""
    array = backend.asarray
    here = map_leaves(array, batch)
    counts = {int(a): atoms["mask"].shape[0] for a, atoms in batch["centres"].items()}
    return describe(
        backend.xp,
        model.descriptor,
        map_leaves(array, params["descriptor"]),
        here["atype"],
        counts,
        here["tables"],
        here["plan"] if series else None,
    )


def case(
    options: dict[str, Any], static: bool = False, count: int = COUNT
) -> tuple[mdl.Model, Tree, Tree, np.ndarray]:
    """Return a model, parameters, a batch with a basis of unequal reach, and D̄."""
    model = build(**options)
    batch, layout = assemble(model, SYSTEMS, static)
    rng = np.random.default_rng(3)
    basis = series(model, SYSTEMS, count)
    # No two pairs of types reach equally far, nor b from a as far as a from b.
    for each in basis.values():
        each["reach"] = each["reach"] * rng.uniform(1.0, 1.3, size=each["reach"].shape)
    d_bar = rng.normal(size=(len(layout.real), model.descriptor.dim_out))
    return model, draw(model), batch | {"plan": basis}, d_bar


def of_real(batch: Tree, x: np.ndarray) -> np.ndarray:
    """Return the rows of atoms that are there."""
    mask = np.concatenate([atoms["mask"] for atoms in batch["centres"].values()])
    return x[mask > 0]


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_series_is_the_definition(options: dict[str, Any], static: bool) -> None:
    model, params, batch, d_bar = case(options, static)
    (d, pullback), (want, definition) = (
        described(model, params, batch, series=which) for which in (True, False)
    )
    same(d, want, rtol=1e-12)
    # Differentiating a series of K terms costs a factor of about K² at the ends of its interval.
    same(pullback(d_bar), definition(d_bar), rtol=1e-10)


@pytest.mark.parametrize("name", [*INSTALLED, "strict"])
@pytest.mark.parametrize("key", ["excluded, two sides", "no slots for a type"])
def test_every_backend_has_the_series(key: str, name: str, strict: StrictBackend) -> None:
    backend = strict if name == "strict" else get_backend(name)
    model, params, batch, d_bar = case(OPTIONS[key], static=True, count=FEWEST)

    def both(given: Tree) -> dict[str, Any]:
        d, pullback = described(model, params, given["batch"], _Passing(backend))
        return {"d": d, "slope": pullback(given["d_bar"])}

    given = map_leaves(backend.asarray, {"batch": batch, "d_bar": d_bar})
    got = map_leaves(backend.to_numpy, backend.compile(both)(given))
    want, pullback = described(model, params, batch)
    same(got["d"], want, rtol=1e-12)
    same(got["slope"], pullback(d_bar), rtol=1e-10)


@pytest.mark.parametrize("key", ["two sides", "no slots for a type", "hidden pairs"])
def test_the_pullback_is_the_derivative(key: str) -> None:
    model, params, batch, d_bar = case(OPTIONS[key], count=48)
    # Differences move pairs closer, which must not leave the interval.
    for each in batch["plan"].values():
        each["reach"] = each["reach"] * 1.1
    block = vectors(model, params, batch)
    rij = np.concatenate([table["rij"] for table in batch["tables"].values()], axis=2)
    same(pulled(NUMPY, block, rij, d_bar), by_differences_of(block, rij, d_bar), rtol=1e-7)


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_pullback_is_what_the_framework_derives(name: str) -> None:
    model, params, batch, d_bar = case(OPTIONS["two sides"], count=24)
    block, backend = vectors(model, params, batch), get_backend(name)
    rij = np.concatenate([table["rij"] for table in batch["tables"].values()], axis=2)
    got = by_framework(backend, contracted(backend, block, d_bar), rij)
    same(got, pulled(NUMPY, block, rij, d_bar))


def vectors(model: mdl.Model, params: Tree, batch: Tree) -> Any:
    """Return D as a function of all pair vectors (N, 3, Σk)."""

    def block(backend: Backend, rij: Any) -> Any:
        here, start = map_leaves(backend.asarray, batch), 0
        for table in here["tables"].values():
            stop = start + table["mask"].shape[1]
            table["rij"] = rij[:, :, start:stop]
            start = stop
        return described(model, params, here, _Passing(backend))

    return block


class _Passing:
    """A backend that takes its own arrays as they are."""

    def __init__(self, backend: Backend) -> None:
        self.xp, self._asarray = backend.xp, backend.asarray

    def asarray(self, x: Any) -> Any:
        return self._asarray(x) if isinstance(x, np.ndarray) else x


def test_a_longer_reach_changes_nothing() -> None:
    model, params, batch, _ = case(OPTIONS["two sides"])
    first, _ = described(model, params, batch)
    for each in batch["plan"].values():
        each["reach"] = each["reach"] * 1.2
    same(described(model, params, batch)[0], first, rtol=1e-12)


def test_each_pair_of_types_has_its_own_reach() -> None:
    """A pair beyond its reach would be extrapolated: only the centres of that type see it."""
    model, params, batch, _ = case(OPTIONS["two sides"], count=FEWEST)
    want, _ = described(model, params, batch, series=False)
    for each in batch["plan"].values():
        each["reach"][1, 0] *= 0.3
    got, _ = described(model, params, batch)
    wrong = ~(np.abs(got - want).max(axis=1) < 1e-6)
    assert not wrong[batch["atype"] == 0].any()
    assert wrong[batch["atype"] == 1].any()


def test_types_that_never_meet_have_a_reach_that_does_not_matter() -> None:
    model, params, batch, d_bar = case({"pair_exclude_types": ((1, 0),), "type_one_side": False})
    found = []
    for reach in (1e-3, 0.3, 40.0):
        for pair in ((0, 1), (1, 0)):
            for each in batch["plan"].values():
                each["reach"][pair] = reach
        d, pullback = described(model, params, batch)
        found.append((of_real(batch, d), pullback(d_bar)))
    want, definition = described(model, params, batch, series=False)
    for d, slope in found[:2]:
        same(d, want, rtol=1e-12)
        same(slope, definition(d_bar), rtol=1e-10)


# Nets in float32: their series is made in float64.


def doubled(params: Tree) -> Tree:
    """Return the same numbers in float64."""
    return unflatten({name: x.astype(np.float64) for name, x in flatten(params).items()})


@pytest.mark.parametrize("key", ["one side", "two sides", "excluded", "no slots for a type"])
def test_the_series_of_float32_nets_is_that_of_their_numbers(key: str) -> None:
    model, params, batch, d_bar = case({**OPTIONS[key], "precision": "float32"}, count=FEWEST)
    exact = build(**OPTIONS[key])
    d, pullback = described(model, params, batch)
    want, definition = described(exact, doubled(params), batch, series=False)
    assert d.dtype == np.float64
    same(d, want, rtol=1e-6)
    same(pullback(d_bar), definition(d_bar), rtol=1e-6)
    # And with more coefficients as good as that of nets in float64.
    more = batch | {"plan": case(OPTIONS[key])[2]["plan"]}
    same(described(model, params, more)[0], want, rtol=1e-12)
    # What float32 makes of every pair is farther away.
    rough, coarse = described(model, params, batch, series=False)
    same(d, rough, rtol=2e-5)
    same(pullback(d_bar), coarse(d_bar), rtol=1e-4)
    assert np.abs(rough - want).max() > 10 * np.abs(d - want).max()


def test_forces_of_float32_nets_by_series(strict: StrictBackend) -> None:
    model = build(precision="float32", type_one_side=False)
    params = draw(model)
    want = evaluate(model, params, [crystal()])
    got = evaluate(model, params, [crystal()], coefficients=FEWEST)
    same(got, want, rtol=5e-5)
    same(evaluate(model, params, [crystal()], strict, coefficients=FEWEST), got, rtol=1e-5)


def test_gradients_of_float32_nets_are_in_float32() -> None:
    """On one backend: the others are compared with it elsewhere."""
    backend, model = get_backend(TRAINABLE[0]), build(precision="float32")
    params = draw(model)
    systems = [crystal()]
    batch, _ = assemble(model, systems, True)
    batch["plan"] = series(model, systems, FEWEST)
    names = set(mdl.trainable_names(model))
    flat = flatten(params)
    trainable = {k: x for k, x in flat.items() if k in names}

    def loss(moving: Any, rest: Any, batch: Any) -> Any:
        out = mdl.evaluate(backend, model, unflatten({**rest, **moving}), batch)
        return backend.xp.sum(out["energy"]) + backend.xp.sum(out["force"] ** 2), {}

    run = backend.compile(backend.value_and_grad(loss))
    rest = {k: x for k, x in flat.items() if k not in names}
    arrays = [map_leaves(backend.asarray, x) for x in (trainable, rest, batch)]
    _, grads = run(*arrays)
    del batch["plan"]
    _, direct = run(*arrays[:2], map_leaves(backend.asarray, batch))
    assert set(grads) == set(direct) == names
    for key, x in grads.items():
        got, want = backend.to_numpy(x), backend.to_numpy(direct[key])
        assert got.dtype == np.float32, key
        same(got, want, rtol=1e-3)


def test_a_batch_of_atoms_without_neighbours_has_a_series_too() -> None:
    model = build(sel=(3, 4, 5), type_one_side=False)
    params = draw(model)
    alone = System(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 30.0]]), np.array([2, 2]), None)
    batch, _ = assemble(model, [alone])
    batch["plan"] = {"far": cheb.chebyshev_basis(COUNT, np.full((3, 3), 1.2))}
    got, want = (described(model, params, batch, series=which)[0] for which in (True, False))
    same(got, want, rtol=1e-12)
