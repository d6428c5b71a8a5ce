"""Arrays that stay on disk until some of their frames are needed."""

from __future__ import annotations

import itertools
import math
import os
import stat
import tokenize
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

#: Largest text file, such as ``type.raw``, in bytes: 8 million atoms, and 0.5 GB while it is read.
MAX_TEXT = 1 << 24


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


def open_regular(path: Path, where: str, buffering: int = -1) -> Any:
    """Return a file opened for reading bytes; one that may block, such as a pipe, is refused."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = open(os.open(path, flags), "rb", buffering)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise DataError(f"{where} is not a regular file; give a file on disk")
    return file


def read_text(path: Path, where: str) -> str:
    """Return the text of a small file."""
    with reading(where), open_regular(path, where) as file:
        content: bytes = file.read(MAX_TEXT + 1)
    if len(content) > MAX_TEXT:
        raise DataError(
            f"{where} has more than {MAX_TEXT >> 20} MiB; check that it is the right file"
        )
    try:
        return content.decode("utf-8-sig")  # without a byte-order mark, if there is one
    except UnicodeDecodeError as exc:
        raise DataError(f"{where} is not a text file in UTF-8 ({exc}); write it again") from exc


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
    with reading(where), open_regular(path, where) as file:
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
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            # Version 3 differs from 2 only in the encoding of field names, which plain arrays lack.
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        if min(shape, default=0) < 0:
            raise ValueError(f"its shape is {shape}")
    # NumPy parses the header as Python, with the exceptions of the parser.
    except (ValueError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as exc:
        raise DataError(
            f"{where} is not a complete .npy file ({exc}); write it again with numpy.save"
        ) from exc
    return shape, fortran, dtype


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
    # Opened anew each time: thousands of systems exceed the limit of open files. Never mapped:
    # touching a page beyond the end of a file that another process shrinks kills this one.
    with reading(where), open_regular(path, where, buffering=0) as file:
        now = os.fstat(file.fileno()).st_size
        if now != size:
            raise DataError(
                f"{where} changed while it was in use: it has {now} bytes now and had {size} when "
                "it was opened; restore it and start again"
            )
        if isinstance(rows, np.ndarray) and order == "C":
            return _read_rows(file, where, offset, shape, dtype, np.arange(shape[0])[rows])
        values: Array = np.empty(shape, dtype, order=order)
        _fill(file, where, offset, values.reshape(-1, order="A").data.cast("B"))
        return values if rows is ... else np.array(values[rows])


def _read_rows(
    file: FileIO, where: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], rows: Array
) -> Array:
    """Return some rows of an array in C order, consecutive ones at once."""
    size = dtype.itemsize * math.prod(shape[1:])
    found = bytearray(size * len(rows))
    into = memoryview(found)
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    edges = [0, *breaks.tolist(), len(rows)]
    for first, last in itertools.pairwise(edges):
        if first < last:
            place = offset + int(rows[first]) * size
            _fill(file, where, place, into[first * size : last * size])
    values: Array = np.ndarray((len(rows), *shape[1:]), dtype=dtype, buffer=found)
    return values


def _fill(file: FileIO, where: str, place: int, into: memoryview) -> None:
    """Read bytes from a place in a file, as many as there is room for."""
    file.seek(place)
    done = 0
    while done < len(into):
        count = file.readinto(into[done:])  # one call of the system reads 2 GB at most
        if not count:
            raise DataError(f"{where} ends too early; restore it and start again")
        done += count
