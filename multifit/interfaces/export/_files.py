"""Output files and folders: refused if they exist, and complete or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import FileFormatError
from ...files import try_file
from ...files._atomic import write_atomically

#: Name of the description in a folder; a folder with it may be replaced.
ABOUT = "multifit.json"


def require_other(target: Path, model: str | Path) -> None:
    """Raise FileFormatError if an output would replace the model that it is made from."""
    if target.exists() and Path(model).exists() and target.samefile(model):
        raise FileFormatError(f"{target} is the model itself; choose another name")


def require_free(target: Path, folder: bool, force: bool) -> None:
    """Raise FileFormatError unless an output may be written to this path."""
    if not target.parent.is_dir():
        raise FileFormatError(
            f"{target} cannot be written: {target.parent} is not a folder; create it first"
        )
    try_file(target.with_name(f".{target.name}"))  # a folder may be there
    if not target.exists():
        return
    if not force:
        raise FileFormatError(f"{target} exists; choose another name, or add --force")
    if folder != target.is_dir():
        kinds = ("a file", "a folder")
        raise FileFormatError(
            f"{target} is {kinds[not folder]}, but this format is {kinds[folder]}; choose another "
            "name"
        )
    if folder and not (target / ABOUT).is_file():
        raise FileFormatError(
            f"{target} is a folder that multifit export did not write, so it is not replaced; "
            "choose another name"
        )


def _replace(new: Path, target: Path, old: Path) -> None:
    """Put a file or a folder in the place of another; that stays if it cannot be done."""
    if not target.is_dir():
        os.replace(new, target)
        return
    # A folder that is not empty cannot be replaced in one step; both renames are on one disk.
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise


@contextmanager
def place(target: Path, folder: bool, about: str) -> Iterator[Path]:
    """Yield a temporary path to write to, which becomes the target if nothing is raised.

    Parameters
    ----------
    about
        The description, written to the folder, or to a file beside the target.

    Raises
    ------
    FileFormatError
        If the file system refuses.
    """
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            temporary = Path(scratch) / target.name
            yield temporary
            if folder:
                (temporary / ABOUT).write_text(about, encoding="utf-8")
            _replace(temporary, target, Path(scratch) / "old")
        if not folder:
            write_atomically(target.with_name(target.name + ".json"), about.encode())
    except OSError as exc:
        raise FileFormatError(
            f"{target} could not be written ({exc.strerror or exc}); check the free space and the "
            "permissions of its folder"
        ) from exc
