"""The training loop."""

from __future__ import annotations

import contextlib
import itertools
import math
import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from .. import files
from ..backend import Backend
from ..batch import Batcher
from ..config import Config
from ..data import Sampler, system_probabilities
from ..errors import TrainingError
from ..spectrum import Spectrum
from . import _checkpoint as ckpt
from ._ahead import Batches, Ready, ahead
from ._begin import Run, Start, begin, introduce
from ._blame import refuse, require_finite
from ._breakdown import Recall, break_down
from ._features import require_all
from ._full_validation import FullValidation
from ._interrupt import Interrupt
from ._lcurve import LearningCurve, tensorboard
from ._outputs import check_outputs
from ._profile import OFF, STEP, Recorder
from ._profile_report import check_file, report
from ._progress import Display, duration
from ._report import BEST_MODEL, finish
from ._setup import TRAINING_DATA, VALIDATION_DATA, Setup, set_up
from ._shapes import announced
from ._source import Source
from ._step import Objective, scalars, train_step
from ._validate import FRAMES, Evaluator, Validator

#: Steps after which the series of the embedding nets is looked at again; it is cheap.
SERIES_CHECK = 10


def train(
    config: Config,
    backend: Backend,
    *,
    base: Path,
    output: Path,
    start: Start | None = None,
    console: Console | None = None,
    quiet: bool = False,
    began: float | None = None,
    profile: bool = False,
) -> int:
    """Train a model and write it; return the exit code.

    Parameters
    ----------
    config
        The settings, from :func:`multifit.config.load`.
    base
        The folder against which paths of data are resolved.
    output
        The folder to write into.
    start
        What to start from.
    began
        When the command was given, by :func:`time.monotonic`; now if not given.
    profile
        Whether to take the times of all that a run does, to print them, and to write the timeline
        ``profile.json``; the parts of a step are compiled and measured after the run.

    Raises
    ------
    ConfigError, DataError, TrainingError, FileFormatError
        With one sentence for the user; nothing that was there before is lost.
    """
    require_all(config, backend)
    began = time.monotonic() if began is None else began
    console = console or Console()
    check_outputs(config, output)
    recorder = Recorder() if profile else OFF
    if profile:
        check_file(config, output)
    with recorder.span("open the data"):
        setup = set_up(config, backend, base)
    _make_folders(output, config)
    with recorder.span("statistics and parameters"):
        run, notes = begin(setup, start or Start(), output)
    recall = Recall() if profile else None
    shown = config.training
    with Display(
        console,
        setup.numb_steps,
        run.state.step,
        quiet=quiet or not shown.disp_training,
        timings=shown.time_training,
    ) as display:
        introduce(display, setup, notes)
        left = _is_left(run, display)
        code = _loop(run, display, began, recorder, recall) if left else 0
    if code == 0:
        with recorder.span("evaluate and write the model"):
            finish(run, console, quiet)
    if recall is not None:
        if code == 0 and not quiet:
            console.print("measuring the parts of a step …", highlight=False)
        parts = break_down(run, recall) if code == 0 else None
        report(recorder, parts, output, None if quiet else console)
    return code


def _is_left(run: Run, display: Display) -> bool:
    """Return whether there are steps to do, and say what follows if there are none."""
    step = run.state.step
    if step < run.setup.numb_steps:
        return True
    display.say(f"the model of step {step} is written without further training")
    return False


