"""The types of the atoms in a DeePMD system, and their first occurrences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import DataError
from ._contents import FrameSet
from ._folder import Folder
from ._shapes import read_rows
from ._stored import Array

#: Frames whose atom types are read at once; bounds the memory.
CHUNK = 4096


def type_raw(folder: Folder) -> Array:
    """Return the types (natoms,) in ``type.raw``."""
    where = f"{folder.name}/type.raw"
    words = folder.words("type.raw")
    if not words:
        raise DataError(f"{where} is empty; it must give the type of every atom as a number")
    types = np.empty(len(words), dtype=np.int64)
    for atom, word in enumerate(words):
        try:
            number = float(word)  # numpy.savetxt writes 1 as 1.0e+00
            types[atom] = int(number)
        except (ValueError, OverflowError):
            number = float("nan")
        if number != types[atom]:
            raise DataError(
                f"{where} says {word!r} for atom {atom}, but a type is an integer 0, 1, … "
                "(names belong into type_map.raw)"
            )
    return types


def read_types(each: FrameSet, rows: Array, natoms: int) -> Array:
    """Return the types of the atoms of some frames (n, natoms), checked to be integers ≥ −1."""
    stored = each.types
    if stored is None:
        raise TypeError(f"{each.where} is not of mixed_type")
    raw = read_rows(stored, rows, each.nframes, (natoms,))
    with np.errstate(invalid="ignore"):  # NaN becomes some integer, and differs from it
        types = raw.astype(np.int64)
    wrong = (types != raw) | (types < -1)
    if wrong.any():
        frame, atom = (int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{stored.where} says {raw[frame, atom]} for frame {int(rows[frame])}, atom {atom}, "
            "but a type is an integer 0, 1, … or −1 for no atom"
        )
    return types


def seen_in_system(name: str, types: Array) -> dict[int, str]:
    """Return the first occurrence of each type, in a system whose frames agree."""
    seen: dict[int, str] = {}
    for number, atom in zip(*np.unique(types, return_index=True), strict=True):
        seen[int(number)] = f"{name}/type.raw, atom {int(atom)}"
    if min(seen) < 0:
        raise DataError(f"{seen[min(seen)]} has type {min(seen)}; types are numbers 0, 1, …")
    return seen


def _chunks(nframes: int) -> Iterator[Array]:
    for start in range(0, nframes, CHUNK):
        yield np.arange(start, min(start + CHUNK, nframes))


def seen_in_frames(sets: Sequence[FrameSet], natoms: int) -> dict[int, str]:
    """Return the first occurrence of each type, in a ``mixed_type`` system."""
    seen: dict[int, str] = {}
    for each in sets:
        where = f"{each.where}/real_atom_types.npy"
        for rows in _chunks(each.nframes):
            types = read_types(each, rows, natoms)
            empty = np.flatnonzero((types < 0).all(axis=1))
            if empty.size:
                raise DataError(
                    f"{where} says −1 for every atom of frame {int(rows[empty[0]])}; "
                    "a frame needs at least one real atom"
                )
            for number, place in zip(*np.unique(types, return_index=True), strict=True):
                frame, atom = divmod(int(place), natoms)
                found = f"{where}, frame {int(rows[frame])}, atom {atom}"
                seen.setdefault(int(number), found)
    seen.pop(-1, None)
    return seen
