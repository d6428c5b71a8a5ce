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
from ._stored import Array, Rows, Stored, check_numeric, reading


@contextmanager
def _opened(path: Path, where: str) -> Iterator[Any]:
    # Opened for each read (0.3 ms): an open handle would not survive a fork and would hide that
    # the file was replaced.
    import h5py

    with reading(where), h5py.File(path, "r") as file:
        yield file


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
        if not isinstance(file.get(top), h5py.Group):
            raise DataError(f"{where}: there is no group {top!r} in this HDF5 file")
        found: list[str] = []
        file[top].visit(found.append)
        inner = sorted(name for name in found if name.endswith("/type.raw"))
        here = [top] if "type.raw" in file[top] else []
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
            group = file[self.group]
            return sorted(
                name
                for name in group
                if name.startswith("set.") and isinstance(group.get(name), h5py.Group)
            )

    def names(self, inner: str = "") -> frozenset[str]:
        """Return the names of all datasets in it, or in the set ``inner``."""
        with _opened(self.path, self.name) as file:
            group = file[self.group]
            return frozenset(group[inner] if inner else group)

    def words(self, file: str) -> list[str]:
        """Return the entries of a dataset of numbers or strings as text."""
        where = f"{self.name}/{file}"
        with _opened(self.path, where) as opened:
            values = np.ravel(opened[f"{self.group}/{file}"][()])
        texts = [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]
        return [word for text in texts for word in text.split()]

    def array(self, inner: str, file: str) -> Stored:
        """Return the array in a dataset of it, or of the set ``inner``."""
        import h5py

        place = f"{inner}/{file}" if inner else file
        where = f"{self.name}/{place}"
        address = f"{self.group}/{place}"
        with _opened(self.path, where) as opened:
            dataset = opened[address]
            if not isinstance(dataset, h5py.Dataset):
                raise DataError(f"{where} is a group, but a dataset with numbers is expected")
            check_numeric(where, dataset.dtype)
            shape = tuple(int(n) for n in dataset.shape)
            return Stored(where, shape, dataset.dtype, partial(_read, self.path, where, address))


def _read(path: Path, where: str, address: str, rows: Rows) -> Array:
    with _opened(path, where) as file:
        dataset = file.get(address)
        if dataset is None:
            raise DataError(f"{where} disappeared while it was in use; restore it and start again")
        if not isinstance(rows, np.ndarray):
            return np.array(dataset[...])
        # HDF5 takes only increasing, distinct rows.
        distinct, back = np.unique(rows, return_inverse=True)
        return np.array(dataset[distinct])[back]
