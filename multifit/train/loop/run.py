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
from ..start.saver import Saver
from .after_step import after_step
from .health import Health, size_of_forces
from .interruptible import AbandonedError
from .nonfinite import raise_nonfinite, require_finite
from .together import Together, numbers

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

    Raises
    ------
    DataError
        If data cannot be read any more; the steps before are then saved.
    """
    run, display, span = loop.run, loop.display, loop.recorder.span
    after, rate, processes = run.state.step, run.setup.rate, run.setup.processes
    forces = size_of_forces(run) if run.untrained else {}
    health = Health(after, run.setup.numb_steps, rate.warmup_steps, run.untrained, forces)
    together = Together(run)
    with interrupt:
        for number in range(after + 1, run.setup.numb_steps + 1):
            try:
                with span(STEP):
                    if processes.size > 1:
                        loop.votes.update(together.votes(interrupt.exit_code is not None))
                    first = began if number == after + 1 else None
                    stop = _step(loop, together, health, number, first)
            except AbandonedError:
                return _stop(loop.saver, display, interrupt.exit_code or 0)
            except DataError as exc:
                raise _with_checkpoint(exc, loop.saver, after) from exc
            alone = processes.size == 1 and interrupt.exit_code is not None
            if together.stopping or alone:
                return _stop(loop.saver, display, together.exit_code(interrupt))
            if stop:
                display.say(
                    f"stopping early at step {number}: no better validation error in "
                    f"{run.setup.config.training.early_stopping} validations"
                )
                break
    done = counted(run.state.step - after, "step")
    display.say(f"trained {done} in {duration(time.monotonic() - began)}")
    if display.compiled:
        found = [f"{what} for {counted(n, 'shape')}" for what, n in display.compiled.items()]
        display.say(f"compiled {' and '.join(found)} of batches")
    return 0


def _errors(loop: LoopObjects, task: int, metrics: dict[str, float]) -> dict[str, float]:
    """Return the errors of a batch, without the loss, by their names in the run."""
    each = loop.steps[task].task
    return {each.metric(name): value for name, value in metrics.items() if name != "rmse"}


def _step(
    loop: LoopObjects, together: Together, health: Health, number: int, began: float | None
) -> bool:
    """Do one step and what is due after it; return True to stop early.

    Parameters
    ----------
    began
        Start time of the command if this is its first step.
    """
    before, display = time.monotonic(), loop.display
    task, metrics, lr = _advance(loop, number)
    with loop.recorder.span("display"):
        display.step(number, time.monotonic() - before)
        if began is not None:
            display.say(f"first step after {time.monotonic() - began:.1f} s")
    together.after_step(metrics)
    together.before_checkpoint(number)
    stop = False
    if loop.run.setup.processes.rank == 0:  # which alone writes
        stop = after_step(loop, number, loop.steps[task].task, metrics, lr)
        if warning := health.update(number, _errors(loop, task, metrics), lr):
            display.say(warning)
    return together.after_checkpoint(number, stop, loop.saver.saved)


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
        raise_nonfinite(loop.saver, step.task, prepared.work, number)
    run.state.step, run.state.sampler = number, drawn
    if number % SERIES_CHECK == 0:
        with span("check the series"):
            for task in run.setup.tasks:
                run.planners[task.name].refine(run.numpy_params(task))
    return k, metrics, run.setup.rate.at(number - 1)


def _stop(saver: Saver, display: Display, code: int) -> int:
    """Write a checkpoint after a signal, and print how to resume."""
    if saver.run.setup.processes.rank == 0:
        path = saver.save_or_rescue()
        display.say(f"interrupted at step {saver.run.state.step}; continue with --restart {path}")
    return code


def _with_checkpoint(exc: DataError, saver: Saver, after: int) -> DataError:
    """Return an error in the data that names the checkpoint of the steps before it."""
    step = saver.run.state.step
    if step == after or saver.run.setup.processes.rank:  # nothing new, or process 0 saves
        return exc
    require_finite(saver.run)
    return DataError(f"{exc} (step {step} is saved: --restart {saver.save_or_rescue()})")
