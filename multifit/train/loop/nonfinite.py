"""Errors for a loss or parameters that are not finite, naming the frames and the files kept."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np

from ...data import where
from ...errors import TrainingError
from ..setup.checkpoint_files import existing
from ..setup.source import HostBatch
from ..setup.task import Task
from ..start.run import Run
from ..validation.validate import MetricEvaluator


def require_finite(run: Run) -> None:
    """Raise TrainingError unless all parameters are finite, so that only valid ones are written."""
    if _finite(run):
        return
    training = run.setup.config.training
    known = [path for n, path in existing(run.output, training.save_ckpt) if n < run.state.step]
    kept = f"; the last good checkpoint is {known[-1]}" if known else ""
    raise TrainingError(
        f"the parameters are not finite after step {run.state.step}: check the data, lower "
        f"start_lr or set gradient_max_norm{kept}"
    )


def _finite(run: Run) -> bool:
    return all(np.isfinite(x).all() for x in run.to_numpy(run.trainable).values())


def raise_nonfinite(run: Run, task: Task, work: HostBatch, number: int) -> NoReturn:
    """Raise TrainingError, naming the frames whose own loss is not finite.

    The state before the step is kept in a checkpoint.
    """
    require_finite(run)
    setup, source = run.setup, task.data.training.source
    one = MetricEvaluator(setup.backend, task.model, task.loss, run.planners[task.name])
    bad = []
    for frame in work.frames:
        alone = source.work(work.system, np.array([frame]))
        loss = one.metrics(run.params(task), alone, setup.rate.at(number - 1))["rmse"]
        if not math.isfinite(loss):
            bad.append(where(source.systems[work.system], int(frame)))
    # All processes come here at the same step, as the loss is their mean.
    bad = [place for places in setup.processes.gather(bad) for place in places]
    kept = ""
    if run.state.step and setup.processes.rank == 0:
        kept = f"; the state before it is in {run.save()}"
    blame = f"in {bad[0]}" if bad else "in no single frame, but in the whole batch"
    more = f" and {len(bad) - 1} more frames" if len(bad) > 1 else ""
    raise TrainingError(
        f"the loss is not finite at step {number}, {blame}{more}: check this data, lower start_lr "
        f"or set gradient_max_norm{kept}"
    )
