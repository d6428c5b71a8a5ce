"""Frames and their neighbours as the flat arrays that the core takes.

All atoms of a batch are in one list sorted by type, across frames. For each type of
neighbours there is one table of pairs, one row for each centre, as wide as the batch needs:
components before neighbours, ``rij`` (N, 3, k), so that every product of the descriptor is a matrix
product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from ..neighbors import frame as frm
from ..neighbors.frame import Columns, Frame, PairTable, for_parts
from ..neighbors.requirements import Requirements
from . import mixed, ordered
from .composition import Composition, composition
from .composition import Layout as Layout
from .filling import empty_table, fill
from .mixed import Room
from .shapes import Shape, Shapes, bucket
from .types import MIXED, ORDERED, PARTS, Batch, Centres, MixedTable, OrderedTable, Table

#: Columns added to tables beyond the need of the frames seen, so that other frames fit too.
SPARE = 2


class BatchAtoms(NamedTuple):
    """The atoms of a batch, for sums and means over them."""

    natoms: Any  #: real atoms of each frame, (nframes,)
    mask: Any  #: 1 for a real atom, 0 for padding, (N,)
    frame: Any  #: the frame of each atom, (N,)
    present: Any = None  #: 1 for a frame that counts, (nframes,); by default, those with atoms


def flat_atoms(xp: Any, batch: Batch) -> BatchAtoms:
    """Return the atoms of a batch of :meth:`Batcher.assemble`, in the order of its outputs."""
    centres = [batch["centres"][a] for a in sorted(batch["centres"], key=int)]
    if not centres:
        nothing = xp.zeros((0,), dtype=xp.float64)
        return BatchAtoms(batch["natoms"], nothing, xp.zeros((0,), dtype=xp.int64))
    mask, frame = (xp.concat([each[key] for each in centres], axis=0) for key in ("mask", "frame"))
    return BatchAtoms(batch["natoms"], mask, frame)


@dataclass
class Batcher:
    """Cut neighbours at ``sel`` and put frames together.

    Parameters
    ----------
    needs
        Neighbours required by the descriptor.
    pair_exclude_types
        Pairs of types that do not interact.
    static_shapes
        True if batches get few shapes, with padding, and tables never shrink:
        for backends that compile for each shape.
    """

    needs: Requirements
    pair_exclude_types: tuple[tuple[int, int], ...] = ()
    static_shapes: bool = False
    _widths: dict[tuple[int, bool], int] = field(default_factory=dict)
    _width: int = 0  #: of an ordered table
    _shells: list[int] = field(default_factory=list)  #: widths of shells of an ordered table
    #: Of the table of all types of neighbours: near columns, and others; tiles of each.
    _mixed: tuple[int, int] = (0, 0)
    _tiles: dict[tuple[Shape, int], int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Start without shapes."""
        self.rcut, self.sel, self._inner = self.needs.rcut, self.needs.sel, self.needs.inner
        self.total = self.needs.total
        self._shells = [0] * len(self.needs.shells)
        self.shapes = Shapes(self.static_shapes)
        self._parts = [Batcher(part, (), self.static_shapes) for part in self.needs.parts]

    def frame(
        self,
        coord: np.ndarray,
        cell: np.ndarray | None,
        pbc: Sequence[bool],
        atype: np.ndarray,
        where: str = "",
    ) -> Frame:
        """Return a frame with its neighbours, as ``multifit.neighbors.frame.frame`` does."""
        exclude_pairs = self.pair_exclude_types
        return frm.frame(
            coord, cell, pbc, atype, self.rcut, self.sel, exclude_pairs, where, self.total
        )

    def _room(self, b: int, found: Sequence[Columns], spare: int = 0) -> tuple[int, int]:
        """Return the columns of a table of neighbours of type b: near ones, and others."""
        needs = [max((each.widths[zone] for each in found), default=0) for zone in range(2)]
        if not self.static_shapes:
            return needs[0], needs[1]
        with self._lock:
            for zone, need in enumerate(needs):
                width = min(bucket(need + spare), self.sel[b]) if need else 0
                self._widths[b, zone == 0] = max(width, self._widths.get((b, zone == 0), 0))
            return self._widths[b, True], self._widths[b, False]

    def reserve(self, frames: Sequence[Frame]) -> None:
        """Make tables slightly wider than these frames need, for static shapes."""
        if not self.static_shapes:
            return
        for part, own in zip(self._parts, self._for_parts(frames), strict=True):
            part.reserve(own)
        if self._parts:
            return
        kinds = {b for frame in frames for b in frame.tables}
        if self.needs.ordered:
            places = [np.arange(len(frame.atype) + frame.nghost) for frame in frames]
            for frame, place in zip(frames, places, strict=True):
                pairs = ordered.ordered_pairs([frame], [place], len(frame.atype), len(self.sel))
                self._ordered_widths(pairs, spare=SPARE)
            return
        if self.needs.mixes(len(kinds)):
            needs = [mixed.widths_of(frame, len(self.sel), self._inner) for frame in frames]
            self._mixed_widths(max(near for near, _ in needs), max(far for _, far in needs), SPARE)
            return
        for b in kinds:
            tables = [frame.tables[b] for frame in frames if b in frame.tables]
            self._room(b, [table.columns(self._inner) for table in tables], spare=SPARE)

    def state(self) -> dict[str, Any]:
        """Return the widths of tables so far, for resuming a run: lists of numbers."""
        if not self.static_shapes:
            return {}
        if self._parts:
            return {PARTS: [part.state() for part in self._parts]}
        with self._lock:
            return {
                "widths": [[b, int(near), n] for (b, near), n in sorted(self._widths.items())],
                "width": self._width,
                "shells": list(self._shells),
                "mixed": list(self._mixed),
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Make tables at least as wide as in a :meth:`state`: sums then round in the same way."""
        if not (self.static_shapes and state):
            return
        if self._parts:
            for part, own in zip(self._parts, state[PARTS], strict=True):
                part.restore(own)
            return
        with self._lock:
            for b, near, width in state["widths"]:
                key = int(b), bool(near)
                self._widths[key] = max(self._widths.get(key, 0), min(int(width), self.sel[key[0]]))
            self._width = max(self._width, min(int(state["width"]), self.total or sum(self.sel)))
            near, far = (min(int(m), sum(self.sel)) for m in state["mixed"])
            self._mixed = max(self._mixed[0], near), max(self._mixed[1], far)
            self._widen_shells([int(m) for m in state["shells"]])

    def assemble(
        self,
        frames: Sequence[Frame],
        fparam: np.ndarray | None = None,
        aparam: Sequence[np.ndarray] | np.ndarray | None = None,
        ghosts: int = 0,
    ) -> tuple[Batch, Layout]:
        """Return a batch of frames and the places of their atoms.

        Parameters
        ----------
        fparam
            (nframes, numb_fparam).
        aparam
            (natoms, numb_aparam) for each frame.
        ghosts
            Places for ghosts, at which pairs of a part of a system may end; at least the number of
            ghosts of the frame, then the only one.

        Returns
        -------
        batch
            NumPy arrays; :class:`multifit.batching.types.Batch` has their shapes.
        layout
            The frame and the atom of each place of the flat list.
        """
        atoms = self._atoms(frames)
        layout, places = atoms.layout, list(atoms.places)
        if ghosts:
            places = [np.append(places[0], len(layout.real) + np.arange(ghosts))]
        tables = self._tables(frames, atoms, places)
        batch: Batch = {
            "natoms": atoms.natoms,
            "atype": atoms.atype,
            "centres": atoms.centres,
            "tables": tables,
        }
        if ghosts:
            batch["ghosts"] = np.zeros(ghosts)
        if fparam is not None:
            batch["fparam"] = layout.padded(np.asarray(fparam, dtype=np.float64))
        if aparam is not None:
            flat = layout.spread([np.asarray(each, dtype=np.float64) for each in aparam])
            start = 0
            extended: dict[str, Centres] = {}
            for a, centre in atoms.centres.items():
                stop = start + len(centre["mask"])
                extended[a] = {**centre, "aparam": flat[start:stop]}
                start = stop
            batch["centres"] = extended
        return batch, layout

    def _tables(
        self, frames: Sequence[Frame], atoms: Composition, places: Sequence[np.ndarray]
    ) -> dict[str, Any]:
        """Return the table of each type of neighbours, or one of all, under their names.

        Those of the parts of a descriptor are under :data:`PARTS`.
        """
        if self._parts:
            given = zip(self._parts, self._for_parts(frames), strict=True)
            made = (part._tables(own, atoms, places) for part, own in given)
            return {PARTS: {str(k): tables for k, tables in enumerate(made)}}
        if self.needs.ordered:
            return {ORDERED: self._ordered_table(frames, atoms, places)}
        if self.needs.mixes(len({b for frame in frames for b in frame.tables})):
            return {MIXED: self._mixed_table(frames, atoms, places)}
        tables: dict[str, Any] = {}
        for b in range(len(self.sel)):
            some = [
                (f.tables[b], place)
                for f, place in zip(frames, places, strict=True)
                if b in f.tables
            ]
            found = [table.columns(self._inner) for table, _ in some]
            room = self._room(b, found)
            if any(room) or self.needs.first:
                tables[str(b)] = _table(some, found, atoms.shape.natoms, room)
        if self.needs.first:
            first = np.array([f.first_type for f in frames])[atoms.layout.frame]
            tables = {b: {**table, "first": first} for b, table in tables.items()}
        return tables

    def _for_parts(self, frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
        """Yield frames with the neighbours that each part needs."""
        return for_parts(frames, self.needs, self.needs.parts)

    def _mixed_table(
        self, frames: Sequence[Frame], atoms: Composition, places: Sequence[np.ndarray]
    ) -> MixedTable:
        """Return one table of the neighbours of all types."""
        shape = atoms.shape
        pairs = mixed.pairs_of(frames, places, shape.natoms, len(self.sel), self._inner)
        groups = pairs.groups(atoms.atype, self.needs.two_sided)
        number = len(atoms.centres) ** (1 + self.needs.two_sided)
        rooms = []
        for zone, width in enumerate(self._mixed_widths(*pairs.widths)):
            size = mixed.tile_size(shape.natoms, number, mixed.TYPICAL[zone])
            tiles = mixed.tiles_needed(groups[pairs.zone == zone], size)
            if self.static_shapes:
                with self._lock:
                    known = self._tiles.get((shape, zone), 0)
                    tiles = known if tiles <= known else bucket(tiles + SPARE)
                    self._tiles[shape, zone] = tiles
            rooms.append(Room(width, tiles, size))
        return mixed.mixed_table(pairs, groups, shape.natoms, rooms)

    def _ordered_table(
        self, frames: Sequence[Frame], atoms: Composition, places: Sequence[np.ndarray]
    ) -> OrderedTable:
        """Return one table of the neighbours of all types, the nearest first."""
        natoms = atoms.shape.natoms
        pairs = ordered.ordered_pairs(frames, places, natoms, len(self.sel))
        width, shells = self._ordered_widths(pairs)
        return ordered.ordered_table(pairs, natoms, width, shells)

    def _ordered_widths(self, pairs: mixed.Pairs | None, spare: int = 0) -> tuple[int, list[int]]:
        """Return the columns of a table in the order of distance, and of its shells; at least 1."""
        shells = self.needs.shells
        found = [max(m, 1) for m in ordered.shell_widths(pairs, shells)]
        need = max(1, pairs.widths[1] if pairs is not None else 0)
        if not self.static_shapes:
            return need, found
        with self._lock:
            self._widen_shells([-(-(m + spare // 2) // ordered.STEP) * ordered.STEP for m in found])
            if need > self._width:
                self._width = min(bucket(need + spare), self.total or need)
            self._width = max([self._width, *self._shells])
            return self._width, list(self._shells)

    def _widen_shells(self, widths: Sequence[int]) -> None:
        """Make shells of an ordered table at least this wide, but at most as they can be."""
        given = zip(self._shells, widths, self.needs.shells, strict=True)
        self._shells = [max(was, min(m, most)) for was, m, (_, most) in given]

    def _mixed_widths(self, near: int, far: int, spare: int = 0) -> tuple[int, int]:
        """Return the columns of a table of all types of neighbours: near ones, and others."""
        far = max(far, 1)  # without any, products would be empty
        if not self.static_shapes:
            return near, far
        with self._lock:
            most = sum(self.sel)
            near, far = (
                known if need <= known else min(bucket(need + spare), most)
                for need, known in zip((near, far), self._mixed, strict=True)
            )
            self._mixed = near, far
        return near, far

    def _atoms(self, frames: Sequence[Frame]) -> Composition:
        """Return the atoms of frames, in the shape that fits."""
        counts = sum(np.bincount(f.atype[f.atype >= 0], minlength=len(self.sel)) for f in frames)
        shape = self.shapes.fit(Shape(len(frames), tuple(np.asarray(counts).tolist())))
        return composition([f.atype for f in frames], shape)


def _table(
    some: Sequence[tuple[PairTable, np.ndarray]],
    columns: Sequence[Columns],
    n: int,
    room: tuple[int, int],
) -> Table:
    """Return the table of the neighbours of one type around all atoms.

    Parameters
    ----------
    some
        The pairs of each frame, and the places of its atoms.
    columns
        Columns of these pairs.
    room
        Number of columns for near pairs, and for the others.
    """
    made = empty_table(n, sum(room))
    for (table, place), found in zip(some, columns, strict=True):
        col = found.col if not room[0] else np.where(found.near, found.col, room[0] + found.col)
        fill(made, np.take(place, table.i), col, np.take(place, table.j), table.rij)
    rij, index, mask = made["rij"], made["index"], made["mask"]
    return {"rij": rij, "index": index, "mask": mask, "near": np.zeros(room[0])}
