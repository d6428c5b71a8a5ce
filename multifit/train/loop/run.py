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

from ... import files
from ...backend import Backend
from ...batching.batch import Batcher
from ...config import Config
from ...console.words import counted
from ...data import Sampler, system_probabilities
from ...descriptors.se_e2_a._basis import Spectrum
from ...errors import TrainingError
from ..profile.breakdown import StepRecorder, break_down
from ..profile.recorder import OFF, STEP, Recorder
from ..profile.report import check_file, report
from ..report.progress import Display, duration
from ..report.report import finish
from ..setup.features import require_all
from ..setup.outputs import check_outputs
from ..setup.setup import TRAINING_DATA, VALIDATION_DATA, Setup, set_up
from ..setup.source import Source
from ..start.begin import Run, Start, begin, introduce
from ..step.batch_cache import BatchCache
from ..step.prefetch import StepInput, prefetch
from ..step.shapes import announced
from ..step.step import Objective, scalars, train_step
from ..validation.full_validation import FullValidation
from ..validation.validate import FRAMES, MetricEvaluator, Validator
from .interrupt import Interrupt
from .nonfinite import raise_nonfinite
from .observers import Observers, after_step, records

#: The most shapes that validation batches get; each is compiled once.
VALIDATION_SHAPES = 2

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
    recorded = StepRecorder() if profile else None
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
        code = _loop(run, display, began, recorder, recorded) if left else 0
    if code == 0:
        with recorder.span("evaluate and write the model"):
            finish(run, console, quiet)
    if recorded is not None:
        if code == 0 and not quiet:
            console.print("measuring the parts of a step …", highlight=False)
        parts = break_down(run, recorded) if code == 0 else None
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
    setup.validation.plan(setup.validation_sizes, VALIDATION_SHAPES)
    for k, frames in setup.validation.spread_frames(FRAMES):
        own.reserve(setup.validation.load(k, frames)[0])
    evaluator = MetricEvaluator(
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


def _loop(
    run: Run, display: Display, began: float, recorder: Recorder, recorded: StepRecorder | None
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
    step = _step(
        run, lambda natoms: compiling("the training step", natoms, True), recorded, recorder
    )
    with contextlib.ExitStack() as stack:
        board, curve = records(run, stack, validator is not None)
        observers = Observers(display, recorder, validator, whole, curve, board)
        values = (scalars(setup.adam, setup.rate.at(t - 1), t) for t in itertools.count(after + 1))
        works = stack.enter_context(contextlib.closing(prefetch(step.batches, sampler, values)))
        interrupt = stack.enter_context(Interrupt(display.quiet))
        for number in range(after + 1, setup.numb_steps + 1):
            with recorder.span(STEP):
                before = time.monotonic()
                metrics, lr = _advance(run, step, works, number)
                with recorder.span("display"):
                    display.step(number, time.monotonic() - before)
                    if number == after + 1:
                        display.say(f"first step after {time.monotonic() - began:.1f} s")
                stop = after_step(run, observers, number, metrics, lr)
            if interrupt.exit_code is not None:
                return _stop(run, display, interrupt.exit_code)
            if stop:
                display.say(
                    f"stopping early at step {number}: no better validation error in "
                    f"{training.early_stopping} validations"
                )
                break
    display.say(f"trained {run.state.step - after} steps in {duration(time.monotonic() - began)}")
    if display.compiled:
        found = [f"{what} for {counted(n, 'shape')}" for what, n in display.compiled.items()]
        display.say(f"compiled {' and '.join(found)} of batches")
    return 0


@dataclass(frozen=True)
class _Step:
    """The compiled training step, and what takes its times."""

    call: Callable[..., Any]
    batches: BatchCache
    recorder: Recorder


def _step(
    run: Run, tell: Callable[[int], None], recorded: StepRecorder | None, recorder: Recorder
) -> _Step:
    """Return the compiled training step, which tells of how many atoms it compiles for."""
    setup, training = run.setup, run.setup.config.training
    objective = Objective(setup.backend, setup.model, setup.loss)
    decay = training.ema_decay if training.enable_ema else None
    step = train_step(objective, setup.adam, decay)
    watched = announced(setup.backend, step if recorded is None else recorded.of(step), tell)
    batches = BatchCache(setup.training, setup.backend, run.numpy_params(), run.spectrum, recorder)
    return _Step(watched, batches, recorder)


def _advance(
    run: Run, step: _Step, works: Generator[StepInput], number: int
) -> tuple[dict[str, float], float]:
    """Do one step; return the metrics of its batch before the update, and the learning rate."""
    setup, backend, span = run.setup, run.setup.backend, step.recorder.span
    with span("wait for the batch"):
        prepared, values, drawn = next(works)
    with span("check the series"):
        basis = run.spectrum.basis_for(prepared.work.nearest, run.numpy_params)
    prepared = step.batches.renewed(prepared, basis)
    lr = setup.rate.at(number - 1)
    state = (run.trainable, run.frozen, run.moments)
    with span("update"):
        with span("launch"):
            trainable, moments, found = step.call(*state, prepared.batch, prepared.label, values)
        if step.recorder.on:  # what is read first waits for a device that works by itself
            with span("wait for the device"):
                backend.to_numpy(found["rmse"])
        with span("read the metrics"):
            metrics = {name: float(backend.to_numpy(x)) for name, x in found.items()}
    # The old ones are gone; the new ones are the same if the loss is not finite.
    run.trainable, run.moments = trainable, moments
    if not math.isfinite(metrics["rmse"]):
        works.close()  # its thread uses the same tables as what follows
        raise_nonfinite(run, prepared.work, number)
    run.state.step, run.state.sampler = number, drawn
    if number % SERIES_CHECK == 0:
        with span("check the series"):
            run.spectrum.check(run.numpy_params())
    return metrics, lr


def _stop(run: Run, display: Display, code: int) -> int:
    """Write a checkpoint after a signal, and say how to go on."""
    display.say(f"interrupted at step {run.state.step}; continue with --restart {run.save()}")
    return code
