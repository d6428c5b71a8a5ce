"""An LMDB file as a whole: how many frames it has, where they lie and what it says about them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ._lmdb_frames import Frames, stamp, unpack
from ._lmdb_pages import Value, values
from ._stored import Array, open_regular, reading

#: Name of the value that describes the others.
_METADATA = b"__metadata__"

#: Format of the numbers of frames in their names.
_FORMAT = re.compile(r"(0\d{1,2})?d")

#: Most digits of such a number.
_DIGITS = 18


class Opened(NamedTuple):
    """An LMDB file, of which only the description has been read."""

    frames: Frames
    elements: tuple[str, ...] | None
    system_ids: Array | None  #: number of the system that each frame comes from (nframes,)


def open_frames(path: Path, name: str) -> Opened:
    """Return the frames of a file and what it says about them.

    Parameters
    ----------
    path
        The file ``data.mdb``.
    name
        The path as the user wrote it.

    Raises
    ------
    DataError
        If the file is damaged, or is not what DeePMD-kit writes.
    """
    with reading(name), open_regular(path, name) as file:
        before = stamp(file)
    index, described = _index(path, name)
    with reading(name), open_regular(path, name) as file:
        file.seek(described.place)
        metadata = unpack(file.read(described.size), f"{name}, __metadata__")
    nframes, layout = metadata.get("nframes"), metadata.get("frame_idx_fmt", "012d")
    if type(nframes) is not int or not 0 < nframes <= len(index):
        raise DataError(
            f"{name}, __metadata__ says that there are {str(nframes)[:20]} frames, but the file "
            f"has {len(index)} numbered values"
        )
    if not (isinstance(layout, str) and _FORMAT.fullmatch(layout)):
        raise DataError(
            f"{name}, __metadata__ has the frame_idx_fmt {str(layout)[:20]!r}, but must have a "
            "format of integers such as 012d"
        )
    numbers = np.arange(nframes)
    digits = 1 + np.searchsorted(10 ** np.arange(1, _DIGITS), numbers, side="right")
    lengths = np.maximum(digits, int(layout[:-1] or 0))
    missing = np.flatnonzero((index[:nframes, 0] != numbers) | (index[:nframes, 3] != lengths))
    if missing.size:
        first = int(missing[0])
        raise DataError(
            f"{name} has no value {format(first, layout)!r}, which would be frame {first} of the "
            f"{nframes} that __metadata__ promises; copy or write it again"
        )
    frames = Frames(path, name, before, index[:nframes, 1].copy(), index[:nframes, 2].copy())
    return Opened(frames, _elements(metadata, name), _system_ids(metadata, nframes, name))


def _index(path: Path, name: str) -> tuple[Array, Value]:
    """Return the frames of a file by their numbers, and the value that describes them.

    Returns
    -------
    index
        Number, place, size and length of the name of each (n, 4).
    described
        The value ``__metadata__``.
    """
    found, described = array("q"), None
    for value in values(path, name):
        if value.name == _METADATA:
            described = value
        elif value.name.isdigit() and len(value.name) <= _DIGITS:
            found.extend((int(value.name), value.place, value.size, len(value.name)))
    if described is None:
        raise DataError(f"{name} has no __metadata__: it is no LMDB file of DeePMD-kit's frames")
    index = np.array(found, dtype=np.int64).reshape(-1, 4)
    return index[np.argsort(index[:, 0], kind="stable")], described


def _elements(metadata: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    names = metadata.get("type_map")
    if names is None:
        return None
    if not (isinstance(names, list) and names and all(isinstance(each, str) for each in names)):
        raise DataError(f"{name}, __metadata__ has a type_map that is no list of names of elements")
    return tuple(names)


def _system_ids(metadata: Mapping[str, Any], nframes: int, name: str) -> Array | None:
    ids = metadata.get("frame_system_ids")
    if ids is None:
        return None
    good = isinstance(ids, list) and len(ids) == nframes
    if not good or any(type(each) is not int or not 0 <= each < 2**31 for each in ids):
        raise DataError(
            f"{name}, __metadata__ has frame_system_ids that are not {nframes} integers, one for "
            "each frame"
        )
    return np.array(ids, dtype=np.int64)
