"""The contents of a system, with its own numbering of the elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ._stored import Array, Stored


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Frames that are stored together.

    Attributes
    ----------
    where
        Path of the set folder, or of the file, for messages.
    nframes
        Number of frames.
    arrays
        ``coord``, ``cell`` and labels.
    types
        Types of the atoms of each frame (nframes, natoms), for ``mixed_type`` only.
    numbers
        Number of each frame in its file (nframes,), where that is not 0, 1, ….
    """

    where: str
    nframes: int
    arrays: Mapping[str, Stored]
    types: Stored | None = None
    numbers: Array | None = None


@dataclass(frozen=True, eq=False)
class Contents:
    """A system before its elements are numbered as in the model.

    Attributes
    ----------
    name
        Path as the user wrote it.
    types
        Types in the system's own numbering (natoms,).
    elements
        Names of these types, if known.
    seen
        For each type that occurs: its first occurrence.
    sets, pbc, mixed_type, ndof, energies, unread, block
        See :class:`multifit.data.System`.
    source
        Where the names come from, for messages; empty for ``type_map.raw``.
    """

    name: str
    types: Array
    elements: tuple[str, ...] | None
    seen: Mapping[int, str]
    sets: tuple[FrameSet, ...]
    pbc: tuple[bool, bool, bool]
    mixed_type: bool = False
    ndof: Mapping[str, int] = field(default_factory=dict)
    energies: Array | None = None
    source: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    block: int | None = None
