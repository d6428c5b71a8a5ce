"""A whole run: setup, start, loop, end."""

from __future__ import annotations

import contextlib
import functools
import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ... import files
from ...backend import Backend, use
from ...config import Config
from ...console.tables import progress
from ...distributed import Processes, Solo
from ...errors import TrainingError
from ...signals import Interrupt
from ..profile.output import write_profile
from ..profile.recorder import OFF, Recorder
from ..report.lcurve import require_tensorboard
from ..report.progress import Display, say
from ..report.summary import plot_notes
from ..setup.features import require_all
from ..setup.inputs import input_files
from ..setup.look import FEW, Look
from ..setup.output_trial import try_outputs
from ..setup.outputs import LOCK, check_outputs
from ..setup.setup import Setup, set_up
from ..start.begin import Start, begin
from ..start.earlier import keep_earlier
from ..start.introduction import introduction
from ..start.prepare import prepare
from ..start.run import Run
from ..start.same_run import require_same_data, require_same_input
from ..start.saver import Saver
from ..step.measure import LastStep, break_down
from .deadline import Deadline, Ending
from .finish import finish
from .interruptible import call_interruptibly
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
    source: Path | None = None,
    skip_neighbor_stat: bool = False,
    processes: Processes | None = None,
    time_limit: float | None = None,
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
        ``profile.json``; the parts of a step are compiled and measured after the run, unless it
        has several processes.
    source
        The file of the settings, which no output may replace.
    processes
        Those of the run, from :func:`multifit.distributed.join`, of which each calls this function;
        None for this one alone. Process 0 writes all files.
    time_limit
        Seconds after ``began`` in which the run ends, with a checkpoint and the exit code 75 if
        steps are left; None for none.

    Raises
    ------
    BackendError, BusyError, ConfigError, DataError, TrainingError, FileFormatError
        With one sentence for the user; no existing file is lost.
    """
    processes = processes or Solo()
    writes = processes.rank == 0
    quiet, profile = quiet or not writes, profile and writes
    require_all(config, backend, processes.size)
    use(backend)
    began = time.monotonic() if began is None else began
    console = console or Console()
    start = start or Start()
    if writes:
        read = input_files(config, base, input_file=source, **start.files())
        _check_outputs(config, output, read, profile)
    recorder = Recorder() if profile else OFF
    with recorder.span("open the data"):
        require_same_input(config, backend, processes)
        look = _look(console, quiet, skip_neighbor_stat, processes)
        setup = set_up(config, backend, base, look, processes)
        require_same_data(setup)
    tell = (lambda _: None) if quiet else functools.partial(say, console)
    new = start.restart is None
    with contextlib.ExitStack() as held:
        lock = _take_folders(config, output, held, tell) if writes else None
        if writes:
            try_outputs(setup, output, plot=not quiet, profile=profile)
        with recorder.span("statistics and parameters"):
            run, notes = begin(setup, start, output)
        notes += keep_earlier(setup, output) if new and writes else []
        if not quiet:
            with recorder.span("draw a plot on trial"):
                notes += plot_notes(setup)
        display = _display(console, run, quiet or not config.training.disp_training)
        saver = Saver(run, display.warn, lock)
        held.callback(saver.close)
        last = LastStep() if profile and processes.size == 1 else None
        with display:
            if not quiet:  # disp_training is about progress; this is not
                _introduce(console, setup, [*look.notes(), *notes])
            left = _is_left(run, display)
            limit = Deadline(time_limit if writes else None, began)
            code = _do_steps(saver, display, recorder, last, limit) if left else 0
        if code == 0 and writes:
            with recorder.span("evaluate and write the model"):
                finish(saver, console, quiet=quiet, new=new)
        if profile:
            _write_profile(run, recorder, last if code == 0 else None, None if quiet else console)
    return code


def _check_outputs(config: Config, output: Path, read: Mapping[str, Path], profile: bool) -> None:
    """Raise for outputs that cannot be, or would replace a file that the run reads."""
    check_outputs(config, output, read, profile=profile)
    if config.training.tensorboard:
        require_tensorboard()


def _write_profile(
    run: Run, recorder: Recorder, last: LastStep | None, console: Console | None
) -> None:
    """Write the profile, with the parts of the last step if it is known."""
    parts = None
    if last is not None:
        if console is not None:
            console.print("measuring the parts of a step …", highlight=False)
        parts = break_down(last, run.trainable, run.moments)
    write_profile(recorder, parts, run.output, console)


def _introduce(console: Console, setup: Setup, notes: Sequence[str]) -> None:
    """Print the description of a run."""
    for part in introduction(setup, notes):
        if isinstance(part, str):
            say(console, part)
        else:
            console.print(part)


def _do_steps(
    saver: Saver, display: Display, recorder: Recorder, last: LastStep | None, deadline: Deadline
) -> int:
    """Do the steps that are left, and return the exit code."""
    ending, processes = Ending(Interrupt(display.quiet), deadline), saver.run.setup.processes
    deadline.saving = lambda: saver.slowest
    patient: Callable[..., Any] = functools.partial(call_interruptibly, lambda: ending.code(True))
    if processes.size > 1:  # the others would wait for a step that is abandoned: all finish it
        # They learn that one has to stop during the next step, and do it after that.
        patient, deadline.ahead = operator.call, 2
    with contextlib.ExitStack() as stack:
        with recorder.span("try to write a checkpoint"):
            warning = saver.try_save() if processes.rank == 0 else ""
        if warning:
            display.say(warning)
        loop = prepare(saver, display, recorder, last, stack, patient)
        with recorder.span("try a full validation"):
            for full in loop.full:
                if full.due(saver.run.setup.numb_steps):
                    full.rehearse(saver.run.numpy_params(full.task))
        return run_steps(loop, ending)


def _look(console: Console, quiet: bool, skip: bool, processes: Processes) -> Look:
    """Return how all frames are looked at before the run, with a bar on a terminal."""
    limit = FEW if skip else None
    if quiet:
        return Look(limit=limit, processes=processes)

    @contextlib.contextmanager
    def bar(total: int) -> Iterator[Callable[[int], None]]:
        shown, task = progress("looking at the data", total)
        with shown:
            yield lambda done: shown.advance(task, done)

    return Look(functools.partial(say, console), bar, limit, processes=processes)


def _display(console: Console, run: Run, quiet: bool) -> Display:
    """Return the display of a run's progress."""
    timings = run.setup.config.training.time_training
    return Display(console, run.setup.numb_steps, run.state.step, quiet=quiet, timings=timings)


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
