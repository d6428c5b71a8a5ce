"""Surveys of earlier runs, in the user's cache folder: one small file for each system.

The names of the files are hashes of the data themselves, as names and times of data files say
nothing once these are moved, copied or corrected. Reading is a hundred times faster than the search
for neighbours.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import files
from ..data import System, add_arrays
from ..errors import FileFormatError

if TYPE_CHECKING:
    from .scan import Scope

#: Changes with the meaning of the stored arrays.
VERSION = 3

#: Files kept; the oldest are removed.
FILES = 500

#: Values hashed at once.
VALUES = 1 << 22


def default_folder() -> Path:
    """Return the folder of the user's cache for surveys."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "multifit" / "surveys"


class Cache:
    """A folder with surveys.

    Parameters
    ----------
    folder
        By default the user's cache folder.

    Attributes
    ----------
    problem
        Why a survey was not kept; empty if nothing failed.
    reused
        Number of surveys that were found.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        self.problem = ""
        self.reused = 0

    def key(self, system: System, scope: Scope, frames: np.ndarray) -> str:
        """Return a hash of everything that the survey of a system depends on."""
        digest = hashlib.blake2b(digest_size=16)
        keys = sorted({*scope.labels, *["aparam"] * scope.masked} & system.labels)
        digest.update(
            repr((VERSION, scope, keys, system.type_map, system.natoms, system.pbc)).encode()
        )
        # Types of all frames are equal unless mixed.
        step = max(1, VALUES // max(3 * system.natoms, 1))
        for start in range(0, len(frames), step):
            some = frames[start : start + step]
            types = system.atype(some if system.mixed_type else some[:1])
            add_arrays(digest, [("types", types), *sorted(system.load(some, keys).items())])
        return digest.hexdigest()

    def read(self, key: str) -> dict[str, np.ndarray] | None:
        """Return the arrays of a survey, or None if it is not there."""
        path = self._path(key)
        try:
            found = files.read(path)["@variables"] if path.is_file() else None
        except (FileFormatError, OSError, KeyError):
            return None  # damaged: it is made and written again
        if found is None:
            return None
        self.reused += 1
        return dict(found)

    def write(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of a survey; a failure is noted in ``problem``."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files.write(self._path(key), {"software": "multifit", "@variables": dict(arrays)})
            self._prune()
        except (OSError, FileFormatError) as exc:
            self.problem = f"the survey of the data is not kept for the next run: {exc}"

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.h5"

    def _prune(self) -> None:
        """Remove the oldest files beyond the number to keep."""
        known = sorted(self.folder.glob("*.h5"), key=lambda path: path.stat().st_mtime)
        for path in known[:-FILES]:
            path.unlink(missing_ok=True)
