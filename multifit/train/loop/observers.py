"""What is shown, validated and written after a step, where it is due."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

from ... import files
from ..profile.recorder import Recorder
from ..report.lcurve import LearningCurve, tensorboard
from ..report.progress import Display
from ..report.report import BEST_MODEL
from ..start import checkpoint as ckpt
from ..start.begin import Run
from ..validation.full_validation import FullValidation
from ..validation.validate import Validator
from .nonfinite import require_finite


@dataclass(frozen=True)
class Observers:
    """What looks at a run after its steps."""

    display: Display
    recorder: Recorder
    validator: Validator | None
    whole: FullValidation
    curve: LearningCurve
    board: Any | None


def after_step(
    run: Run, observers: Observers, number: int, metrics: dict[str, float], lr: float
) -> bool:
    """Show, validate and write what is due after a step; return whether to stop early."""
    training, last = run.setup.config.training, number == run.setup.numb_steps
    display, span, held_out = observers.display, observers.recorder.span, None
    if number == 1 or number % training.disp_freq == 0 or last:
        with span("validation"):
            held_out = _look(run, observers.validator, lr)
        with span("learning curve"):
            observers.curve.write(number, metrics, held_out, lr)
        with span("display"):
            display.show(number, metrics, held_out, lr)
    if observers.board is not None and number % training.tensorboard_freq == 0:
        with span("TensorBoard"):
            _log(observers.board, number, metrics, held_out, lr)
    if observers.whole.due(number):
        with span("full validation"):
            params = run.numpy_params()
            display.say(observers.whole.run(number, params, run.content(params)))
    if number % training.save_freq == 0 or last:
        with span("checkpoint"):
            return _save(run, observers.validator, display, observers.recorder)
    return False


def records(run: Run, stack: contextlib.ExitStack, validation: bool) -> tuple[Any, LearningCurve]:
    """Return the TensorBoard writer, if one is wanted, and the learning curve."""
    training, board = run.setup.config.training, None
    if training.tensorboard:
        board = tensorboard(run.output / training.tensorboard_log_dir)
        stack.callback(board.close)
    path, names = run.output / training.disp_file, run.setup.loss.metric_names
    curve = LearningCurve(path, names, validation, run.state.step)
    stack.callback(curve.close)
    return board, curve


def _look(run: Run, validator: Validator | None, lr: float) -> dict[str, float] | None:
    """Return the metrics of the next validation batches, if there are validation data."""
    if validator is None:
        return None
    metrics = validator.batch_metrics(run.params, lr)
    run.state.validation_sampler = validator.sampler.state()
    return metrics


def _save(run: Run, validator: Validator | None, display: Display, recorder: Recorder) -> bool:
    """Write a checkpoint and, if it is, the best one; return whether to stop early."""
    require_finite(run)
    training = run.setup.config.training
    state = run.state
    if validator is not None:
        with recorder.span("validation"):
            score = validator.score(run.params)
        if _is_best(score, state.best):
            state.best, state.stale = score, 0
            files.write(run.output / BEST_MODEL, run.content(run.numpy_params()))
        else:
            state.stale += 1
        best = "the best so far" if state.stale == 0 else f"best {_known(state.best)}"
        display.say(
            f"validation √loss (limit prefactors) {_known(score)} at step {state.step}, {best}"
        )
    with recorder.span("write"):
        run.save()
    ckpt.prune(run.output, training.save_ckpt, training.max_ckpt_keep)
    return bool(training.early_stopping) and state.stale >= training.early_stopping


def _is_best(score: float, best: float | None) -> bool:
    """Return whether a validation error is below all before; NaN is none and never the best."""
    return not math.isnan(score) and (best is None or math.isnan(best) or score < best)


def _known(score: float | None) -> str:
    return "unknown" if score is None or math.isnan(score) else f"{score:.4e}"


def _log(
    board: Any,
    step: int,
    training: dict[str, float],
    validation: dict[str, float] | None,
    lr: float,
) -> None:
    """Write to TensorBoard."""
    for kind, metrics in (("train", training), ("validation", validation or {})):
        for name, value in metrics.items():
            board.add_scalar(f"{kind}/{name}", value, step)
    board.add_scalar("lr", lr, step)
