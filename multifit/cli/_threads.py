"""The option ``--threads`` of commands that compute."""

from __future__ import annotations

import argparse

from ..host import threads


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--threads``."""
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads of the framework (default: $MULTIFIT_THREADS, else $OMP_NUM_THREADS, else "
        "one for each core that the process may use)",
    )


def positive(text: str) -> int:
    """Return an integer > 0 of the command line."""
    try:
        return threads.positive(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer > 0, not {text!r}") from None
