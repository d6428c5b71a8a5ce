"""The location of the files of a DeePMD system: a folder, or a group of an HDF5 file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final

from ._stored import Stored, open_npy, read_text, reading


class Folder(Protocol):
    """Something with the names of a DeePMD system inside."""

    @property
    def name(self) -> str:
        """Return its path as the user wrote it."""
        ...

    def sets(self) -> list[str]:
        """Return the names of the ``set.*`` folders, sorted."""
        ...

    def names(self, inner: str = "") -> frozenset[str]:
        """Return the names of all files in it, or in the set ``inner``."""
        ...

    def words(self, file: str) -> list[str]:
        """Return the words of a text file, without ``#`` comments."""
        ...

    def array(self, inner: str, file: str) -> Stored:
        """Return the array in a file of it, or of the set ``inner``."""
        ...


@final
@dataclass(frozen=True)
class DiskFolder:
    """A folder of ``.npy`` files."""

    name: str
    path: Path

    def sets(self) -> list[str]:
        """Return the names of the ``set.*`` folders, sorted."""
        found = [name for name in self.names() if name.startswith("set.")]
        return sorted(name for name in found if (self.path / name).is_dir())

    def names(self, inner: str = "") -> frozenset[str]:
        """Return the names of all files in it, or in the set ``inner``."""
        with reading(os.path.join(self.name, inner) if inner else self.name):
            return frozenset(os.listdir(self.path / inner))

    def words(self, file: str) -> list[str]:
        """Return the words of a text file, without ``#`` comments."""
        text = read_text(self.path / file, f"{self.name}/{file}")
        return [word for line in text.splitlines() for word in line.partition("#")[0].split()]

    def array(self, inner: str, file: str) -> Stored:
        """Return the array in a file of it, or of the set ``inner``."""
        place = f"{inner}/{file}" if inner else file
        return open_npy(self.path / place, f"{self.name}/{place}")
