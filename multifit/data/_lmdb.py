"""Systems of an LMDB file: frames of any sizes, elements and labels under one name.

A system has frames of one number of atoms and with the same labels, so a file has a system for
each combination. Its frames may differ in their elements, as those of a mixed_type system. With
:attr:`Grouping.mix` numbers of atoms may differ a little, and virtual atoms fill up the others.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, DataError
from ._blocks import ranges
from ._contents import Contents, FrameSet
from ._labels import FRAME, LABELS, Label
from ._lmdb_frames import TYPES, Frames, decode
from ._lmdb_open import Opened, open_frames
from ._stored import Array, Rows, Stored, reading

_TYPES = Label(TYPES, (TYPES,), ("natoms",))


#: Largest number of atoms in a system of mixed sizes, over the smallest.
SPREAD = 1.25


@dataclass(frozen=True)
class Grouping:
    """How the frames of a file are arranged in systems.

    Attributes
    ----------
    mix
        True if frames of similar numbers of atoms share a system (batch size ``mix:N``).
    auto_prob
        Rule whose blocks are ranges of the numbers in ``frame_system_ids``: frames of different
        blocks are in different systems.
    """

    mix: bool = False
    auto_prob: str = ""

    @property
    def has_blocks(self) -> bool:
        """True if frames are drawn by the system that they come from."""
        return ";" in self.auto_prob


class _Kind(NamedTuple):
    """What the frames of a system share."""

    natoms: int  #: or the most that a system of mixed sizes may have
    block: int | None
    periodic: bool
    labels: frozenset[tuple[str, int]]  #: with the size of the free axis


@dataclass(eq=False)
class _Group:
    """Frames of one kind."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    natoms: int = 0  #: of the largest frame
    least: int = 1 << 62  #: of the smallest frame
    types: bytes = b""  #: of the first frame
    mixed: bool = False  #: True if frames differ in them, or have virtual atoms
    seen: dict[int, str] = field(default_factory=dict)

    def add(self, number: int, types: Array, where: str) -> None:
        """Add a frame with types (natoms,)."""
        self.numbers.append(number)
        raw = types.tobytes()
        self.natoms, self.least = max(self.natoms, len(types)), min(self.least, len(types))
        self.types = self.types or raw
        self.mixed = self.mixed or raw != self.types or bool((types < 0).any())
        for own, atom in zip(*np.unique(types, return_index=True), strict=True):
            if int(own) not in self.seen:
                self.seen[int(own)] = f"{where}, atom {int(atom)}"


def is_lmdb(path: Path) -> bool:
    """Return True for a folder with ``data.mdb`` or a path that ends in ``.lmdb``."""
    return path.suffix == ".lmdb" or (path / "data.mdb").is_file()


def read_lmdb(name: str, path: Path, grouping: Grouping) -> list[Contents]:
    """Return a system for each number of atoms and set of labels in a file.

    Every frame is looked at: the file itself does not say what its frames have.

    Parameters
    ----------
    name
        The path as the user wrote it.
    path
        The file, or its folder.
    grouping
        Whether frames of other sizes share a system, and which may not.

    Raises
    ------
    DataError
        If msgpack is missing, or the file cannot be understood.
    ConfigError
        If the blocks do not fit the file.
    """
    if path.is_dir():
        path /= "data.mdb"
    opened = open_frames(path, name)
    frames, blocks = opened.frames, _blocks(opened, grouping)
    groups: dict[_Kind, _Group] = {}
    with reading(name), frames.open() as file:
        for number in range(len(frames.places)):
            where = frames.named(number)
            arrays = decode(frames.raw(file, number), where)
            types = _types(arrays[TYPES], where)
            kind = _kind(arrays, len(types), where)
            if grouping.mix and not any(key == "hessian" for key, _ in kind.labels):
                kind = kind._replace(natoms=_at_most(kind.natoms))
            kind = kind._replace(block=None if blocks is None else int(blocks[number]))
            groups.setdefault(kind, _Group()).add(number, types, where)
    ordered = sorted(groups.items(), key=lambda item: (item[0].natoms, item[0].block or 0))
    return [_contents(_name(name, kind, groups), kind, group, opened) for kind, group in ordered]


