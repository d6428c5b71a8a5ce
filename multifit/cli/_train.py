"""``multifit train``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ._threads import add_threads_argument, positive

if TYPE_CHECKING:
    from ..backend import Backend
    from ..config import Config
    from ..distributed import Processes

#: Seconds after which a thread has to let others of several processes run: messages pass through
#: threads, which would wait ten times as long for the one that prepares batches.
SWITCH = 5e-4


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "input", type=Path, metavar="INPUT", help="input.json in the format of DeePMD-kit"
    )
    parser.add_argument(
        "--backend",
        "-b",
        metavar="NAME",
        help="jax, torch, tensorflow, paddle, … (default: the backend of the input, else "
        "$MULTIFIT_BACKEND, else the first of these that is installed)",
    )
    add_threads_argument(parser)
    parser.add_argument(
        "--processes",
        type=positive,
        default=1,
        metavar="N",
        help="train with N processes on this machine, which share its cores, each on a GPU of its "
        "own if there are any, and each with batch_size frames in a step (default: 1, or as many "
        "as torchrun, srun or mpirun have started)",
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="output folder (default: the current folder)",
    )
    _add_start(parser)
    parser.add_argument(
        "--time-limit",
        type=_duration,
        metavar="TIME",
        help="end in time for a queue, with a checkpoint and exit code 75 if steps are left: 45m, "
        "3h50m, 1-02:00:00 as Slurm writes it, or seconds, since the start of the command",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="print the time spent in each part of the run and write the timeline profile.json; "
        "the parts of a step are compiled and timed after the run",
    )
    parser.add_argument(
        "--skip-neighbor-stat",
        action="store_true",
        help="look at the distances and neighbours in the first frames of each system only, "
        "instead of all",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="print errors only")


def _add_start(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments about the model that a run starts from."""
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--restart",
        "-r",
        type=Path,
        metavar="CKPT",
        help="resume from a checkpoint: a file, or a prefix such as model.ckpt",
    )
    start.add_argument(
        "--init-model",
        "-i",
        type=Path,
        metavar="MODEL",
        help="start from the parameters of a model with the same settings",
    )
    start.add_argument(
        "--finetune",
        "-t",
        type=Path,
        metavar="MODEL",
        help="start from a model, matching types by element, and refit the bias of each type",
    )
    parser.add_argument(
        "--use-pretrain-script",
        action="store_true",
        help="with --finetune: the descriptor and the fitting net are those of MODEL, whatever the "
        "input has; with --init-model: all settings of the model",
    )


def _duration(text: str) -> float:
    from ..host.durations import as_seconds

    try:
        return as_seconds(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _backend(args: argparse.Namespace, of_input: str | None) -> Backend:
    """Return the backend named by the option, the input file or the environment, in this order.

    Raises
    ------
    BackendError
        With the origin of the name, unless it is the option.
    """
    from ..backend import choose_training_backend
    from ..errors import BackendError

    def tell(note: str) -> None:
        if not args.quiet:
            print(f"multifit: {note}", file=sys.stderr)

    if args.backend:
        return choose_training_backend(args.backend)
    name, origin = of_input, f"backend in {args.input}"
    if not name:
        name, origin = os.environ.get("MULTIFIT_BACKEND"), "$MULTIFIT_BACKEND"
    try:
        return choose_training_backend(name, tell)
    except BackendError as exc:
        if not name:
            raise
        raise BackendError(f"{origin}: {exc}") from exc


def processes(args: argparse.Namespace) -> int:
    """Return the number of processes that this command starts on this machine."""
    return int(args.processes)


def _config(args: argparse.Namespace) -> Config:
    """Return the settings of the input, with those of a model if this was asked for."""
    from ..config import load, parse, read

    if not args.use_pretrain_script:
        return load(args.input)
    from ..errors import ConfigError
    from ..train.start.pretrained import with_settings_of

    path = args.finetune or args.init_model
    if path is None:
        raise ConfigError("--use-pretrain-script needs a model: give --finetune or --init-model")
    data, notes = with_settings_of(read(args.input), path, whole=args.finetune is None)
    for note in () if args.quiet else notes:
        print(f"multifit: {note}", file=sys.stderr)
    return parse(data, f"{args.input} with the settings of {path}")


def run(args: argparse.Namespace) -> int:
    """Train, and return the exit code."""
    from ..signals import stoppable

    return stoppable(lambda: _in_its_place(args))


def _in_its_place(args: argparse.Namespace) -> int:
    """Train as the only process or as one of several, and return the exit code."""
    from ..distributed import RefusedError, Solo, join, share_work
    from . import USER_ERROR

    if args.processes > 1:
        share_work(args.processes, (sys.executable, "-m", "multifit", *args.argv))
    try:
        processes = join()
    except RefusedError:
        return USER_ERROR
    if isinstance(processes, Solo):
        return _train(args, processes)
    from ._processes import together

    return together(processes, lambda: _train(args, processes))


def _start(processes: Processes, backend: Backend) -> None:
    """Start the communication of several processes, before any computation."""
    from ..support import require

    require("processes", backend.name)
    processes.start(backend)
    sys.setswitchinterval(SWITCH)


def _train(args: argparse.Namespace, processes: Processes) -> int:
    """Train in one of the processes of a run, and return the exit code."""
    from ._allocator import keep_freed_memory

    args.quiet = args.quiet or processes.rank > 0
    config = _config(args)
    keep_freed_memory()
    backend = _backend(args, config.backend)
    if processes.size > 1:
        _start(processes, backend)
    from ..console.tables import console
    from ..train import Start, train
    from . import BEGAN

    return train(
        config,
        backend,
        base=args.input.resolve().parent,
        output=args.output,
        start=Start(args.restart, args.init_model, args.finetune),
        console=console(),
        quiet=args.quiet,
        began=BEGAN,
        profile=args.profile,
        source=args.input,
        skip_neighbor_stat=args.skip_neighbor_stat,
        processes=processes,
        time_limit=args.time_limit,
    )
