"""A data system: frames of equal numbers of atoms, read on demand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np

from ..errors import DataError, did_you_mean
from ._contents import Contents, FrameSet
from ._elements import numbering
from ._labels import FRAME, LABELS
from ._shapes import read_rows
from ._stored import Array
from ._types import read_types

#: A cell is considered singular if its volume is below this fraction of a·b·c.
FLAT = 1e-8


@final
@dataclass(frozen=True, eq=False)
class System:
    """Frames of one folder or HDF5 group, or of one kind in an LMDB file or a file of atoms.

    Attributes
    ----------
    name
        Path as the user wrote it, for messages.
    type_map
        Element names of the model, for the numbers in :meth:`atype`.
    natoms
        Number of atoms; with ``mixed_type`` some of them may be virtual.
    pbc
        True if periodic along each of the three lattice vectors.
    labels
        Keys of the :data:`LABELS` that exist in all sets.
    mixed_type
        True if frames may differ in their elements.
    sets
        Location of the frames.
    ndof
        Size of the free axis of labels such as ``fparam``.
    energies
        Energies (m,) in eV of its labels ``dos`` and ``atom_dos``, if given.
    unread
        Names of numbers in a file of atoms that are not read → the label that they may be, or "".
    named
        True if the system names its elements; otherwise its numbers are those of the model.
    place
        Where it is on disk, links resolved: the same for a system that is listed twice.
    block
        Block of ``auto_prob`` that its frames belong to, −1 for none; None if blocks are ranges
        of systems.
    """

    name: str
    type_map: tuple[str, ...]
    natoms: int
    pbc: tuple[bool, bool, bool]
    labels: frozenset[str]
    mixed_type: bool
    sets: tuple[FrameSet, ...]
    ndof: Mapping[str, int]
    own_types: Array
    numbering: Array
    energies: Array | None = None
    unread: Mapping[str, str] = field(default_factory=dict)
    named: bool = True
    place: str = ""
    block: int | None = None

    @property
    def set_lengths(self) -> tuple[int, ...]:
        """Number of frames of each set."""
        return tuple(each.nframes for each in self.sets)

    @property
    def nframes(self) -> int:
        """Number of frames of all sets."""
        return sum(self.set_lengths)

    def atype(self, frames: Array) -> Array:
        """Return the types of the atoms in the model's numbering, −1 for virtual ones.

        Parameters
        ----------
        frames
            Indices of frames (n,).

        Returns
        -------
        atype
            (n, natoms) int64.
        """
        if not self.mixed_type:
            return np.tile(self.numbering[self.own_types], (len(frames), 1))
        result = np.empty((len(frames), self.natoms), dtype=np.int64)
        for each, places, rows in self._split(frames):
            own = read_types(each, rows, self.natoms)
            # Checked when the system was opened; the file may have been replaced since.
            if own.max() >= self.numbering.size - 1 or (self.numbering[own] < -1).any():
                place = each.where if each.types is None else each.types.where
                raise DataError(
                    f"{place} changed while it was in use and has other types now; start again"
                )
            result[places] = self.numbering[own]
        return result

    def load(self, frames: Array, keys: Iterable[str] = ()) -> dict[str, Array]:
        """Return coordinates, cells and labels of some frames, all float64.

        Parameters
        ----------
        frames
            Indices of frames (n,), in any order.
        keys
            Keys of :data:`LABELS`; those missing from the system are left out.

        Returns
        -------
        arrays
            ``coord`` (n, natoms, 3), ``cell`` (n, 3, 3) unless nothing is periodic, and the labels
            with the shapes of their table after n.

        Raises
        ------
        DataError
            If a value is not finite, a cell is singular, or a file changed since it was opened.
        """
        wanted = list(keys)
        for key in wanted:
            if key not in LABELS:
                raise KeyError(f"unknown label {key!r}{did_you_mean(key, LABELS)}")
        first = ["coord", "cell"] if any(self.pbc) else ["coord"]
        return self._read(frames, first + [key for key in wanted if key in self.labels])

    def label(self, frames: Array, key: str) -> Array:
        """Return one label of some frames, float64, without reading positions.

        Parameters
        ----------
        frames
            Indices of frames (n,), in any order.
        key
            A label that the system has.

        Raises
        ------
        DataError
            As :meth:`load`.
        """
        return self._read(frames, [key])[key]

    def _read(self, frames: Array, keys: Iterable[str]) -> dict[str, Array]:
        frames, chosen = np.asarray(frames, dtype=np.int64), dict.fromkeys(keys)
        table = FRAME | LABELS
        shapes = {key: table[key].frame_shape(self.natoms, self.ndof.get(key, 1)) for key in chosen}
        result = {key: np.empty((len(frames), *shape)) for key, shape in shapes.items()}
        for each, places, rows in self._split(frames):
            for key, shape in shapes.items():
                stored = each.arrays[key]
                values = read_rows(stored, rows, each.nframes, shape).astype(np.float64)
                _check_finite(stored.where, each, rows, values, key)
                if key == "cell":
                    _check_cells(stored.where, each, rows, values)
                result[key][places] = values
        return result

    def _split(self, frames: Array) -> Iterable[tuple[FrameSet, Array, Array]]:
        """Return (set, places in ``frames``, frames within the set) for each set involved."""
        frames = np.asarray(frames, dtype=np.int64)
        if frames.size and not (frames.min() >= 0 and frames.max() < self.nframes):
            raise IndexError(f"{self.name} has frames 0 to {self.nframes - 1}")
        ends = np.cumsum(self.set_lengths)
        which = np.searchsorted(ends, frames, side="right")
        for number in np.unique(which):
            places = np.flatnonzero(which == number)
            start = ends[number] - self.sets[number].nframes
            yield self.sets[number], places, frames[places] - start


def make_system(contents: Contents, type_map: tuple[str, ...]) -> System:
    """Return the system with its elements numbered as in the model.

    Raises
    ------
    DataError
        If an atom's element is not in the model's ``type_map``.
    """
    return System(
        name=contents.name,
        type_map=type_map,
        natoms=len(contents.types),
        pbc=contents.pbc,
        labels=frozenset(contents.sets[0].arrays.keys() & LABELS.keys()),
        mixed_type=contents.mixed_type,
        sets=contents.sets,
        ndof=contents.ndof,
        own_types=contents.types,
        numbering=numbering(contents, type_map),
        energies=contents.energies,
        unread=contents.unread,
        named=contents.elements is not None,
        block=contents.block,
    )


def where(system: System, frame: int, key: str | None = None) -> str:
    """Return ``"data/water/set.000, frame 3"``: the set of a frame and its place within.

    Parameters
    ----------
    system
        The system.
    frame
        Number of the frame within the system.
    key
        A label that the system has, whose file is then named instead of the set.
    """
    for each in system.sets:
        if frame < each.nframes:
            place = each.where if key is None else each.arrays[key].where
            return f"{place}, frame {_number(each, frame)}"
        frame -= each.nframes
    raise IndexError(f"{system.name} has only {system.nframes} frames")


def _number(each: FrameSet, frame: int) -> int:
    return int(frame if each.numbers is None else each.numbers[frame])


def _check_finite(path: str, each: FrameSet, rows: Array, values: Array, key: str) -> None:
    good = np.isfinite(values)
    if good.all():
        return
    place = tuple(int(i) for i in np.argwhere(~good)[0])
    axes = (FRAME | LABELS)[key].shape
    atom = f", atom {place[1]}" if axes[:1] == ("natoms",) else ""
    raise DataError(
        f"{path}: {key} of frame {_number(each, int(rows[place[0]]))}{atom} is {values[place]}; "
        "correct the value or remove the frame"
    )


def _check_cells(path: str, each: FrameSet, rows: Array, cells: Array) -> None:
    volume = np.abs(np.linalg.det(cells))
    flat = np.flatnonzero(volume <= FLAT * np.linalg.norm(cells, axis=2).prod(axis=1))
    if not flat.size:
        return
    place = f"{path}: the cell of frame {_number(each, int(rows[flat[0]]))}"
    if not cells[flat[0]].any():
        how = (
            "put an empty file named nopbc beside type.raw"
            if path.endswith("box.npy")
            else 'say so in the file (pbc="F F F" in the comment line of xyz)'
        )
        raise DataError(
            f"{place} is singular, for it is zero; if the system is not periodic, {how}"
        )
    raise DataError(
        f"{place} is singular (its volume is {volume[flat[0]]:.3g} Å³); its rows must be three "
        "independent lattice vectors in Å"
    )
