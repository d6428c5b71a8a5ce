"""The results of a finished run: the model file, a table of errors and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from ... import files
from ...backend import get_backend
from ...console.tables import table
from ...data import System
from ...evaluation.metrics import Errors
from ...evaluation.predictions import compare, predictions, spread_frames
from ...inference.potential import Potential
from ...loss import LossConfig
from ...outputs import OUTPUTS
from ...plots import Plot
from ...support import can_run
from ...tree import Tree, map_leaves, unflatten
from .plot import save_training_plot

if TYPE_CHECKING:
    from ...console.tables import Row
    from ..setup.setup import Setup
    from ..start.begin import Run

#: How many frames of a system the final table and plot are made from.
FRAMES = 200

#: And its Hessians, which take much longer.
HESSIANS = 8

#: How many quantities fit beside each other.
PER_TABLE = 3

#: What a final table of errors is not.
SHIFTS = "the shifts of shift_agnostic are of the loss and of lcurve.out only"

MODEL = "model.dp"
EMA_MODEL = "model_ema.dp"
BEST_MODEL = "model_best.dp"
PLOT = "training.png"


def _potential(setup: Setup, params: Tree) -> Potential:
    """Return the model on the run's backend, or where that would have to compile on NumPy."""
    model, backend = setup.model, setup.backend
    if backend.static_shapes and backend.on_cpu and can_run(model, "numpy"):
        backend = get_backend("numpy")
    return Potential(model, params, backend, embedding=setup.config.model.embedding)


def fit_bias(setup: Setup, params: Tree) -> np.ndarray:
    """Return the output bias with which the model fits the training data best."""
    from ...evaluation.bias import shifted_bias

    return shifted_bias(
        _potential(setup, params),
        setup.training.systems,
        setup.config.model.data_bias_nsample,
        setup.loss.coefficients,
        setup.loss.labels,
    )


def _with_bias(setup: Setup, params: Tree) -> Tree:
    """Return parameters with the bias fitted to the data if ``change_bias_after_training``."""
    if not setup.config.training.change_bias_after_training:
        return params
    return {**params, "out_bias": fit_bias(setup, params)}


def final_errors(
    potential: Potential, systems: Sequence[System], found: Plot, loss: LossConfig
) -> list[Row]:
    """Return (name, frames, errors) for each system, with the Hessian's if that was fitted.

    Parameters
    ----------
    found
        Takes predictions and labels for the plot.
    """
    rows = []
    for system in systems:
        frames = spread_frames(system, FRAMES)
        errors = Errors()
        for chunk in predictions(potential, system, frames, coefficients=loss.coefficients):
            errors.add(chunk.output, chunk.label, chunk.real)
            found.add(system, chunk)
        if loss.needs_hessian and "hessian" in system.labels:
            few = spread_frames(system, HESSIANS)
            errors += compare(potential, system, few, hessian=True).only("hessian")
        rows.append((system.name, len(frames), errors))
    return rows


def columns(rows: Sequence[Row], output: str, loss: LossConfig) -> list[tuple[str, ...]]:
    """Return the quantities of each table: those that were fitted or have labels, in threes.

    Parameters
    ----------
    output
        Name of the model's output.
    """
    known = {quantity.key: quantity for quantity in OUTPUTS[output].quantities}
    fitted = set(loss.labels)
    shown = [
        key
        for key in OUTPUTS[output].summary
        if known[key].label in fitted or any(errors.number.get(key) for _, _, errors in rows)
    ]
    return [tuple(shown[k : k + PER_TABLE]) for k in range(0, len(shown), PER_TABLE)]


def finish(run: Run, console: Console, quiet: bool) -> None:
    """Write the model file, print the table of errors, draw the plot."""
    setup, training = run.setup, run.setup.config.training
    params = _with_bias(setup, run.numpy_params())
    path = run.output / MODEL
    files.write(path, run.content(params))
    written: list[Path] = [path]
    best = run.output / BEST_MODEL
    if run.state.best is not None and best.exists():
        written.append(best)
    if "ema" in run.moments:
        flat = unflatten({**run.frozen, **run.moments["ema"]})
        average = _with_bias(setup, map_leaves(setup.backend.to_numpy, flat))
        files.write(run.output / EMA_MODEL, run.content(average))
        written.append(run.output / EMA_MODEL)
    if quiet:
        return
    held_out = setup.validation is not None
    source = setup.validation if setup.validation is not None else setup.training
    what = "validation data" if held_out else "training data"
    # Where shapes are compiled this takes longer than the steps of a short run.
    console.print(f"evaluating the model on the {what} …", highlight=False)
    found: Plot = setup.model.output.plot(setup.model)
    rows = final_errors(_potential(setup, params), source.systems, found, setup.loss)
    groups = columns(rows, setup.model.output.name, setup.loss)
    for keys in groups:
        first, last = keys == groups[0], keys == groups[-1]
        console.print(table(rows, what if first else "", keys, caption=last))
    if "hessian" in groups[-1]:
        console.print(f"Hessians of at most {HESSIANS} frames of each system", highlight=False)
    if getattr(setup.loss, "shift_agnostic", 0):
        console.print(f"labels as they are: {SHIFTS}", highlight=False)
    relative = getattr(setup.loss, "relative_f", None) is not None
    save_training_plot(run.output / PLOT, run.output / training.disp_file, found, relative)
    written.append(run.output / PLOT)
    console.print(f"wrote {', '.join(map(str, written))}", highlight=False, soft_wrap=True)
