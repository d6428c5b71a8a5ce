"""The end of a run: its model files, and the summary of errors."""

from __future__ import annotations

from rich.console import Console

from ...errors import DataError, FileFormatError
from ...tree import Tree
from ..report.progress import say
from ..report.summary import summarize
from ..setup.outputs import BEST_MODEL, EMA_MODEL, MODEL
from ..setup.potential import fitted_bias
from ..setup.setup import Setup
from ..setup.task import Task
from ..start.earlier import keep
from ..start.saver import Saver


def finish(saver: Saver, console: Console, *, quiet: bool, new: bool) -> None:
    """Write the model files, print the tables of errors, draw the plots.

    Parameters
    ----------
    quiet
        True to print nothing, and to draw no plot.
    new
        True for a run that is not continued: models of an earlier one are renamed.
    """
    run, contents = saver.run, {}
    written, models = [], {}
    for task in run.setup.tasks:
        params = models[task.name] = _with_bias(run.setup, task, run.numpy_params(task))
        path = task.file(run.output / MODEL)
        contents[path] = run.content(task, params)
        written.append(path)
        best = task.file(run.output / BEST_MODEL)
        if run.state.best is not None and best.exists():
            written.append(best)
        if "ema" in run.moments:
            average = _with_bias(run.setup, task, run.averaged_params(task))
            path = task.file(run.output / EMA_MODEL)
            contents[path] = run.content(task, average)
            written.append(path)
    old = saver.finish(contents, keep if new else None)
    if quiet:
        return
    for each in old:
        say(console, f"the model of an earlier run is kept as {each}")
    try:
        for task in run.setup.tasks:
            plot = summarize(run.setup, task, models[task.name], run.output, console)
            written += [] if plot is None else [plot]
    except (DataError, FileFormatError) as exc:
        known = ", ".join(map(str, written))
        raise type(exc)(f"{exc}; the training is complete, and its result is in {known}") from exc
    say(console, f"wrote {', '.join(map(str, written))}")


def _with_bias(setup: Setup, task: Task, params: Tree) -> Tree:
    """Return parameters with the bias fitted to the data if ``change_bias_after_training``."""
    if not setup.config.training.change_bias_after_training:
        return params
    return {**params, "out_bias": fitted_bias(setup, task, params)}
