"""The end of a run: its model files, and the summary of errors."""

from __future__ import annotations

from rich.console import Console

from ...tree import Tree
from ..report.summary import summarize
from ..setup.outputs import BEST_MODEL, EMA_MODEL, MODEL
from ..setup.potential import fitted_bias
from ..setup.setup import Setup
from ..setup.task import Task
from ..start.saver import Saver


def finish(saver: Saver, console: Console, quiet: bool) -> None:
    """Write the model files, print the tables of errors, draw the plots."""
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
    saver.finish(contents)
    if quiet:
        return
    for task in run.setup.tasks:
        written.append(summarize(run.setup, task, models[task.name], run.output, console))
    console.print(f"wrote {', '.join(map(str, written))}", highlight=False, soft_wrap=True)


def _with_bias(setup: Setup, task: Task, params: Tree) -> Tree:
    """Return parameters with the bias fitted to the data if ``change_bias_after_training``."""
    if not setup.config.training.change_bias_after_training:
        return params
    return {**params, "out_bias": fitted_bias(setup, task, params)}
