"""DeePMD systems inside an HDF5 file: groups for folders, datasets for files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np

from ..errors import DataError
from . import _hdf5_objects as objects
from ._stored import Array, Rows, Stored, check_numeric, reading


@contextmanager
def _opened(path: Path, where: str) -> Iterator[Any]:
    # Opened for each read (0.3 ms): an open handle would not survive a fork and would hide that
    # the file was replaced.
    import h5py

    with reading(where), h5py.File(path, "r") as file:
        try:
            yield file
        # h5py's exception depends on the layer that detects the damage.
        except (KeyError, RuntimeError, TypeError, ArithmeticError) as exc:
            raise DataError(
                f"{where} is damaged (HDF5 says: {exc}); restore it and start again"
            ) from exc


def is_hdf5(path: Path) -> bool:
    """Return True if the file starts with the signature of HDF5."""
    import h5py

    return bool(h5py.is_hdf5(path))


def find_groups(path: Path, group: str, where: str) -> list[str]:
    """Return the groups at or below ``group`` that hold a ``type.raw``, sorted, the top one last.

    Parameters
    ----------
    path
        An HDF5 file.
    group
        Group to search, such as ``"/"``.
    where
        The same for messages.
    """
    import h5py

    top = "/" + group.strip("/")
    with _opened(path, where) as file:
        root = objects.find(file, top)
        if not isinstance(root, h5py.Group):
            raise DataError(f"{where}: there is no group {top!r} in this HDF5 file")
        found: list[str] = []
        root.visit(found.append)  # along hard links only
        inner = sorted(name for name in found if name.endswith("/type.raw"))
        here = [top] if "type.raw" in root else []
    return [f"{top.rstrip('/')}/{name.removesuffix('/type.raw')}" for name in inner] + here


@final
@dataclass(frozen=True)
class HdfFolder:
    """A group of an HDF5 file."""

    name: str
    path: Path
    group: str

    def sets(self) -> list[str]:
        """Return the names of the ``set.*`` groups, sorted."""
        import h5py

        with _opened(self.path, self.name) as file:
            names = [name for name in self._group(file) if name.startswith("set.")]
            found = {name: objects.find(file, f"{self.group}/{name}") for name in names}
        return sorted(name for name, each in found.items() if isinstance(each, h5py.Group))

    def names(self, inner: str = "") -> frozenset[str]:
        """Return the names of all datasets in it, or in the set ``inner``."""
        with _opened(self.path, self.name) as file:
            return frozenset(self._group(file, inner))

    def _group(self, file: Any, inner: str = "") -> Any:
        import h5py

        found = objects.find(file, f"{self.group}/{inner}")
        if not isinstance(found, h5py.Group):
            where = f"{self.name}/{inner}" if inner else self.name
            raise DataError(f"{where} is missing; restore it and start again")
        return found

    def words(self, file: str) -> list[str]:
        """Return the entries of a dataset of numbers or strings as text."""
        where = f"{self.name}/{file}"
        with _opened(self.path, where) as opened:
            texts = objects.text(opened, f"{self.group}/{file}", where)
        return [word for text in texts for word in text.split()]

    def array(self, inner: str, file: str) -> Stored:
        """Return the array in a dataset of it, or of the set ``inner``."""
        place = f"{inner}/{file}" if inner else file
        where, address = f"{self.name}/{place}", f"{self.group}/{place}"
        with _opened(self.path, where) as opened:
            dataset = objects.dataset(opened, address, where)
            check_numeric(where, dataset.dtype)
            shape = tuple(int(n) for n in dataset.shape)
            return Stored(where, shape, dataset.dtype, partial(_read, self.path, where, address))


def _read(path: Path, where: str, address: str, rows: Rows) -> Array:
    with _opened(path, where) as file:
        dataset = objects.dataset(file, address, where)
        if not isinstance(rows, np.ndarray):
            return np.array(dataset[...])
        # HDF5 takes only increasing, distinct rows.
        distinct, back = np.unique(rows, return_inverse=True)
        return np.array(dataset[distinct])[back]
