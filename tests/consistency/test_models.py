"""Models: all that they predict, and gradients by the name of the parameter."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from _batches import Case, case, join
from _check import NUMPY, Cell, run
from _derivatives import along
from _rows import HESSIANS, MODELS, TRAINS, Row, cells
from _rows_dos import DENSITIES

from multifit import models as mdl
from multifit.backend import Backend, get_backend
from multifit.tree import Flat, Tree

ROWS = MODELS | DENSITIES

ENERGIES = ("energy", "atom_energy")
DERIVATIVES = ("force", "virial", "atom_virial")


@functools.cache
def _case(key: str, name: str = "numpy") -> Case:
    return case(ROWS[key], name)


@functools.cache
def _weights(key: str) -> dict[str, np.ndarray]:
    """Return a random weight for each number that the model gives."""
    one, rng = _case(key), np.random.default_rng(9)
    out = mdl.evaluate(NUMPY, one.model, one.params, one.batch, atom_virial=True)
    return {name: rng.normal(size=x.shape) for name, x in out.items()}


def _objective(key: str, backend: Backend) -> Any:
    """Return f(trainable, frozen, batch, weights) → weighted sum of all outputs, and these."""
    model, xp = _case(key, backend.name).model, backend.xp

    def objective(trainable: Flat, frozen: Flat, batch: Tree, weights: Flat) -> tuple[Any, Any]:
        params = join(frozen, trainable)
        out = mdl.evaluate(backend, model, params, batch, atom_virial=True)
        total = xp.zeros((), dtype=xp.float64)
        for name in sorted(weights):
            total = total + xp.sum(weights[name] * out[name])
        return total, out

    return objective


@functools.cache
def _outputs(key: str, name: str) -> dict[str, Any]:
    """Return all outputs, and where the backend has gradients that of their weighted sum.

    One program: compiling is what takes the time.
    """
    backend, one = get_backend(name), _case(key, name)
    objective = _objective(key, backend)
    given = (one.trainable, one.frozen, one.batch, _weights(key))
    if name not in TRAINS:
        return {"out": run(backend, lambda *x: objective(*x)[1], *given)}
    differentiate = backend.value_and_grad(objective)

    def both(*arguments: Any) -> Any:
        (_, out), grads = differentiate(*arguments)
        return {"out": out, "grads": grads}

    return run(backend, both, *given)


def _some(key: str, name: str, which: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {output: _outputs(key, name)["out"][output] for output in which}


@cells(MODELS)
def test_energies(key: str, name: str) -> None:
    cell = Cell("model: energy, atomic energy", key, name, MODELS[key].precision)
    # With tot_ener_zero, the energy is what is left of the cancellation of atomic energies.
    cell.check(_some(key, name, ENERGIES), _some(key, "numpy", ENERGIES), floor=0.1)


@cells(MODELS)
def test_forces_and_virials(key: str, name: str) -> None:
    cell = Cell("model: force, virial, atomic virial", key, name, MODELS[key].precision)
    cell.check(_some(key, name, DERIVATIVES), _some(key, "numpy", DERIVATIVES), "derivative")


@cells(DENSITIES)
def test_densities_of_states(key: str, name: str) -> None:
    cell = Cell("model: density of states", key, name, DENSITIES[key].precision)
    got, want = _outputs(key, name)["out"], _outputs(key, "numpy")["out"]
    assert set(got) == {"dos", "atom_dos"}
    cell.check(got, want)


@functools.cache
def _slopes(key: str) -> dict[str, tuple[np.ndarray, float]]:
    """Return for each parameter a direction, and NumPy's slope along it by differences."""
    one, rng = _case(key), np.random.default_rng(21)
    objective, found = _objective(key, NUMPY), {}
    for name, x in one.trainable.items():
        direction = rng.normal(size=x.shape)
        direction /= np.linalg.norm(direction)

        def total(moved: np.ndarray, which: str = name) -> float:
            trainable = one.trainable | {which: moved}
            return float(objective(trainable, one.frozen, one.batch, _weights(key))[0])

        found[name] = direction, along(total, x, direction)
    return found


def _is_smooth(row: Row) -> bool:
    """Whether differences of NumPy's values are exact: not in float32, nor where φ″ has a jump."""
    jumps = ("relu6", "silut:0.1")
    return row.precision == "float64" and row.options.get("activation") not in jumps


@cells(ROWS, TRAINS, _is_smooth)
def test_gradients_are_the_slopes_of_numpys_values(key: str, name: str) -> None:
    grads = _outputs(key, name)["grads"]
    assert set(grads) == set(mdl.trainable_names(_case(key).model))
    got = {k: np.sum(grads[k] * direction) for k, (direction, _) in _slopes(key).items()}
    want = {k: np.asarray(slope) for k, (_, slope) in _slopes(key).items()}
    Cell("gradients along random directions", key, name).check(got, want, "derivative", floor=1e-2)


@cells(ROWS, TRAINS[1:])
def test_gradients_by_name(key: str, name: str) -> None:
    cell = Cell("gradients by name", key, name, ROWS[key].precision)
    got, want = _outputs(key, name)["grads"], _outputs(key, TRAINS[0])["grads"]
    cell.check(got, want, "derivative", floor=1e-3)


@functools.cache
def _hessian(key: str, name: str) -> dict[str, Any]:
    """Return the Hessian's columns of two atoms."""
    one, backend = case(HESSIANS[key], name), get_backend(name)
    natoms = int(one.batch["natoms"][0])
    one.batch["directions"] = mdl.directions(natoms)[:, [0, natoms - 1]]

    def evaluate(params: Tree, batch: Tree) -> Any:
        return mdl.evaluate_hessian(backend, one.model, params, batch)["hessian"]

    return run(backend, evaluate, one.params, one.batch)


@cells(HESSIANS)
def test_hessian(key: str, name: str) -> None:
    cell = Cell("model: Hessian", key, name, HESSIANS[key].precision)
    cell.check(_hessian(key, name), _hessian(key, "numpy"), "derivative")
