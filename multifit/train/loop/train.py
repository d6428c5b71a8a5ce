"""A whole run: setup, start, loop, end."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from rich.console import Console

from ... import files
from ...backend import Backend
from ...config import Config
from ...distributed import Processes, Solo
from ...errors import TrainingError
from ..profile.output import check_file, write_profile
from ..profile.recorder import OFF, Recorder
from ..report.progress import Display
from ..setup.features import require_all
from ..setup.outputs import check_outputs
from ..setup.setup import set_up
from ..start.begin import Start, begin
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
    recorder = Recorder() if profile else OFF
    if writes:
        check_outputs(config, output)
    if profile:
        check_file(config, output)
    with recorder.span("open the data"):
        setup = set_up(config, backend, base, processes)
        require_same(setup)
    if writes:
        _make_folders(output, config)
    with recorder.span("statistics and parameters"):
        run, notes = begin(setup, start or Start(), output)
    last = LastStep() if profile and processes.size == 1 else None
    shown = config.training
    with Display(
        console,
        setup.numb_steps,
        run.state.step,
        quiet=quiet or not shown.disp_training,
        timings=shown.time_training,
    ) as display:
        for line in introduction(setup, notes):
            display.say(line)
        code = 0
        if _is_left(run, display):
            with contextlib.ExitStack() as stack:
                code = run_steps(prepare(run, display, recorder, last, stack), began)
    if code == 0 and writes:
        with recorder.span("evaluate and write the model"):
            finish(run, console, quiet)
    if profile:
        if code == 0 and last is not None and not quiet:
            console.print("measuring the parts of a step …", highlight=False)
        parts = None
        if last is not None and code == 0:
            parts = break_down(last, run.trainable, run.moments)
        write_profile(recorder, parts, output, None if quiet else console)
    return code


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
