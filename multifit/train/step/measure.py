"""Measuring the parts of a training step, and its matrix products alone."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import models as mdl
from ... import precision as prec
from ...backend import Backend
from ...batching.types import Batch
from ...tree import Flat, Tree, unflatten, walk
from ..profile.breakdown import Breakdown, Floor
from .compilations import atoms
from .step import Objective, prediction

Array = Any
Step = Callable[..., Any]

#: Maximum number of calls of each part, whose median counts, and time limit in seconds for all.
CALLS, FEWEST, SECONDS = 15, 3, 20.0


@dataclass
class LastStep:
    """The last compiled step and its arguments, to be measured after the run."""

    objective: Objective | None = None
    step: Step | None = None
    names: tuple[str, ...] = ()  #: of the parameters that it trains
    arguments: tuple[Flat, Batch, Tree, Tree] | None = None  #: frozen, batch, label, scalars

    def watched(self, objective: Objective, step: Step) -> Step:
        """Return the same step, recording its calls."""

        def remembered(params: Flat, frozen: Flat, state: Any, *rest: Any) -> Any:
            self.objective, self.step, self.names = objective, step, tuple(params)
            batch, label, scalars = rest
            self.arguments = frozen, batch, label, scalars
            return step(params, frozen, state, *rest)

        return remembered


def break_down(last: LastStep, params: Flat, moments: dict[str, Flat]) -> Breakdown | None:
    """Measure the parts of the last step on its batch; None if there was no step.

    The run is not changed: steps are done on copies of its parameters.

    Parameters
    ----------
    params, moments
        The trainable parameters of the run, and their moments.
    """
    if last.objective is None or last.step is None or last.arguments is None:
        return None
    objective, (frozen, batch, label, scalars) = last.objective, last.arguments
    backend, loss = objective.backend, objective.loss
    params = {name: params[name] for name in last.names}
    moments = {key: {name: flat[name] for name in last.names} for key, flat in moments.items()}
    shapes = _products(objective, batch)
    full = objective.select(unflatten({**frozen, **params}))
    stages: dict[str, Callable[[], None]] = _predictions(objective, full, batch)
    stages["+ gradient"] = _gradient(objective, params, frozen, batch, label, scalars["lr"])
    stages["+ optimizer"] = _whole(backend, last.step, params, moments, last.arguments)
    if shapes:
        stages["floor"] = _multiply(objective, shapes)
    medians, calls = _medians(stages)
    floor = None
    if shapes:
        times = 2 if loss.needs_forces else 1
        operations = 6.0 * times * sum(n * a * b for n, a, b in shapes)
        floor = Floor(3 * times, operations, times * medians.pop("floor"))
    return Breakdown(atoms(backend, batch), calls, list(medians.items()), floor)


def _medians(stages: dict[str, Callable[[], None]]) -> tuple[dict[str, float], int]:
    """Return the median time of each, and the number of calls, taken in turn."""
    for call in stages.values():  # compiles
        call()
    times: dict[str, list[float]] = {name: [] for name in stages}
    began, calls = time.perf_counter(), 0
    while calls < FEWEST or (calls < CALLS and time.perf_counter() - began < SECONDS):
        for name, call in stages.items():
            before = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - before)
        calls += 1
    return {name: statistics.median(each) for name, each in times.items()}, calls


def _wait(backend: Backend, outputs: Tree) -> None:
    """Wait for the device: as in training, by reading a small array."""
    smallest = min((x for _, x in walk(outputs)), key=lambda x: int(np.prod(tuple(x.shape))))
    backend.to_numpy(smallest)


def _copies(backend: Backend, flat: Flat) -> Flat:
    """Return copies of arrays, whose memory a step may reuse."""
    return {name: backend.asarray(np.array(backend.to_numpy(x))) for name, x in flat.items()}


def _spare(backend: Backend) -> Flat:
    """Return a dummy variable."""
    return {"x": backend.asarray(np.asarray(1.0))}


def _alone(backend: Backend, f: Callable[..., Tree], *args: Any) -> Callable[[], None]:
    """Return a call of f, compiled as in a step: with a gradient.

    Some adapters compile only that with all their means; f does not depend on this variable, which
    is given away as a step gives its parameters.
    """

    def beside(variable: Flat, *rest: Any) -> tuple[Array, Tree]:
        return variable["x"] * 1.0, f(*rest)

    compiled = backend.compile(backend.value_and_grad(beside), donate=(0,))

    def call() -> None:
        (_, found), _ = compiled(_spare(backend), *args)
        _wait(backend, found)

    return call


def _predictions(objective: Objective, params: Tree, batch: Batch) -> dict[str, Callable[[], None]]:
    """Return predictions for a batch: without and with derivatives, if any."""
    backend, model, loss = objective.backend, objective.model, objective.loss
    full = _alone(backend, prediction(backend, model, loss), params, batch)
    name = model.output.name
    if not loss.needs_forces and not loss.needs_hessian:
        return {name: full}
    simple = functools.partial(mdl.evaluate, backend, model, forces=False)
    more = "+ forces, Hessians" if loss.needs_hessian else "+ forces"
    return {f"{name} only": _alone(backend, simple, params, batch), more: full}


def _gradient(
    objective: Objective, params: Flat, frozen: Flat, batch: Batch, label: Tree, lr: Array
) -> Callable[[], None]:
    """Return a call that also computes the loss and its gradient."""
    backend = objective.backend
    differentiate = backend.value_and_grad(objective)
    # Compiled as a step is, which gives something away.
    compiled = backend.compile(lambda spare, *args: differentiate(*args), donate=(0,))
    trainable = _copies(backend, params)

    def call() -> None:
        spare = _spare(backend)
        (_, metrics), _ = compiled(spare, trainable, frozen, batch, label, lr)
        _wait(backend, metrics)

    return call


def _whole(
    backend: Backend, step: Step, params: Flat, moments: dict[str, Flat], rest: Sequence[Any]
) -> Callable[[], None]:
    """Return the step itself; each starts from the one before, since it may consume its input."""
    params = _copies(backend, params)
    state: Any = {name: _copies(backend, flat) for name, flat in moments.items()}
    frozen, *others = rest

    def call() -> None:
        nonlocal params, state
        params, state, metrics = step(params, frozen, state, *others)
        _wait(backend, metrics)

    return call


def _products(objective: Objective, batch: Batch) -> list[tuple[int, int, int]]:
    """Return (atoms, n_in, n_out) of every layer of the fitting net of every type in a batch."""
    fitting = objective.model.fitting
    if objective.loss.needs_hessian:  # has many more products, by far
        return []
    return [
        (centre["mask"].shape[0], layer.n_in, layer.n_out)
        for a, centre in batch["centres"].items()
        if int(a) not in fitting.exclude_types
        for layer in fitting.network.layers
    ]


def _multiply(objective: Objective, shapes: Sequence[tuple[int, int, int]]) -> Callable[[], None]:
    """Return a call of three products of each layer: forwards, backwards, by the weights.

    With forces, each of these shapes occurs twice: a gradient of a gradient.
    """
    backend, rng = objective.backend, np.random.default_rng(0)
    xp, dtype = backend.xp, prec.numpy_dtype(objective.model.fitting.precision)

    def random(*shape: int) -> Array:
        return backend.asarray(rng.normal(size=shape).astype(dtype))

    layers = {
        str(k): (random(n, a), random(a, b), random(n, b)) for k, (n, a, b) in enumerate(shapes)
    }
    operands = {k: dict(zip("xwy", arrays, strict=True)) for k, arrays in layers.items()}

    def products(operands: Tree) -> Tree:
        return {
            k: {
                "y": xp.matmul(o["x"], o["w"]),
                "x": xp.matmul(o["y"], xp.matrix_transpose(o["w"])),
                "w": xp.matmul(xp.matrix_transpose(o["x"]), o["y"]),
            }
            for k, o in operands.items()
        }

    return _alone(backend, products, operands)
