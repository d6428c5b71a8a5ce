"""The training loop."""

from __future__ import annotations

import math
import time

from ...console.words import counted
from ...errors import DataError
from ...signals import Interrupt
from ..profile.recorder import STEP
from ..report.progress import Display, duration
from ..start.prepare import LoopObjects
from ..start.run import Run
from .after_step import after_step
from .nonfinite import raise_nonfinite
from .together import Together, numbers

#: Steps between checks of the series of the embedding nets; a check is cheap.
SERIES_CHECK = 10


def run_steps(loop: LoopObjects, began: float) -> int:
    """Train until the last step, an interrupt or an early stop; return the exit code.

    Parameters
    ----------
    began
        Start time of the command, by :func:`time.monotonic`.
    """
    run, display, span = loop.run, loop.display, loop.recorder.span
    after, processes, together = run.state.step, loop.run.setup.processes, Together(loop.run)
    with Interrupt(display.quiet) as interrupt:
        for number in range(after + 1, run.setup.numb_steps + 1):
            with span(STEP):
                loop.votes.update(together.votes(interrupt.exit_code is not None))
                try:
                    stop = _step(loop, together, number, began if number == after + 1 else None)
                except DataError as exc:
                    raise _with_checkpoint(run, exc) from exc
            alone = processes.size == 1 and interrupt.exit_code is not None
            if together.stopping or alone:
                return _stop(run, display, together.exit_code(interrupt))
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


def _step(loop: LoopObjects, together: Together, number: int, began: float | None) -> bool:
    """Do one step and what is due after it; return True to stop early.

    Parameters
    ----------
    began
        Start time of the command if this is its first step.
    """
    before = time.monotonic()
    task, metrics, lr = _advance(loop, number)
    with loop.recorder.span("display"):
        loop.display.step(number, time.monotonic() - before)
        if began is not None:
            loop.display.say(f"first step after {time.monotonic() - began:.1f} s")
    together.after_step(metrics)
    stop = False
    if loop.run.setup.processes.rank == 0:  # which alone writes
        stop = after_step(loop, number, loop.steps[task].task, metrics, lr)
    return together.at_checkpoint(number, stop)


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
    if run.setup.processes.size > 1:
        values = {**values, **{name: backend.as_input(x) for name, x in loop.votes.items()}}
    with span("update"):
        with span("launch"):
            trainable, moments, found = step.call(
                trainable, frozen, moments, prepared.batch, prepared.label, values
            )
        metrics = numbers(run, found, loop.recorder)
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


def _with_checkpoint(run: Run, error: DataError) -> DataError:
    """Return an error of data that are read late, after saving the steps before it."""
    if not run.state.step or run.setup.processes.rank:
        return error
    return DataError(
        f"{error}; the state after step {run.state.step} is in {run.save()}: correct the data and "
        "continue with --restart"
    )


def _stop(run: Run, display: Display, code: int) -> int:
    """Write a checkpoint after a signal, and print how to resume."""
    if run.setup.processes.rank == 0:
        display.say(f"interrupted at step {run.state.step}; continue with --restart {run.save()}")
    return code
