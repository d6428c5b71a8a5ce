"""Data that cannot be read any more, and processes that end: the steps before are saved."""

from __future__ import annotations

from typing import NoReturn

from ...errors import DataError, TrainingError
from ..start.prepare import LoopObjects, TaskStep
from .nonfinite import require_finite


def raise_unreadable(loop: LoopObjects, step: TaskStep, error: DataError | None) -> NoReturn:
    """Raise DataError in all processes at the same step, after process 0 has saved those before.

    Parameters
    ----------
    step
        The step that cannot be done.
    error
        Why this process has no batch for it; None if it is another that has none.
    """
    run, processes = loop.run, loop.run.setup.processes
    if error is not None and step.abstain is not None:
        step.abstain(step.of(run.trainable))
    said = processes.gather(None if error is None else str(error))
    rank, text = next((k, each) for k, each in enumerate(said) if each is not None)
    who = f"process {rank} of {processes.size}: " if rank else ""
    # All wait for process 0: launchers kill it if another ends first.
    raise DataError(f"{who}{text}{processes.share(_saved(loop))}") from error


def raise_with_checkpoint(loop: LoopObjects, exc: DataError) -> NoReturn:
    """Raise an error of process 0 again, with the checkpoint of the steps before it."""
    raise DataError(f"{exc}{_saved(loop)}") from exc


def save_before_end(loop: LoopObjects) -> None:
    """Save what is not saved yet after another process has ended, and remember how to go on."""
    processes = loop.run.setup.processes
    with processes.held():
        if processes.rank == 0 and _is_new(loop):
            try:
                require_finite(loop.run)
                path = loop.saver.save_or_rescue()
            except TrainingError as exc:
                loop.display.say(f"warning: {exc}")
                return
            processes.remember(f"; continue with --restart {path}")
            # Of its own, as the end may have been told before the checkpoint was complete.
            loop.display.say(f"step {loop.run.state.step} is saved as {path}")


def _is_new(loop: LoopObjects) -> bool:
    """Return True if there are steps that no checkpoint has."""
    return loop.run.state.step != loop.saver.saved_step


def _saved(loop: LoopObjects) -> str:
    """Return words about the checkpoint of this step, which process 0 writes if there is none."""
    saver = loop.saver
    if loop.run.setup.processes.rank or not (_is_new(loop) or saver.saved):
        return ""
    require_finite(loop.run)
    path = saver.save_or_rescue() if _is_new(loop) else saver.saved
    return f" (step {loop.run.state.step} is saved: --restart {path})"