def _make_folders(output: Path, config: Config) -> None:
    """Make the folders that are written into, and clear them of what a killed run left."""
    for folder in (output, (output / config.training.save_ckpt).parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise TrainingError(
                f"the output folder {folder} can not be made ({exc.strerror}); choose another"
            ) from exc
        files.remove_stale(folder)


def _sampler(source: Source, sizes: list[int], section: Any, seed: int, where: str) -> Sampler:
    probabilities = system_probabilities(
        source.systems, sizes, section.auto_prob, section.sys_probs, where
    )
    return Sampler(source.systems, sizes, probabilities, seed)


def _validator(
    setup: Setup, spectrum: Spectrum, seed: int, tell: Callable[[str, int], None]
) -> Validator | None:
    if setup.validation is None:
        return None
    section = setup.config.training.validation_data
    assert section is not None
    batcher = setup.training.batcher
    # A batcher of its own, and not the one that a thread uses meanwhile: runs stay reproducible.
    own = Batcher(batcher.rcut, batcher.sel, batcher.pair_exclude_types, batcher.static_shapes)
    setup.validation.batcher = own
    for k, frames in setup.validation.spread_frames(FRAMES):
        own.learn(setup.validation.load(k, frames)[0])
    evaluator = Evaluator(
        setup.backend,
        setup.model,
        setup.loss,
        spectrum,
        lambda natoms: tell("the validation", natoms),
    )
    sampler = _sampler(setup.validation, setup.validation_sizes, section, seed + 1, VALIDATION_DATA)
    sizes = setup.validation_sizes
    return Validator(evaluator, setup.validation, sampler, section.numb_btch, sizes)


def _continue(validator: Validator, state: dict[str, np.ndarray]) -> None:
    """Go on drawing where an earlier run stopped, unless the validation data are others now."""
    mine = [system.nframes for system in validator.source.systems]
    if state and np.array_equal(state["nframes"], mine):
        validator.sampler.restore(state)


@dataclass(frozen=True)
class _Onlookers:
    """What looks at a run after its steps."""

    display: Display
    recorder: Recorder
    validator: Validator | None
    whole: FullValidation
    curve: LearningCurve
    board: Any | None


def _loop(
    run: Run, display: Display, began: float, recorder: Recorder, recall: Recall | None
) -> int:
    """Train until the last step, an interrupt or an early stop; return the exit code."""
    setup, training = run.setup, run.setup.config.training
    seed = training.seed if training.seed is not None else secrets.randbits(31)
    sampler = _sampler(
        setup.training, setup.training_sizes, training.training_data, seed, TRAINING_DATA
    )
    if run.state.sampler:
        sampler.restore(run.state.sampler)

    def compiling(what: str, natoms: int, in_step: bool = False) -> None:
        recorder.compiling(what)
        display.compiling(what, natoms, in_step)

    with recorder.span("prepare the validation"):
        validator = _validator(setup, run.spectrum, seed, compiling)
    if validator is not None:
        _continue(validator, run.state.validation_sampler)
    after = run.state.step
    whole = FullValidation(setup, run.output, after)
    step = _step(run, lambda natoms: compiling("the training step", natoms, True), recall, recorder)
    with contextlib.ExitStack() as stack:
        board, curve = _records(run, stack, validator is not None)
        onlookers = _Onlookers(display, recorder, validator, whole, curve, board)
        values = (scalars(setup.adam, setup.rate.at(t - 1), t) for t in itertools.count(after + 1))
        batches = Batches(setup.training, setup.backend, recorder)
        works = stack.enter_context(contextlib.closing(ahead(batches, sampler, values)))
        interrupt = stack.enter_context(Interrupt(display.quiet))
        for number in range(after + 1, setup.numb_steps + 1):
            with recorder.span(STEP):
                before = time.monotonic()
                metrics, lr = _advance(run, step, works, number)
                with recorder.span("display"):
                    display.step(number, time.monotonic() - before)
                    if number == after + 1:
                        display.say(f"first step after {time.monotonic() - began:.1f} s")
                stop = _after_step(run, onlookers, number, metrics, lr)
            if interrupt.exit_code is not None:
                return _stop(run, display, interrupt.exit_code)
            if stop:
                display.say(
                    f"stopping early at step {number}: no better validation error in "
                    f"{training.early_stopping} validations"
                )
                break
    display.say(f"trained {run.state.step - after} steps in {duration(time.monotonic() - began)}")
    return 0


@dataclass(frozen=True)
class _Step:
    """The compiled training step, and what takes its times."""

    call: Callable[..., Any]
    recorder: Recorder


def _step(
    run: Run, tell: Callable[[int], None], recall: Recall | None, recorder: Recorder
) -> _Step:
    """Return the compiled training step, which tells of how many atoms it compiles for."""
    setup, training = run.setup, run.setup.config.training
    objective = Objective(setup.backend, setup.model, setup.loss)
    decay = training.ema_decay if training.enable_ema else None
    step = train_step(objective, setup.adam, decay)
    watched = announced(setup.backend, step if recall is None else recall.of(step), tell)
    return _Step(watched, recorder)


def _after_step(
    run: Run, onlookers: _Onlookers, number: int, metrics: dict[str, float], lr: float
) -> bool:
    """Show, validate and write what is due after a step; return whether to stop early."""
    training, last = run.setup.config.training, number == run.setup.numb_steps
    display, span, held_out = onlookers.display, onlookers.recorder.span, None
    if number == 1 or number % training.disp_freq == 0 or last:
        with span("validation"):
            held_out = _look(run, onlookers.validator, lr)
        with span("learning curve"):
            onlookers.curve.write(number, metrics, held_out, lr)
        with span("display"):
            display.show(number, metrics, held_out, lr)
    if onlookers.board is not None and number % training.tensorboard_freq == 0:
        with span("TensorBoard"):
            _log(onlookers.board, number, metrics, held_out, lr)
    if onlookers.whole.due(number):
        with span("full validation"):
            params = run.numpy_params()
            display.say(onlookers.whole.run(number, params, run.content(params)))
    if number % training.save_freq == 0 or last:
        with span("checkpoint"):
            return _save(run, onlookers.validator, display, onlookers.recorder)
    return False


def _records(run: Run, stack: contextlib.ExitStack, validation: bool) -> tuple[Any, LearningCurve]:
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


def _advance(
    run: Run, step: _Step, works: Generator[Ready], number: int
) -> tuple[dict[str, float], float]:
    """Do one step; return the metrics of its batch before the update, and the learning rate."""
    setup, backend, span = run.setup, run.setup.backend, step.recorder.span
    with span("wait for the batch"):
        work, values, drawn = next(works)
    with span("check the series"):
        basis = run.spectrum.basis_for(work.nearest, run.numpy_params)
    batch = work.batch if basis is None else {**work.batch, "basis": basis}
    lr = setup.rate.at(number - 1)
    state = (run.trainable, run.frozen, run.moments)
    with span("update"):
        with span("launch"):
            trainable, moments, found = step.call(*state, batch, work.label, values)
        if step.recorder.on:  # what is read first waits for a device that works by itself
            with span("wait for the device"):
                backend.to_numpy(found["rmse"])
        with span("read the metrics"):
            metrics = {name: float(backend.to_numpy(x)) for name, x in found.items()}
    if not math.isfinite(metrics["rmse"]):
        works.close()  # its thread uses the same tables as what follows
        refuse(run, work, number)
    run.trainable, run.moments = trainable, moments
    run.state.step, run.state.sampler = number, drawn
    if number % SERIES_CHECK == 0:
        with span("check the series"):
            run.spectrum.check(run.numpy_params())
    return metrics, lr


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


def _stop(run: Run, display: Display, code: int) -> int:
    """Write a checkpoint after a signal, and say how to go on."""
    display.say(f"interrupted at step {run.state.step}; continue with --restart {run.save()}")
    return code


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
