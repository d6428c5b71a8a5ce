"""The training loop."""

from __future__ import annotations

import math
import time

from ...console.words import counted
from ..profile.recorder import STEP
from ..report.progress import Display, duration
from ..start.prepare import LoopObjects
from ..start.run import Run
from .after_step import after_step
from .interrupt import Interrupt
from .interruptible import AbandonedError
from .nonfinite import raise_nonfinite

#: Steps between checks of the series of the embedding nets; a check is cheap.
SERIES_CHECK = 10


def run_steps(loop: LoopObjects, began: float, interrupt: Interrupt) -> int:
    """Train until the last step, an interrupt or an early stop; return the exit code.

    Parameters
    ----------
    began
        Start time of the command, by :func:`time.monotonic`.
    interrupt
        Notes signals within the loop.
    """
    run, display, span = loop.run, loop.display, loop.recorder.span
    after = run.state.step
    with interrupt:
        for number in range(after + 1, run.setup.numb_steps + 1):
            with span(STEP):
                before = time.monotonic()
                try:
                    task, metrics, lr = _advance(loop, number)
                except AbandonedError:
                    return _stop(run, display, interrupt.exit_code or 0)
                with span("display"):
                    display.step(number, time.monotonic() - before)
                    if number == after + 1:
                        display.say(f"first step after {time.monotonic() - began:.1f} s")
                stop = after_step(loop, number, loop.steps[task].task, metrics, lr)
            if interrupt.exit_code is not None:
                return _stop(run, display, interrupt.exit_code)
            if stop:
                display.say(
                    f"stopping early at step {number}: no better validation error in "
                    f"{run.setup.config.training.early_stopping} validations"
                )
                break
    display.say(f"trained {run.state.step - after} steps in {duration(time.monotonic() - began)}")
    if display.compiled:
        found = [f"{what} for {counted(n, 'shape')}" for what, n in display.compiled.items()]
        display.say(f"compiled {' and '.join(found)} of batches")
    return 0


def _advance(loop: LoopObjects, number: int) -> tuple[int, dict[str, float], float]:
    """Do one step; return its task, the metrics of its batch before the update, and its rate."""
    run, span, backend = loop.run, loop.recorder.span, loop.run.setup.backend
    with span("wait for the batch"):
        k, prepared, values, drawn = next(loop.inputs)
    step = loop.steps[k]
    planner = run.planners[step.task.name]
    with span("check the series"):
        plan = planner.plan_for(prepared.work.nearest, lambda: run.numpy_params(step.task))
    prepared = step.batches.renewed(prepared, plan)
    trainable, frozen = step.of(run.trainable), step.of(run.frozen)
    moments = {name: step.of(flat) for name, flat in run.moments.items()}
    with span("update"):
        with span("launch"):
            trainable, moments, found = step.call(
                trainable, frozen, moments, prepared.batch, prepared.label, values
            )
        if loop.recorder.on:  # the first read waits for an asynchronous device
            with span("wait for the device"):
                backend.to_numpy(found["rmse"])
        with span("read the metrics"):
            metrics = {name: float(backend.to_numpy(x)) for name, x in found.items()}
    # The old ones are deleted; the new ones are the same if the loss is not finite.
    run.update(trainable, moments)
    if not math.isfinite(metrics["rmse"]):
        loop.inputs.close()  # its thread uses the same tables as the following code
        raise_nonfinite(run, step.task, prepared.work, number)
    run.state.step, run.state.sampler = number, drawn
    if number % SERIES_CHECK == 0:
        with span("check the series"):
            for task in run.setup.tasks:
                run.planners[task.name].refine(run.numpy_params(task))
    return k, metrics, run.setup.rate.at(number - 1)


def _stop(run: Run, display: Display, code: int) -> int:
    """Write a checkpoint after a signal, and print how to resume."""
    display.say(f"interrupted at step {run.state.step}; continue with --restart {run.save()}")
    return code
