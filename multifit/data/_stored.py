"""Arrays that stay on disk until some of their frames are needed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from types import EllipsisType
from typing import Any, BinaryIO

import numpy as np

from ..errors import DataError

Array = np.ndarray[Any, Any]
Rows = Array | EllipsisType  #: indices along the first axis, or everything

#: Rows that are read one by one.
FEW = 64


@dataclass(frozen=True)
class Stored:
    """An array on disk (or in memory) with access to single frames.

    Attributes
    ----------
    where
        Its path as the user wrote it, for messages.
    shape, dtype
        Its declared shape.
    read
        Function of rows (indices along the first axis, or ``...``) that returns a copy of them.
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Rows], Array]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn an operating-system error inside the block into a :class:`DataError` about ``where``."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise DataError(
            f"{where} cannot be read ({reason}); check that it exists, is complete and that you "
            "may read it"
        ) from exc


def check_numeric(where: str, dtype: np.dtype[Any]) -> None:
    """Raise :class:`DataError` unless the dtype is a real number's."""
    if dtype.hasobject:
        raise DataError(
            f"{where} holds pickled Python objects, which are never loaded; "
            "save a plain array of numbers with numpy.save"
        )
    if dtype.kind not in "fiub":
        raise DataError(f"{where} holds values of type {dtype}, but real numbers are expected")


def in_memory(where: str, values: Array) -> Stored:
    """Return a :class:`Stored` of an array that is in memory already."""
    return Stored(where, values.shape, values.dtype, partial(_rows, values))


def _rows(values: Array, rows: Rows) -> Array:
    return np.array(values[rows])


def open_npy(path: Path, where: str) -> Stored:
    """Return a :class:`Stored` of an ``.npy`` file, of which only the header is read now.

    Parameters
    ----------
    path
        The file.
    where
        The same path for messages.

    Raises
    ------
    DataError
        If the file is not an ``.npy`` file, is truncated, or holds something other than numbers.
    """
    with reading(where), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        shape, fortran, dtype = _header(file, where)
        offset = file.tell()
    check_numeric(where, dtype)
    promised = offset + math.prod(shape) * dtype.itemsize
    if size < promised:
        raise DataError(
            f"{where} is truncated: its header promises {promised} bytes, but there are {size}; "
            "copy or write it again"
        )
    order = "F" if fortran else "C"
    return Stored(
        where, shape, dtype, partial(_read, path, where, size, offset, shape, dtype, order)
    )


def _header(file: BinaryIO, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        # Version 3 differs from 2 only in the encoding of field names, which plain arrays lack.
        return np.lib.format.read_array_header_2_0(file)
    except ValueError as exc:
        raise DataError(
            f"{where} is not a complete .npy file ({exc}); write it again with numpy.save"
        ) from exc


def _read(
    path: Path,
    where: str,
    size: int,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    order: Any,
    rows: Rows,
) -> Array:
    # Opened anew each time: thousands of systems exceed the limit of open files. Touching a page
    # beyond the end of a shrunken file that is mapped kills the process, hence the size.
    with reading(where), path.open("rb", buffering=0) as file:
        now = os.fstat(file.fileno()).st_size
        if now != size:
            raise DataError(
                f"{where} changed while it was in use: it has {now} bytes now and had {size} when "
                "it was opened; restore it and start again"
            )
        if order == "C" and isinstance(rows, np.ndarray) and rows.size <= FEW:
            return _seek(file, where, offset, shape, dtype, np.arange(shape[0])[rows])
        mapped = np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
        return np.array(np.asarray(mapped)[rows])


def _seek(
    file: FileIO, where: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], rows: Array
) -> Array:
    """Return a few rows of an array in C order, which is faster than to map the file for them."""
    size = dtype.itemsize * math.prod(shape[1:])
    found = bytearray(size * len(rows))
    into = memoryview(found)
    for place, row in enumerate(rows):
        file.seek(offset + int(row) * size)
        if file.readinto(into[place * size : (place + 1) * size]) != size:
            raise DataError(f"{where} ends before row {row}; restore it and start again")
    values: Array = np.ndarray((len(rows), *shape[1:]), dtype=dtype, buffer=found)
    return values
