"""The ``multifit`` command: one module for each verb, imported on demand."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import warnings
from collections.abc import Sequence

from .. import __version__
from ..console.silence import VARIABLE, is_verbose
from ..console.streams import losable_output
from ..errors import MultifitError
from ..host import threads

#: verb → (module, summary)
COMMANDS = {
    "train": ("_train", "train a model"),
    "test": ("_test", "compare a model with labelled data"),
    "model-devi": ("_model_devi", "compare models with one another, for active learning"),
    "uncertainty": ("_uncertainty", "calibrate the uncertainty of a model's energies"),
    "show": ("_show", "show the contents of a model file"),
    "convert": ("_convert", "convert a model to another file format"),
    "md": ("_md", "run molecular dynamics with a model"),
    "ipi": ("_ipi", "serve the forces of a model to i-PI"),
    "export": ("_export", "write a model for use without multifit, with the framework alone"),
    "change-bias": ("_change_bias", "refit the output bias of each type to data"),
    "neighbor-stat": ("_neighbor_stat", "count neighbours in data, to choose sel"),
    "lammps": ("_lammps", "run an input file of LAMMPS with a model as pair style"),
    "backends": ("_backends", "list the backends with their versions, devices and features"),
    "schema": ("_schema", "print the JSON Schema of input.json"),
}

#: Commands whose result is what they print; of the others it is only a log.
PRINTED = ("test", "show", "neighbor-stat", "backends", "schema")

#: Start time of the command, except for the start of Python itself.
BEGAN = time.monotonic()

#: The exit code of an error that the user can fix.
USER_ERROR = 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="multifit",
        description="Train deep potentials and models of the density of states from DeePMD-kit "
        "input files.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "\n".join(f"  {name:<14} {about}" for name, (_, about) in COMMANDS.items())
        + "\n\nRun multifit COMMAND --help for the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"multifit {__version__}")
    _add_verbose(parser)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="show messages of the frameworks, names of written files and tracebacks of errors",
    )


def _be_verbose() -> None:
    """Enable messages of frameworks and multifit; before any framework is imported."""
    os.environ[VARIABLE] = "1"
    import logging

    class Stderr(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # Not bound to one stream: a progress bar replaces sys.stderr.
            print(f"multifit: {record.getMessage()}", file=sys.stderr)

    log = logging.getLogger("multifit")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers = [Stderr()]


def run(argv: Sequence[str]) -> int:
    """Run a command and return its exit code; errors are raised."""
    if not argv:
        _parser().print_help(sys.stderr)
        return USER_ERROR
    known = _parser().parse_args(argv)
    module_name, about = COMMANDS[known.command]
    module = importlib.import_module(f".{module_name}", __name__)
    parser = argparse.ArgumentParser(prog=f"multifit {known.command}", description=about)
    module.configure(parser)
    _add_verbose(parser)
    args = parser.parse_args(known.rest)
    args.argv = argv  # for processes that are to do the same
    if known.verbose or args.verbose or is_verbose():
        _be_verbose()
    share = getattr(module, "processes", None)  # on this machine
    threads.choose(getattr(args, "threads", None), 1 if share is None else share(args))
    return int(module.run(args))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; print one sentence and return 2 for errors that the user can fix.

    Output that nobody reads ends no command: ``multifit train … | head`` trains to the end.
    """
    with losable_output() as (out, _):
        code = _guarded(sys.argv[1:] if argv is None else argv)
        out.flush()
        lost = out.lost
        if lost is not None and not isinstance(lost, BrokenPipeError):
            print(
                f"multifit: standard output could not be written ({lost.strerror or lost}): lines "
                "are missing from it",
                file=sys.stderr,
            )
            printed = any(word in PRINTED for word in (sys.argv if argv is None else argv)[:2])
            return code or (USER_ERROR if printed else 0)
    return code


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Return a warning for the user without the place in the source."""
    if category is UserWarning:
        return f"multifit: warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _guarded(argv: Sequence[str]) -> int:
    """Return the exit code of a command, and print the error that ended it."""
    before = warnings.formatwarning
    warnings.formatwarning = _one_line
    try:
        return run(argv)
    except MultifitError as exc:
        if is_verbose():
            import traceback

            traceback.print_exc()
        from ..console.words import printable

        print(printable(f"multifit: error: {exc}"), file=sys.stderr)
        return USER_ERROR
    except MemoryError as exc:
        more = f" ({exc})" if str(exc) else ""
        print(
            f"multifit: error: there is not enough memory{more}; use less data or a smaller model",
            file=sys.stderr,
        )
        return USER_ERROR
    except KeyboardInterrupt:
        print("multifit: interrupted", file=sys.stderr)
        return 130
    finally:
        warnings.formatwarning = before
