"""Systems of an LMDB file: frames of any sizes, elements and labels under one name.

A system has frames of one number of atoms and with the same labels, so a file has a system for
each combination. Its frames may differ in their elements, as those of a mixed_type system.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ._contents import Contents, FrameSet
from ._labels import FRAME, LABELS
from ._lmdb_frames import TYPES, Frames, decode, stamp, unpack
from ._lmdb_pages import Value, values
from ._stored import Array, Rows, Stored, open_regular, reading

#: Name of the value that describes the others.
_METADATA = b"__metadata__"

#: Format of the numbers of frames in their names.
_FORMAT = re.compile(r"(0\d{1,2})?d")

#: Most digits of such a number.
_DIGITS = 18


class _Kind(NamedTuple):
    """What the frames of a system share."""

    natoms: int
    periodic: bool
    labels: frozenset[tuple[str, int]]  #: with the size of the free axis


@dataclass(eq=False)
class _Group:
    """Frames of one kind."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    types: bytes = b""  #: of the first frame
    mixed: bool = False  #: True if frames differ in them, or have virtual atoms
    seen: dict[int, str] = field(default_factory=dict)

    def add(self, number: int, types: Array, where: str) -> None:
        """Add a frame with types (natoms,)."""
        self.numbers.append(number)
        raw = types.tobytes()
        self.types = self.types or raw
        self.mixed = self.mixed or raw != self.types or bool((types < 0).any())
        for own, atom in zip(*np.unique(types, return_index=True), strict=True):
            if int(own) not in self.seen:
                self.seen[int(own)] = f"{where}, atom {int(atom)}"


def is_lmdb(path: Path) -> bool:
    """Return True for a folder with ``data.mdb`` or a path that ends in ``.lmdb``."""
    return path.suffix == ".lmdb" or (path / "data.mdb").is_file()


def read_lmdb(name: str, path: Path) -> list[Contents]:
    """Return a system for each number of atoms and set of labels in a file.

    Every frame is looked at: the file itself does not say what its frames have.

    Parameters
    ----------
    name
        The path as the user wrote it.
    path
        The file, or its folder.

    Raises
    ------
    DataError
        If msgpack is missing, or the file cannot be understood.
    """
    if path.is_dir():
        path /= "data.mdb"
    frames, elements = _opened(path, name)
    groups: dict[_Kind, _Group] = {}
    with reading(name), frames.open() as file:
        for number in range(len(frames.places)):
            where = frames.named(number)
            arrays = decode(frames.raw(file, number), where)
            types = _types(arrays[TYPES], where)
            groups.setdefault(_kind(arrays, len(types), where), _Group()).add(number, types, where)
    return [
        _contents(_name(name, kind, groups), kind, group, frames, elements)
        for kind, group in sorted(groups.items(), key=lambda item: item[0].natoms)
    ]


def _opened(path: Path, name: str) -> tuple[Frames, tuple[str, ...] | None]:
    """Return the frames of a file, and its names of elements if there are any."""
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
    missing = np.flatnonzero(index[:nframes, 0] != np.arange(nframes))
    first = int(missing[0]) if missing.size else nframes - 1
    expected = format(first, layout)
    if missing.size or index[first, 3] != len(expected):
        raise DataError(
            f"{name} has no value {expected!r}, which would be frame {first} of the {nframes} that "
            "__metadata__ promises; copy or write it again"
        )
    frames = Frames(path, name, before, index[:nframes, 1].copy(), index[:nframes, 2].copy())
    return frames, _elements(metadata, name)


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


def _types(raw: Array, where: str) -> Array:
    """Return the types of the atoms of a frame (natoms,), checked to be integers ≥ −1."""
    with np.errstate(invalid="ignore"):
        types = raw.astype(np.int64)
    wrong = np.flatnonzero((types != raw) | (types < -1))
    if wrong.size:
        raise DataError(
            f"{where}: {TYPES} says {raw[wrong[0]]} for atom {int(wrong[0])}, but a type is an "
            "integer 0, 1, … or −1 for no atom"
        )
    if not (types >= 0).any():
        raise DataError(f"{where} has no atoms; a frame needs at least one")
    return types


def _kind(arrays: Mapping[str, Array], natoms: int, where: str) -> _Kind:
    """Return the kind of a frame, whose arrays must have the sizes of their labels."""
    labels = []
    for key, values_ in arrays.items():
        if key == TYPES:
            continue
        label = FRAME.get(key) or LABELS[key]
        size = label.frame_size(natoms)
        ndof, rest = divmod(values_.size, size)
        if rest or not (ndof if label.has_ndof else ndof == 1):
            many = f"a multiple of {size}" if label.has_ndof else str(size)
            raise DataError(
                f"{where}: {key} has {values_.size} numbers, but {many} are expected for {natoms} "
                f"atom{'s' * (natoms != 1)}"
            )
        labels.append((key, ndof))
    return _Kind(natoms, "cell" in arrays, frozenset(labels))


def _name(file: str, kind: _Kind, groups: Mapping[_Kind, _Group]) -> str:
    """Return the name of a system, with what sets it apart from the others of its file."""
    about = []
    if len({each.natoms for each in groups}) > 1:
        about.append(f"{kind.natoms} atoms")
    if len({each.periodic for each in groups}) > 1:
        about.append("periodic" if kind.periodic else "not periodic")
    known = set().union(*(each.labels for each in groups))
    sizes: dict[str, set[int]] = {}
    for key, ndof in known:
        sizes.setdefault(key, set()).add(ndof)
    own = dict(kind.labels)
    about += [f"{own[key]} {key}" for key in LABELS if key in own and len(sizes[key]) > 1]
    lacking = [key for key in LABELS if key in sizes and key not in own]
    about += [f"without {' and '.join(lacking)}"] if lacking else []
    return f"{file} ({', '.join(about)})" if about else file


def _contents(
    name: str, kind: _Kind, group: _Group, frames: Frames, elements: Sequence[str] | None
) -> Contents:
    numbers = np.array(group.numbers, dtype=np.int64)
    arrays, ndof = {}, {}
    for key, free in kind.labels:
        label = FRAME.get(key) or LABELS[key]
        shape = label.frame_shape(kind.natoms, free)
        arrays[key] = _stored(frames, numbers, key, shape, np.dtype(np.float64))
        if label.has_ndof:
            ndof[key] = free
    types = _stored(frames, numbers, TYPES, (kind.natoms,), np.dtype(np.int64))
    ordered = {key: arrays[key] for key in (*FRAME, *LABELS) if key in arrays}
    each = FrameSet(
        frames.where, len(numbers), ordered, types if group.mixed else None, numbers=numbers
    )
    group.seen.pop(-1, None)
    return Contents(
        name=name,
        types=np.frombuffer(group.types, dtype=np.int64),
        elements=None if elements is None else tuple(elements),
        seen=group.seen,
        sets=(each,),
        pbc=(kind.periodic,) * 3,
        mixed_type=group.mixed,
        ndof=ndof,
    )


def _stored(
    frames: Frames, numbers: Array, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Stored:
    read = partial(_read, frames, numbers, key, shape, dtype)
    return Stored(frames.where, (len(numbers), *shape), dtype, read)


def _read(
    frames: Frames,
    numbers: Array,
    key: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    rows: Rows,
) -> Array:
    chosen = numbers[rows]
    found: Array = np.empty((len(chosen), *shape), dtype=dtype)
    for place, number in enumerate(chosen.tolist()):
        found[place] = frames.arrays(number)[key].reshape(shape)
    return found
