"""Display, validation and checkpoints due after a step."""

from __future__ import annotations

import math
from typing import Any

from ..setup.outputs import BEST_MODEL
from ..setup.task import Task, nested
from ..start.prepare import LoopObjects
from .nonfinite import require_finite

Metrics = dict[str, float]


def after_step(loop: LoopObjects, number: int, task: Task, metrics: Metrics, lr: float) -> bool:
    """Show, validate and write everything due after a step; return True to stop early.

    Parameters
    ----------
    task, metrics
        The task of the step and the metrics of its loss.
    """
    run, display, span, saver = loop.run, loop.display, loop.recorder.span, loop.saver
    training, last = run.setup.config.training, number == run.setup.numb_steps
    named = {task.metric(name): value for name, value in metrics.items()}
    held_out: dict[str, Metrics] = {}
    if number == 1 or number % training.disp_freq == 0 or last:
        with span("validation"):
            held_out = _validated(loop, lr)
        found = _named(loop, held_out)
        run.origin.note(number, named, found)
        assert loop.curve is not None
        with span("learning curve"):
            loop.curve.write(number, named, found, lr)
        with span("display"):
            display.show(number, metrics, held_out.get(task.name), lr, task.name)
    if loop.board is not None and number % training.tensorboard_freq == 0:
        with span("TensorBoard"):
            _log(loop.board, number, named, _named(loop, held_out) or {}, lr)
    for full in loop.full:
        if full.due(number):
            with span("full validation"):
                params = run.numpy_params(full.task)
                content = run.content(full.task, params)
                display.say(full.run(number, params, content, saver))
    if number % training.save_freq == 0 or last:
        with span("checkpoint"):
            return _save(loop)
    elif saver.overdue:
        require_finite(run)
        saver.save()
    return False


def _validated(loop: LoopObjects, lr: float) -> dict[str, Metrics]:
    """Return the metrics of the next validation batches of each task that has some."""
    run, found = loop.run, {}
    for validator in loop.validators:
        found[validator.task.name] = validator.batch_metrics(run.params(validator.task), lr)
    if found:
        run.state.validation_sampler = nested(
            {validator.task.name: validator.sampler.state() for validator in loop.validators}
        )
    return found


def _named(loop: LoopObjects, held_out: dict[str, Metrics]) -> Metrics | None:
    """Return the metrics of all tasks together, None if there are no validation data."""
    if not held_out:
        return None
    return {
        validator.task.metric(name): value
        for validator in loop.validators
        for name, value in held_out[validator.task.name].items()
    }


def _save(loop: LoopObjects) -> bool:
    """Write a checkpoint and, if it is the best one, a copy; return True to stop early."""
    run, training, span = loop.run, loop.run.setup.config.training, loop.recorder.span
    state = run.state
    require_finite(run)
    if loop.validators:
        with span("validation"):
            score = _score(loop)
        if _is_best(score, state.best):
            state.best, state.stale = score, 0
            for task in run.setup.tasks:
                content = run.content(task, run.numpy_params(task))
                loop.saver.write(task.file(run.output / BEST_MODEL), content)
        else:
            state.stale += 1
        best = "the best so far" if state.stale == 0 else f"best {_formatted(state.best)}"
        loop.display.say(
            f"validation √loss (limit prefactors) {_formatted(score)} at step {state.step}, {best}"
        )
    with span("write"):
        loop.saver.save()
    return bool(training.early_stopping) and state.stale >= training.early_stopping


def _score(loop: LoopObjects) -> float:
    """Return √loss with the prefactors' limits, the mean over tasks by their probabilities."""
    scores = [each.score(loop.run.params(each.task)) for each in loop.validators]
    if len(scores) == 1:
        return scores[0]
    weights = [each.task.probability for each in loop.validators]
    return sum(w * x for w, x in zip(weights, scores, strict=True)) / sum(weights)


def _is_best(score: float, best: float | None) -> bool:
    """Return True if a validation error is below all before; NaN is never the best."""
    return not math.isnan(score) and (best is None or math.isnan(best) or score < best)


def _formatted(score: float | None) -> str:
    return "unknown" if score is None or math.isnan(score) else f"{score:.4e}"


def _log(board: Any, step: int, training: Metrics, validation: Metrics, lr: float) -> None:
    """Write to TensorBoard."""
    for kind, metrics in (("train", training), ("validation", validation)):
        for name, value in metrics.items():
            board.add_scalar(f"{kind}/{name}", value, step)
    board.add_scalar("lr", lr, step)
