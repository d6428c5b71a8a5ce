"""The training loop."""

from __future__ import annotations

import math
import time

from ...console.words import counted
from ...distributed import PeerError
from ...errors import DataError
from ...host.durations import in_words
from ...tree import map_leaves
from ..profile.recorder import STEP
from ..report.progress import Display
from ..start.prepare import LoopObjects
from ..start.run import Run
from ..start.saver import Saver
from .after_step import after_step
from .broken import raise_unreadable, raise_with_checkpoint, save_before_end
from .deadline import Ending
from .health import Health, size_of_forces
from .interruptible import AbandonedError
from .nonfinite import raise_nonfinite
from .together import Together, numbers

#: Steps between checks of the series of the embedding nets; a check is cheap.
SERIES_CHECK = 10


def run_steps(loop: LoopObjects, ending: Ending) -> int:
    """Train until the last step, an early stop or what ends the run before; return the exit code.

    Raises
    ------
    DataError
        If data cannot be read any more; the steps before are then saved.
    TrainingError
        If the time limit is too short for a step.
    """
    run, display, deadline = loop.run, loop.display, ending.deadline
    after, rate = run.state.step, run.setup.rate
    forces = size_of_forces(run) if run.untrained else {}
    health = Health(after, run.setup.numb_steps, rate.warmup_steps, run.untrained, forces)
    together = Together(run)
    with ending.interrupt:
        if deadline.is_near():
            ending.require_progress(0)
        for number in range(after + 1, run.setup.numb_steps + 1):
            before = time.monotonic()
            try:
                with loop.recorder.span(STEP):
                    if together.several:
                        loop.votes.update(together.votes(_wants_end(run, ending, number)))
                    first = deadline.began if number == after + 1 else None
                    stop = _step(loop, together, health, number, first)
            except AbandonedError:
                ending.require_progress(run.state.step - after)
                return _stop(loop.saver, display, ending, together)
            except PeerError:
                save_before_end(loop)
                raise
            deadline.step_took(time.monotonic() - before)
            alone = not together.several and _wants_end(run, ending, number)
            if together.stopping or alone:
                return _stop(loop.saver, display, ending, together)
            if stop:
                display.say(
                    f"stopping early at step {number}: no better validation error in "
                    f"{run.setup.config.training.early_stopping} validations"
                )
                break
    _say_trained(display, run.state.step - after, deadline.began)
    return 0


def _wants_end(run: Run, ending: Ending, number: int) -> bool:
    """Return True if the run has to stop after a step; with the last one it is complete."""
    due = ending.code() is not None
    return due and not (number == run.setup.numb_steps and ending.by_limit)


def _say_trained(display: Display, steps: int, began: float) -> None:
    """Print how long the steps took, and what was compiled."""
    display.say(f"trained {counted(steps, 'step')} in {in_words(time.monotonic() - began)}")
    if display.compiled:
        found = [f"{what} for {counted(n, 'shape')}" for what, n in display.compiled.items()]
        display.say(f"compiled {' and '.join(found)} of batches")


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
        try:
            stop = after_step(loop, number, loop.steps[task].task, metrics, lr)
        except DataError as exc:
            raise_with_checkpoint(loop, exc)
        if warning := health.update(number, _errors(loop, task, metrics), lr):
            display.say(warning)
    return together.after_checkpoint(number, stop, loop.saver.saved)


def _advance(loop: LoopObjects, number: int) -> tuple[int, dict[str, float], float]:
    """Do one step; return its task, the metrics of its batch before the update, and its rate."""
    run, span, backend = loop.run, loop.recorder.span, loop.run.setup.backend
    with span("wait for the batch"):
        k, prepared, values, drawn = next(loop.inputs)
    step = loop.steps[k]
    if isinstance(prepared, DataError):
        raise_unreadable(loop, step, prepared)
    planner = run.planners[step.task.name]
    with span("check the series"):
        plan = planner.plan_for(prepared.work.nearest, lambda: run.numpy_params(step.task))
    prepared = step.batches.renewed(prepared, plan)
    trainable, frozen = step.of(run.trainable), step.of(run.frozen)
    moments = {name: step.of(flat) for name, flat in run.moments.items()}
    if step.shared:
        update = number % run.setup.config.training.acc_freq == 0
        values = {**values, **map_leaves(backend.as_input, loop.votes), "update": update}
    with span("update"):
        with span("launch"):
            trainable, moments, found = step.call(
                trainable, frozen, moments, prepared.batch, prepared.label, values
            )
        metrics = numbers(run, found, loop.recorder)
    if metrics.get("data"):  # another process has no batch
        raise_unreadable(loop, step, None)
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
    return k, metrics, run.setup.rate_of(number)


def _stop(saver: Saver, display: Display, ending: Ending, together: Together) -> int:
    """Write a checkpoint before the last step, print how to resume, and return the exit code."""
    code = together.exit_code(ending.code())
    run = saver.run
    if run.setup.processes.rank == 0:
        path = saver.save_or_rescue()
        why = ending.deadline.said() if ending.by_limit else "interrupted"
        display.say(f"{why} at step {run.state.step}; continue with --restart {path}")
    return code
