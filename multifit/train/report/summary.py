"""The summary of a finished run: a table of errors and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ...console.tables import table
from ...data import System
from ...evaluation.metrics import Errors
from ...evaluation.predictions import compare, predictions, spread_frames
from ...inference.potential import Potential
from ...loss import LossConfig
from ...outputs import OUTPUTS
from ...plots import Plot
from ...tree import Tree
from ..setup.outputs import PLOT
from ..setup.potential import potential
from ..setup.setup import Setup
from ..setup.task import Task
from .plot import reason, save_training_plot, why_no_plot
from .progress import say

if TYPE_CHECKING:
    from ...console.tables import Row

#: Frames of a system used in the final table and plot.
FRAMES = 200

#: Frames for Hessians, which take much longer.
HESSIANS = 8

#: Maximum number of quantities side by side.
PER_TABLE = 3

#: A note below the final table of errors.
SHIFTS = "the shifts of shift_agnostic are of the loss and of lcurve.out only"


def final_errors(
    potential: Potential, systems: Sequence[System], found: Plot, loss: LossConfig
) -> list[Row]:
    """Return (name, frames, errors) for each system, with the Hessian's if it was fitted.

    Parameters
    ----------
    found
        Receives predictions and labels for the plot.
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
    """Return the quantities of each table: those fitted or with labels, in threes.

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


def summarize(
    setup: Setup, task: Task, params: Tree, output: Path, console: Console
) -> Path | None:
    """Print the table of errors of a finished model, draw its plot, and return the plot's path.

    A plot that cannot be drawn is no error: the models are there. It is told, and None returned.
    """
    model, loss, data = task.model, task.loss, task.data
    used = data.training if data.validation is None else data.validation
    what = task.titled("training data" if data.validation is None else "validation data")
    # With compiled shapes this takes longer than the steps of a short run.
    console.print(f"evaluating the model on the {what} …", highlight=False)
    found: Plot = model.output.plot(model)
    systems = used.source.systems
    if data.validation is None:  # what was never drawn is no training data
        chances = used.probabilities
        systems = [s for s, chance in zip(systems, chances, strict=True) if chance]
    rows = final_errors(potential(setup, task, params), systems, found, loss)
    groups = columns(rows, model.output.name, loss)
    for keys in groups:
        first, last = keys == groups[0], keys == groups[-1]
        console.print(table(rows, what if first else "", keys, caption=last))
    if "hessian" in groups[-1]:
        console.print(f"Hessians of at most {HESSIANS} frames of each system", highlight=False)
    if getattr(loss, "shift_agnostic", 0):
        console.print(f"labels as they are: {SHIFTS}", highlight=False)
    relative = getattr(loss, "relative_f", None) is not None
    path = task.file(output / PLOT)
    try:
        save_training_plot(path, output / setup.config.training.disp_file, found, relative)
    except Exception as exc:  # matplotlib can raise anything
        say(console, f"warning: {path} is not drawn ({reason(exc)}); the models are complete")
        return None
    return path


def plot_notes(setup: Setup) -> list[str]:
    """Return a warning if the plot at the end of a run cannot be drawn."""
    why = [why_no_plot(task.model.output.plot(task.model)) for task in setup.tasks]
    return [
        f"warning: {PLOT} cannot be drawn ({text}): the run goes on without it"
        for text in sorted(set(filter(None, why)))
    ]
