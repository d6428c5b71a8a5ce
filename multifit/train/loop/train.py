"""A whole run: setup, start, loop, end."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from ... import files
from ...backend import Backend
from ...config import Config
from ...console.tables import progress
from ...distributed import Processes, Solo
from ...errors import TrainingError
from ..profile.output import write_profile
from ..profile.recorder import OFF, Recorder
from ..report.lcurve import require_tensorboard
from ..report.progress import Display, say
from ..setup.features import require_all
from ..setup.inputs import input_files
from ..setup.look import FEW, Look
from ..setup.output_trial import try_outputs
from ..setup.outputs import check_outputs
from ..setup.setup import set_up
from ..start.begin import Start, begin
from ..start.earlier import keep_earlier
from ..start.introduction import introduction
from ..start.prepare import prepare
from ..start.run import Run
from ..start.same_run import require_same
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
    source: Path | None = None,
    skip_neighbor_stat: bool = False,
    processes: Processes | None = None,
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

    Raises
    ------
    ConfigError, DataError, TrainingError, FileFormatError
        With one sentence for the user; no existing file is lost.
    """
    processes = processes or Solo()
    writes = processes.rank == 0
    quiet, profile = quiet or not writes, profile and writes
    require_all(config, backend, processes.size)
    began = time.monotonic() if began is None else began
    console = console or Console()
    start = start or Start()
    if writes:
        read = input_files(config, base, input_file=source, **start.files())
        check_outputs(config, output, read, profile=profile)
        if config.training.tensorboard:
            require_tensorboard()
    recorder = Recorder() if profile else OFF
    with recorder.span("open the data"):
        look = _look(console, quiet, skip_neighbor_stat)
        setup = set_up(config, backend, base, look, processes)
        require_same(setup)
    if writes:
        _make_folders(output, config)
        try_outputs(setup, output, plot=not quiet, profile=profile)
    with recorder.span("statistics and parameters"):
        run, notes = begin(setup, start, output)
    new = start.restart is None
    notes += keep_earlier(setup, output) if new and writes else []
    last = LastStep() if profile and processes.size == 1 else None
    shown = config.training
    with Display(
        console,
        setup.numb_steps,
        run.state.step,
        quiet=quiet or not shown.disp_training,
        timings=shown.time_training,
    ) as display:
        # disp_training is about progress; this is not.
        for part in () if quiet else introduction(setup, [*look.notes(), *notes]):
            if isinstance(part, str):
                say(console, part)
            else:
                console.print(part)
        code = 0
        if _is_left(run, display):
            with contextlib.ExitStack() as stack:
                loop = prepare(run, display, recorder, last, stack)
                with recorder.span("try to write a checkpoint"):
                    warning = run.try_save() if writes else ""
                if warning:
                    display.say(warning)
                code = run_steps(loop, began)
    if code == 0 and writes:
        with recorder.span("evaluate and write the model"):
            finish(run, console, quiet=quiet, new=new)
    if profile:
        if code == 0 and last is not None and not quiet:
            console.print("measuring the parts of a step …", highlight=False)
        parts = None
        if last is not None and code == 0:
            parts = break_down(last, run.trainable, run.moments)
        write_profile(recorder, parts, output, None if quiet else console)
    return code


def _look(console: Console, quiet: bool, skip: bool) -> Look:
    """Return how all frames are looked at before the run, with a bar on a terminal."""
    limit = FEW if skip else None
    if quiet:
        return Look(limit=limit)

    @contextlib.contextmanager
    def bar(total: int) -> Iterator[Callable[[int], None]]:
        shown, task = progress("looking at the data", total)
        with shown:
            yield lambda done: shown.advance(task, done)

    return Look(functools.partial(say, console), bar, limit)


def _is_left(run: Run, display: Display) -> bool:
    """Return True if there are steps to do, and say what follows if there are none."""
    step = run.state.step
    if step < run.setup.numb_steps:
        return True
    display.say(f"the model of step {step} is written without further training")
    return False


def _make_folders(output: Path, config: Config) -> None:
    """Create the output folders, and remove leftovers of a killed run."""
    for folder in (output, (output / config.training.save_ckpt).parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise TrainingError(
                f"the output folder {folder} cannot be made ({exc.strerror}); choose another"
            ) from exc
        files.remove_stale(folder)
