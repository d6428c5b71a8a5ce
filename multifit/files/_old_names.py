"""Names for files that a run puts aside: they end in ``.old``, and no older file is replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

#: Added to names; further files of one name get ``.old2``, ``.old3`` and so on.
OLD = ".old"


def old_name(path: Path, fits: Callable[[Path], bool] = lambda path: False) -> Path:
    """Return the first free name for a file that is put aside.

    Parameters
    ----------
    fits
        Tells if an existing file can take the content as well.
    """
    old, number = path.with_name(path.name + OLD), 1
    while old.exists() and not fits(old):
        number += 1
        old = path.with_name(f"{path.name}{OLD}{number}")
    return old
