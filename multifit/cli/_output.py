"""Checks of output files before the work whose result they get."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError, FileFormatError


def add_force(parser: argparse.ArgumentParser) -> None:
    """Declare ``--force``."""
    parser.add_argument("--force", action="store_true", help="overwrite the output file")


def check_output(
    path: Path,
    option: str,
    inputs: Iterable[str | Path] = (),
    *,
    model: bool = False,
    replace: bool = True,
) -> None:
    """Raise unless a file can be written; nothing is left on the disk.

    Parameters
    ----------
    option
        The option that names it.
    inputs
        Files and folders that the command reads, which it must not replace; groups of HDF5 files
        follow ``#``.
    model
        True if it is a model, whose name must end in that of a format.
    replace
        True if it may replace another file.

    Raises
    ------
    DataError
        If it cannot be written, exists, or is an input.
    """
    from .. import files

    for given in inputs:
        source = str(given).partition("#")[0]
        if path.exists() and os.path.exists(source) and path.samefile(source):
            raise DataError(
                f"{path} is an input of the command, which {option} would replace; choose another "
                "name"
            )
    if path.exists() and not replace:
        raise DataError(f"{path} exists; choose another {option}, or add --force")
    try:
        if model:
            files.try_write(path, {})
        else:
            files.try_file(path)
    except FileFormatError as exc:
        raise DataError(f"{option}: {exc}") from exc
