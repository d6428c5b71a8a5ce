"""A descriptor that has a forward pass only: its forces, and training on them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from _attention_descriptor import (
    atom_energies,
    crystals,
    energy_and_forces,
    init_model,
    pair_vectors,
)
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _check import on, run, to_numpy
from _compare import same
from _derivatives import along

from multifit.autodiff import ForwardArithmetic
from multifit.autodiff.forward import Dual
from multifit.backend import get_backend
from multifit.optim import adam as opt
from multifit.tree import Tree, flatten, map_leaves, unflatten

NUMPY = get_backend("numpy")
PAIRS, PARAMS = crystals(), init_model(1)
STEPS, RATE = 50, 3e-3


def _energy(xp: Any, params: Tree, coord: Any, offset: Any, rest: Tree) -> Any:
    """Return the energy of all atoms as a function of coordinates, in the framework's functions."""
    rij = pair_vectors(xp, coord, offset, rest["index"], rest["mask"])
    each = atom_energies(xp, params, rij, rest["index"], rest["mask"], rest["types"])
    return xp.sum(each)


def _rij() -> np.ndarray:
    rest = PAIRS.rest
    found: np.ndarray = pair_vectors(
        NUMPY.xp, PAIRS.coord, PAIRS.offset, rest["index"], rest["mask"]
    )
    return found


@functools.cache
def _reference() -> Tree:
    return energy_and_forces(NUMPY, PARAMS, _rij(), PAIRS.rest)


def test_forces_are_the_slope_of_the_energy() -> None:
    force = _reference()["force"]
    assert np.abs(force).max() > 1e-3
    assert not force[-1].any()  # the lonely atom
    same(force.sum(axis=0), np.zeros(3), rtol=0.0, atol=1e-14)
    rng = np.random.default_rng(5)

    def energy(coord: np.ndarray) -> float:
        return float(_energy(NUMPY.xp, PARAMS, coord, PAIRS.offset, PAIRS.rest))

    for _ in range(5):
        move = rng.normal(size=PAIRS.coord.shape)
        # A short step: the third derivative of the switch jumps at the cut-off.
        slope = along(energy, PAIRS.coord, move, 3e-4)
        # Energies are rounded to some 1e-16, which the step divides.
        same(-np.sum(force * move), slope, rtol=1e-9, atol=2e-12)


@pytest.mark.parametrize("name", TRAINABLE)
def test_forces_are_what_the_framework_derives(name: str) -> None:
    backend = get_backend(name)
    given = [on(backend, x) for x in (PARAMS, PAIRS.offset, PAIRS.rest)]

    def energy(p: Tree, params: Tree, offset: Any, rest: Tree) -> Any:
        return _energy(backend.xp, params, p["coord"], offset, rest), {}

    differentiate = backend.compile(backend.value_and_grad(energy))
    (energy, _), grads = differentiate({"coord": backend.asarray(PAIRS.coord)}, *given)
    same(_reference()["energy"].sum(), backend.to_numpy(energy), rtol=1e-12)
    same(_reference()["force"], -backend.to_numpy(grads["coord"]), rtol=1e-12)


@pytest.mark.parametrize("name", INSTALLED)
def test_energies_and_forces_are_those_of_numpy(name: str) -> None:
    evaluate = functools.partial(energy_and_forces, get_backend(name))
    found = run(get_backend(name), evaluate, PARAMS, _rij(), PAIRS.rest)
    same(found, _reference(), rtol=1e-12)


def test_only_the_standard_is_used(strict: StrictBackend) -> None:
    given = (on(strict, x) for x in (PARAMS, _rij(), PAIRS.rest))
    found = energy_and_forces(strict, *given)
    same(map_leaves(strict.to_numpy, found), _reference(), rtol=1e-13)


def test_the_hessian_is_the_slope_of_the_forces() -> None:
    rng, xp, rest = np.random.default_rng(6), NUMPY.xp, PAIRS.rest
    moves = rng.normal(size=(3, *_rij().shape)) * rest["mask"][:, None, :]

    def constant(x: np.ndarray) -> Any:
        return Dual(xp, x) if xp.isdtype(x.dtype, "real floating") else x

    duals = map_leaves(constant, {"params": PARAMS, "rest": rest})
    out = energy_and_forces(
        ForwardArithmetic(NUMPY), duals["params"], Dual(xp, _rij(), moves), duals["rest"]
    )
    same(out["force"].value, _reference()["force"], rtol=1e-13)
    for move, slope in zip(moves, out["force"].tangent, strict=True):
        some = rng.normal(size=slope.shape)

        def component(x: np.ndarray, some: np.ndarray = some) -> float:
            return float(np.sum(energy_and_forces(NUMPY, PARAMS, x, rest)["force"] * some))

        same(np.sum(slope * some), along(component, _rij(), move, 1e-3), rtol=1e-8)


@functools.cache
def _curve(name: str) -> Tree:
    """Return the losses of a training run, and the parameters behind it."""
    backend = get_backend(name)
    adam, rij = opt.Adam(), _rij()
    labels = energy_and_forces(NUMPY, init_model(2), rij, PAIRS.rest)

    def loss(params: Tree, rij: Any, rest: Tree, labels: Tree) -> Any:
        out = energy_and_forces(backend, unflatten(params), rij, rest)
        xp = backend.xp
        energy, force = (out[key] - labels[key] for key in ("energy", "force"))
        return 0.1 * xp.sum(energy * energy) + xp.mean(force * force), {}

    differentiate = backend.value_and_grad(loss)

    def step(params: Tree, state: Tree, given: Tree, numbers: Tree) -> Any:
        (value, _), grads = differentiate(params, given["rij"], given["rest"], given["labels"])
        some = (numbers[key] for key in ("lr", "c1", "c2"))
        params, state = opt.update(
            backend.xp, adam, params, grads, state, *some, kernel=backend.adam
        )
        return value, params, state

    step, losses = backend.compile(step, donate=(0, 1)), []
    first = flatten(PARAMS)
    params, state = on(backend, first), on(backend, opt.init(first))
    given = on(backend, {"rij": rij, "rest": PAIRS.rest, "labels": labels})
    for t in range(1, STEPS + 1):
        c1, c2 = adam.corrections(t)
        numbers = on(backend, {k: np.asarray(v) for k, v in (("lr", RATE), ("c1", c1), ("c2", c2))})
        value, params, state = step(params, state, given, numbers)
        losses.append(float(backend.to_numpy(value)))
    return {"loss": np.asarray(losses), "params": to_numpy(backend, params)}


@pytest.mark.parametrize("name", TRAINABLE)
def test_training_gives_the_same_curve(name: str) -> None:
    want = _curve(TRAINABLE[0])
    assert want["loss"][-1] < 0.1 * want["loss"][0]
    same(_curve(name), want, rtol=1e-8)
