"""A whole run: setup, start, loop, end."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ... import files
from ...backend import Backend, use
from ...config import Config
from ...errors import TrainingError
from ..profile.output import check_file, write_profile
from ..profile.recorder import OFF, Recorder
from ..report.progress import Display
from ..setup.features import require_all
from ..setup.outputs import LOCK, check_outputs
from ..setup.setup import set_up
from ..start.begin import Start, begin
from ..start.introduction import introduction
from ..start.prepare import prepare
from ..start.run import Run
from ..start.saver import Saver
from ..step.measure import LastStep, break_down
from .finish import finish
from .run import run_steps


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
        File to start from.
    began
        Start time of the command, by :func:`time.monotonic`; by default now.
    profile
        True to measure the time of all parts of a run, print it, and write the timeline
        ``profile.json``; the parts of a step are compiled and measured after the run.

    Raises
    ------
    BackendError, BusyError, ConfigError, DataError, TrainingError, FileFormatError
        With one sentence for the user; no existing file is lost.
    """
    require_all(config, backend)
    use(backend)
    began = time.monotonic() if began is None else began
    console = console or Console()
    check_outputs(config, output)
    recorder = Recorder() if profile else OFF
    if profile:
        check_file(config, output)
    with recorder.span("open the data"):
        setup = set_up(config, backend, base)
    tell = (lambda _: None) if quiet else _printer(console)
    with contextlib.ExitStack() as held:
        lock = _take_folders(config, output, held, tell)
        with recorder.span("statistics and parameters"):
            run, notes = begin(setup, start or Start(), output)
        silent = quiet or not config.training.disp_training
        display = _display(console, run, silent)
        saver = Saver(run, display.warn, lock)
        held.callback(saver.close)
        last = LastStep() if profile else None
        with display:
            for line in introduction(setup, notes):
                display.say(line)
            code = 0
            if _is_left(run, display):
                with contextlib.ExitStack() as stack:
                    code = run_steps(prepare(saver, display, recorder, last, stack), began)
        if code == 0:
            with recorder.span("evaluate and write the model"):
                finish(saver, console, quiet)
        if last is not None:
            if code == 0 and not quiet:
                console.print("measuring the parts of a step …", highlight=False)
            parts = break_down(last, run.trainable, run.moments) if code == 0 else None
            write_profile(recorder, parts, output, None if quiet else console)
    return code


def _display(console: Console, run: Run, quiet: bool) -> Display:
    """Return the display of a run's progress."""
    timings = run.setup.config.training.time_training
    return Display(console, run.setup.numb_steps, run.state.step, quiet=quiet, timings=timings)


def _printer(console: Console) -> Callable[[str], object]:
    """Return a function that prints a sentence."""
    return functools.partial(console.print, highlight=False, soft_wrap=True, markup=False)


def _is_left(run: Run, display: Display) -> bool:
    """Return True if there are steps to do, and say what follows if there are none."""
    step = run.state.step
    if step < run.setup.numb_steps:
        return True
    display.say(f"the model of step {step} is written without further training")
    return False


def _take_folders(
    config: Config, output: Path, held: contextlib.ExitStack, tell: Callable[[str], object]
) -> files.Lock:
    """Create the output folders, lock them, and remove leftovers of a killed run.

    Returns
    -------
    lock
        Of the output folder; released by the stack.
    """
    prefix = output / config.training.save_ckpt
    advice = "choose another folder with --output"
    lock = files.Lock(output / LOCK, advice, tell)
    locks = {output.resolve(): lock}
    elsewhere = prefix.parent.resolve()
    if elsewhere not in locks:
        advice = "change training.save_ckpt"
        locks[elsewhere] = files.Lock(prefix.with_name(f".{prefix.name}.lock"), advice, tell)
    named = (config.training.disp_file, config.validating.full_val_file)
    tables = [Path(name).name for name in named]
    for each in locks.values():
        folder = each.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise TrainingError(
                f"the output folder {folder} cannot be made ({exc.strerror}); choose another"
            ) from exc
        held.enter_context(each)
        files.remove_stale(folder, tables)
    return lock
