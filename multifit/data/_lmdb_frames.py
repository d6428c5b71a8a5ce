"""One frame of an LMDB file: a map of names to arrays in msgpack, as DeePMD-kit writes it."""

from __future__ import annotations

import math
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..errors import DataError
from ._labels import FRAME, LABELS
from ._stored import Array, open_regular, reading

#: Names of DeePMD-kit's own in these files → those of ``.npy`` files.
_RENAMED = {
    "coords": "coord",
    "cells": "box",
    "energies": "energy",
    "forces": "force",
    "virials": "virial",
}

#: Name of the types of atoms.
TYPES = "atom_types"

#: Name of an array → its key here.
_KEYS = {stem: key for key, label in (FRAME | LABELS).items() for stem in label.files}

#: Names of types of plain numbers; anything else is not decoded.
_NUMBERS = re.compile(r"(float(16|32|64)|u?int(8|16|32|64)|bool|[<>|=]?([fiu][1248]|b1|\?))")

#: Bytes of frames that are kept decoded: their arrays are asked for one after the other.
_KEPT = 64 * 1024**2


def unpack(raw: bytes, where: str) -> dict[Any, Any]:
    """Return the map that a value of the file holds; nothing in it is executed.

    Raises
    ------
    DataError
        If msgpack is missing, or the value holds something else.
    """
    try:
        import msgpack
    except ImportError as exc:
        raise DataError(
            f"{where}: reading it needs msgpack, which is not installed; install it with: "
            'pip install "multifit[lmdb]"'
        ) from exc
    try:
        found = msgpack.unpackb(raw, raw=False, strict_map_key=False)
    # Besides its own errors: texts that are not UTF-8, keys that cannot be keys, depth.
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as exc:
        raise DataError(
            f"{where} is not a map in msgpack ({exc or type(exc).__name__}); write it again"
        ) from exc
    if not isinstance(found, dict):
        raise DataError(f"{where} holds a {type(found).__name__}, but must hold a map")
    return found


def decode(raw: bytes, where: str) -> dict[str, Array]:
    """Return the arrays of a frame under our keys, and its types under :data:`TYPES`.

    A label whose ``find_`` is 0 is left out, and so is a cell of zeros: there is none.
    """
    frame = unpack(raw, where)
    found: dict[str, Array] = {}
    for given, value in frame.items():
        name = str(given)
        stem = _RENAMED.get(name, name)
        key = TYPES if stem in (TYPES, "atype") else _KEYS.get(stem)
        if key is not None:
            flag = frame.get(f"find_{stem}")
            if flag is None or _array(flag, f"{where}: find_{stem}").any():
                found[key] = _array(value, f"{where}: {name}")
    if "cell" in found and not found["cell"].any():
        del found["cell"]
    for key, name in ((TYPES, TYPES), ("coord", "coords")):
        if key not in found:
            raise DataError(f"{where} has no {name}, which every frame needs")
    found[TYPES] = found[TYPES].reshape(-1)
    return found


def _array(value: Any, where: str) -> Array:
    """Return an encoded array, or a plain number."""
    if isinstance(value, bool | int | float):
        return np.asarray(value, dtype=np.float64)
    parts = {str(_text(k)): v for k, v in value.items()} if isinstance(value, dict) else {}
    name, data = _text(parts.get("type")), parts.get("data")
    if not (isinstance(name, str) and isinstance(data, bytes)):
        raise DataError(f"{where} is neither an array of numbers nor a number; write it again")
    if not _NUMBERS.fullmatch(name):
        raise DataError(
            f"{where} holds values of type {name[:40]!r}, but real numbers are expected"
        )
    dtype = np.dtype(name)
    shape = parts.get("shape", [len(data) // dtype.itemsize])
    if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        raise DataError(f"{where} has the shape {str(shape)[:60]}, but must have a list of sizes")
    if len(shape) > 8 or math.prod(shape) * dtype.itemsize != len(data):
        raise DataError(
            f"{where} has {len(data)} bytes, which do not fill the shape {str(tuple(shape))[:60]} "
            f"of {name} that it says; write it again"
        )
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _text(value: Any) -> Any:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames of a file, of which one at a time is read and decoded.

    Attributes
    ----------
    path
        The file ``data.mdb``.
    where
        The path as the user wrote it, for messages.
    stamp
        What :func:`stamp` said when it was opened.
    places, sizes
        Where each frame lies in the file, in bytes (nframes,).
    """

    path: Path
    where: str
    stamp: tuple[int, int]
    places: Array
    sizes: Array

    def named(self, number: int) -> str:
        """Return the name of a frame in messages."""
        return f"{self.where}, frame {number}"

    def raw(self, file: Any, number: int) -> bytes:
        """Return the bytes of a frame."""
        size = int(self.sizes[number])
        file.seek(int(self.places[number]))
        found: bytes = file.read(size)
        if len(found) < size:
            raise DataError(f"{self.named(number)} ends too early; restore the file")
        return found

    def open(self) -> Any:
        """Return the file, opened anew: it does not depend on forks."""
        with reading(self.where):
            file = open_regular(self.path, self.where)
        if stamp(file) != self.stamp:
            file.close()
            raise DataError(
                f"{self.where} changed while it was in use; let its writer finish and start again"
            )
        return file

    def arrays(self, number: int) -> Mapping[str, Array]:
        """Return the arrays of a frame, decoded."""
        found = _decoded.get(self, number)
        if found is None:
            with reading(self.where), self.open() as file:
                raw = self.raw(file, number)
            found = decode(raw, self.named(number))
            _decoded.put(self, number, found)
        return found


class _Decoded:
    """The frames that were decoded last, of all files together."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[Frames, int], Mapping[str, Array]] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    def get(self, frames: Frames, number: int) -> Mapping[str, Array] | None:
        """Return the arrays of a frame, or None."""
        with self._lock:
            found = self._found.get((frames, number))
            if found is not None:
                self._found.move_to_end((frames, number))
            return found

    def put(self, frames: Frames, number: int, arrays: Mapping[str, Array]) -> None:
        """Keep the arrays of a frame, and fewer of others."""
        with self._lock:
            if (frames, number) not in self._found:
                self._nbytes += int(frames.sizes[number])
            self._found[frames, number] = arrays
            while self._nbytes > _KEPT:
                (other, k), _ = self._found.popitem(last=False)
                self._nbytes -= int(other.sizes[k])


_decoded = _Decoded()


def stamp(file: Any) -> tuple[int, int]:
    """Return what changes when a file is written to."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns
