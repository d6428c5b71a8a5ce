"""What the parts of a training step cost, and how far it is from its matrix products alone."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import models as mdl
from ... import precision as prec
from ...backend import Backend
from ...tree import Flat, Tree, walk
from ..start.begin import Run
from ..step.step import Objective, prediction

Array = Any
Step = Callable[..., Any]

#: Calls of each part, of which the median counts, or fewer after so many seconds of all.
CALLS, FEWEST, SECONDS = 15, 3, 20.0


@dataclass
class StepRecorder:
    """A training step that keeps the batch it saw last, so that it can be measured later."""

    step: Step | None = None
    last: tuple[Tree, Tree, Tree] | None = None  #: batch, label and scalars

    def of(self, step: Step) -> Step:
        """Return the same step; it is this one that is looked at from now on."""
        self.step = step

        def remembered(params: Any, frozen: Any, state: Any, *rest: Any) -> Any:
            self.last = rest
            return step(params, frozen, state, *rest)

        return remembered


@dataclass(frozen=True)
class Floor:
    """The matrix products of the fitting nets alone: nothing that trains them does without."""

    passes: int  #: products with each matrix of weights
    operations: float  #: floating-point operations
    seconds: float


@dataclass(frozen=True)
class Breakdown:
    """Medians in seconds: of computations each of which does a bit more than that before it."""

    atoms: int
    calls: int
    stages: list[tuple[str, float]] = field(default_factory=list)
    floor: Floor | None = None


def break_down(run: Run, recorded: StepRecorder) -> Breakdown | None:
    """Measure the parts of a step on the batch that was last; None if there was no step.

    Nothing of the run changes: steps are done on copies of its parameters.
    """
    if recorded.step is None or recorded.last is None:
        return None
    batch, label, scalars = recorded.last
    shapes = _products(run, batch)
    stages: dict[str, Callable[[], None]] = _predictions(run, batch)
    stages["+ gradient"] = _gradient(run, batch, label, scalars["lr"])
    stages["+ optimizer"] = _whole(run, recorded.step, batch, label, scalars)
    if shapes:
        stages["floor"] = _multiply(run, shapes)
    medians, calls = _medians(stages)
    floor = None
    if shapes:
        times = 2 if run.setup.loss.needs_forces else 1
        operations = 6.0 * times * sum(n * a * b for n, a, b in shapes)
        floor = Floor(3 * times, operations, times * medians.pop("floor"))
    atoms = int(run.setup.backend.to_numpy(batch["natoms"]).sum())
    return Breakdown(atoms, calls, list(medians.items()), floor)


def _medians(stages: dict[str, Callable[[], None]]) -> tuple[dict[str, float], int]:
    """Return the median time of each, and of how many calls, taken in turn."""
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
    """Return when the device is done: as in training, by reading a small array."""
    smallest = min((x for _, x in walk(outputs)), key=lambda x: int(np.prod(tuple(x.shape))))
    backend.to_numpy(smallest)


def _copies(backend: Backend, flat: Flat) -> Flat:
    """Return arrays of their own, which a step may take as its own."""
    return {name: backend.asarray(np.array(backend.to_numpy(x))) for name, x in flat.items()}


def _spare(backend: Backend) -> Flat:
    """Return a variable that nobody misses."""
    return {"x": backend.asarray(np.asarray(1.0))}


def _alone(backend: Backend, f: Callable[..., Tree], *args: Any) -> Callable[[], None]:
    """Return a call of f, compiled as it is in a step: where a gradient is taken.

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


def _predictions(run: Run, batch: Tree) -> dict[str, Callable[[], None]]:
    """Return what predicts for a batch: without and with derivatives, where there are any."""
    setup, params = run.setup, run.params
    backend, model, loss = setup.backend, setup.model, setup.loss
    full = _alone(backend, prediction(backend, model, loss), params, batch)
    name = model.output.name
    if not loss.needs_forces and not loss.needs_hessian:
        return {name: full}
    simple = functools.partial(mdl.evaluate, backend, model, forces=False)
    more = "+ forces, Hessians" if loss.needs_hessian else "+ forces"
    return {f"{name} only": _alone(backend, simple, params, batch), more: full}


def _gradient(run: Run, batch: Tree, label: Tree, lr: Array) -> Callable[[], None]:
    """Return what also computes the loss and its gradient."""
    setup = run.setup
    backend = setup.backend
    differentiate = backend.value_and_grad(Objective(backend, setup.model, setup.loss))
    # Compiled as a step is, which gives something away.
    compiled = backend.compile(lambda spare, *args: differentiate(*args), donate=(0,))
    trainable = _copies(backend, run.trainable)

    def call() -> None:
        spare = _spare(backend)
        (_, metrics), _ = compiled(spare, trainable, run.frozen, batch, label, lr)
        _wait(backend, metrics)

    return call


def _whole(run: Run, step: Step, batch: Tree, label: Tree, scalars: Tree) -> Callable[[], None]:
    """Return the step itself; each goes on from the one before, since it may use up its input."""
    backend = run.setup.backend
    params = _copies(backend, run.trainable)
    state: Any = {name: _copies(backend, flat) for name, flat in run.moments.items()}

    def call() -> None:
        nonlocal params, state
        params, state, metrics = step(params, run.frozen, state, batch, label, scalars)
        _wait(backend, metrics)

    return call


def _products(run: Run, batch: Tree) -> list[tuple[int, int, int]]:
    """Return (atoms, n_in, n_out) of every layer of the fitting net of every type in a batch."""
    setup = run.setup
    fitting = setup.model.fitting
    if setup.loss.needs_hessian:  # has many more products, by far
        return []
    return [
        (centre["mask"].shape[0], layer.n_in, layer.n_out)
        for a, centre in batch["centres"].items()
        if int(a) not in fitting.exclude_types
        for layer in fitting.network.layers
    ]


def _multiply(run: Run, shapes: Sequence[tuple[int, int, int]]) -> Callable[[], None]:
    """Return one product forwards, one backwards and one for the weights' gradient of each layer.

    What needs forces, too, has each of these shapes twice: a gradient of a gradient.
    """
    backend, rng = run.setup.backend, np.random.default_rng(0)
    xp, dtype = backend.xp, prec.numpy_dtype(run.setup.model.fitting.precision)

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