def _at_most(natoms: int) -> int:
    """Return the most atoms of the frames that share a system with one of so many."""
    most = 1
    while most < natoms:
        most = max(most + 1, int(SPREAD * (most + 1)))
    return most


def _blocks(opened: Opened, grouping: Grouping) -> Array | None:
    """Return the block of each frame (nframes,), −1 for none; None if there are no blocks."""
    if not grouping.has_blocks:
        return None
    ids, name = opened.system_ids, opened.frames.where
    if ids is None:
        raise ConfigError(
            f"auto_prob has blocks, but {name} has no frame_system_ids in its __metadata__; leave "
            "the blocks out"
        )
    known, found = int(ids.max()) + 1, np.full(len(ids), -1, dtype=np.int64)
    for block, (start, end, _) in enumerate(ranges(grouping.auto_prob)):
        if end > known:
            raise ConfigError(
                f"block {start}:{end} of auto_prob does not fit: the frame_system_ids of {name} "
                f"are 0 to {known - 1}"
            )
        found[(ids >= start) & (ids < end)] = block
    return found


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
    return _Kind(natoms, None, "cell" in arrays, frozenset(labels))


def _name(file: str, kind: _Kind, groups: Mapping[_Kind, _Group]) -> str:
    """Return the name of a system, with what sets it apart from the others of its file."""
    about = []
    if len({each.natoms for each in groups}) > 1:
        least, most = groups[kind].least, groups[kind].natoms
        about.append(f"{least} to {most} atoms" if least < most else f"{most} atoms")
    if kind.block is not None:
        about.append("in no block" if kind.block < 0 else f"block {kind.block}")
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


def _contents(name: str, kind: _Kind, group: _Group, opened: Opened) -> Contents:
    """Return a system, whose arrays stay in the file."""
    frames, natoms = opened.frames, group.natoms
    numbers = np.array(group.numbers, dtype=np.int64)
    ndof = dict(kind.labels)
    arrays = {
        key: _stored(frames, numbers, natoms, label, ndof[key])
        for key, label in (FRAME | LABELS).items()
        if key in ndof
    }
    types = _stored(frames, numbers, natoms, _TYPES, 1)
    group.seen.pop(-1, None)
    given = FrameSet(
        frames.where, len(numbers), arrays, types if group.mixed else None, numbers=numbers
    )
    return Contents(
        name=name,
        types=np.zeros(natoms, np.int64) if group.mixed else np.frombuffer(group.types, np.int64),
        elements=opened.elements,
        seen=group.seen,
        sets=(given,),
        pbc=(kind.periodic,) * 3,
        mixed_type=group.mixed,
        ndof={key: free for key, free in ndof.items() if key in LABELS and LABELS[key].has_ndof},
        block=kind.block,
    )


def _stored(frames: Frames, numbers: Array, natoms: int, label: Label, ndof: int) -> Stored:
    shape = (len(numbers), *label.frame_shape(natoms, ndof))
    dtype = np.dtype(np.int64 if label is _TYPES else np.float64)
    read = partial(_read, frames, numbers, natoms, label, ndof, dtype)
    return Stored(frames.where, shape, dtype, read)


def _read(
    frames: Frames,
    numbers: Array,
    natoms: int,
    label: Label,
    ndof: int,
    dtype: np.dtype[Any],
    rows: Rows,
) -> Array:
    """Return an array of some frames, filled up to the largest of its system."""
    chosen = numbers[rows]
    shape = (len(chosen), *label.frame_shape(natoms, ndof))
    found: Array = np.full(shape, -1 if label is _TYPES else 0, dtype=dtype)
    for place, number in enumerate(chosen.tolist()):
        arrays = frames.arrays(number)
        own = label.frame_shape(arrays[TYPES].size, ndof)
        found[place, ...][tuple(slice(size) for size in own)] = arrays[label.key].reshape(own)
    return found
