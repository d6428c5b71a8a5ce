"""Errors for a loss or parameters that are not finite, naming the frames and the files kept."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np

from ...console.words import few
from ...data import where
from ...errors import TrainingError
from ...tree import Flat, flatten
from ..setup.checkpoint_files import existing
from ..setup.source import HostBatch
from ..setup.task import Task
from ..start.run import Run
from ..start.saver import Saver
from ..validation.validate import MetricEvaluator


def require_finite(run: Run) -> None:
    """Raise TrainingError unless all parameters are finite, so that only valid ones are written."""
    bad = [*_nonfinite(run, run.trainable)]
    for moment, flat in run.moments.items():
        bad += [f"{moment} of {name}" for name in _nonfinite(run, flat)]
    if not bad:
        return
    training = run.setup.config.training
    known = [path for n, path in existing(run.output, training.save_ckpt) if n < run.state.step]
    kept = f"; the last good checkpoint is {known[-1]}" if known else ""
    raise TrainingError(
        f"the parameters are not finite after step {run.state.step} ({few(bad)}): check the "
        f"data, lower start_lr or set gradient_max_norm{kept}"
    )


def _nonfinite(run: Run, flat: Flat) -> list[str]:
    """Return the names of arrays with values that are not finite."""
    return [name for name, x in run.to_numpy(flat).items() if not np.isfinite(x).all()]


def raise_nonfinite(saver: Saver, task: Task, work: HostBatch, number: int) -> NoReturn:
    """Raise TrainingError, naming the frames whose own loss is not finite.

    The state before the step is kept in a checkpoint.
    """
    run = saver.run
    require_finite(run)
    setup, source = run.setup, task.data.training.source
    one = MetricEvaluator(setup.backend, task.model, task.loss, run.planners[task.name])
    bad, array = [], ""
    for system, frame in ((k, frame) for k, frames in work.picks for frame in frames):
        alone = source.work(((system, np.array([frame])),))
        loss = one.metrics(run.params(task), alone, setup.rate_of(number))["rmse"]
        if not math.isfinite(loss):
            array = array or _first_array(one.predictions(run.params(task), alone), alone)
            bad.append(where(source.systems[system], int(frame)))
    # All processes come here at the same step, as the loss is their mean.
    everywhere = setup.processes.gather([bad, array])
    bad = [place for places, _ in everywhere for place in places]
    array = next((text for places, text in everywhere if places), "")
    kept = ""
    if run.state.step and setup.processes.rank == 0:
        kept = f"; the state before it is in {saver.save_or_rescue()}"
    kept = setup.processes.share(kept)  # all wait: launchers kill process 0 if another ends first
    blame = f"in {bad[0]}" if bad else "in no single frame, but in the whole batch"
    others = len(bad) - 1
    more = f" and {others} more frame{'s' * (others > 1)}" if others > 0 else ""
    raise TrainingError(
        f"the loss is not finite at step {number}, {blame}{more}{array}: check this data, lower "
        f"start_lr or set gradient_max_norm{kept}"
    )


def _first_array(predictions: Flat, alone: HostBatch) -> str:
    """Return which array of a frame is not finite or huge, in the order of the computation."""
    for name, x in predictions.items():
        if not np.isfinite(x).all():
            return f", whose predicted {name} is the first array that is not finite"
    sizes = {
        name.removeprefix("label."): float(np.abs(x).max())
        for name, x in flatten(alone.label).items()
        if x.size and x.dtype.kind == "f"
    }
    largest = max(sizes, key=lambda name: sizes[name], default="")
    return f", whose label {largest} reaches {sizes[largest]:.3g}" if largest else ""
