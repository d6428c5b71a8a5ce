"""Frames and their neighbours as the flat arrays that the core eats.

All atoms of a batch lie in one list sorted by type, whichever frame they are in. For each pair of
types there is one table of pairs, one row for each centre, as wide as the batch needs: components
before neighbours, ``rij`` (n, 3, k), so that every product of the descriptor is a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .neighbors import find_pairs
from .tree import Tree

Key = tuple[int, int]

#: Columns that tables get beyond what was seen in some frames, so that others fit in too.
SPARE = 2


@dataclass(frozen=True)
class PairTable:
    """The pairs between two types in one frame: row = which centre, col = how near the other."""

    row: np.ndarray
    col: np.ndarray
    j: np.ndarray
    rij: np.ndarray

    @property
    def width(self) -> int:
        """Columns that the table needs."""
        return int(self.col.max()) + 1 if self.col.size else 0


@dataclass(frozen=True)
class Frame:
    """One frame, ready to be put into a batch."""

    atype: np.ndarray
    tables: dict[Key, PairTable]
    dropped: int = 0  #: pairs beyond ``sel``
    nearest: float = np.inf  #: smallest distance in Å
    fullest: tuple[
        int, ...
    ] = ()  #: the most neighbours of each type around one atom, before cutting

    @property
    def nbytes(self) -> int:
        """Memory that the tables hold, for caches."""
        return sum(
            t.row.nbytes + t.col.nbytes + t.j.nbytes + t.rij.nbytes for t in self.tables.values()
        )


class Atoms(NamedTuple):
    """Which atoms a batch has, for sums and means over them."""

    natoms: Any  #: real atoms of each frame, (nframes,)
    mask: Any  #: 1 for a real atom and 0 for one that pads, (N,)
    frame: Any  #: the frame of each atom, (N,)


def flat_atoms(xp: Any, batch: Tree) -> Atoms:
    """Return the atoms of a batch of :meth:`Batcher.assemble`, in the order of its outputs."""
    centres = [batch["centres"][a] for a in sorted(batch["centres"], key=int)]
    if not centres:
        nothing = xp.zeros((0,), dtype=xp.float64)
        return Atoms(batch["natoms"], nothing, xp.zeros((0,), dtype=xp.int64))
    mask, frame = (xp.concat([each[key] for each in centres], axis=0) for key in ("mask", "frame"))
    return Atoms(batch["natoms"], mask, frame)


@dataclass(frozen=True)
class Layout:
    """Where the atoms of the frames lie in the flat list."""

    frame: np.ndarray  #: (N,) frame of each place; 0 for a place that pads
    atom: np.ndarray  #: (N,) atom in its frame
    real: np.ndarray  #: (N,) False for a place that pads

    def spread(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Return (N, …) in the flat order from one (natoms, …) per frame; padding is zero."""
        first = np.asarray(values[0])
        flat = np.zeros((len(self.frame), *first.shape[1:]), dtype=first.dtype)
        for f, value in enumerate(values):
            here = self.real & (self.frame == f)
            flat[here] = np.asarray(value)[self.atom[here]]
        return flat

    def gather(self, flat: np.ndarray, nframes: int, natoms: int) -> np.ndarray:
        """Return (nframes, natoms, …) from (N, …); virtual atoms are zero."""
        out = np.zeros((nframes, natoms, *flat.shape[1:]), dtype=flat.dtype)
        out[self.frame[self.real], self.atom[self.real]] = flat[self.real]
        return out


def _rank(key: np.ndarray) -> np.ndarray:
    """Return the position of each entry among those of equal key; equal keys are contiguous."""
    n = len(key)
    first = np.ones(n, dtype=bool)
    first[1:] = key[1:] != key[:-1]
    starts = np.flatnonzero(first)
    return np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))


def bucket(n: int) -> int:
    """Return n rounded up to one of a few sizes, at most an eighth more (or 7)."""
    step = max(8, 1 << max(0, n.bit_length() - 4))
    return -(-n // step) * step


@dataclass
class Batcher:
    """Cut neighbours at ``sel`` and put frames together.

    Parameters
    ----------
    rcut
        The cut-off in Å.
    sel
        The most neighbours of each type that count.
    pair_exclude_types
        Pairs of types that do not see each other.
    static_shapes
        Whether shapes are rounded up to a few sizes, and tables never shrink again: for backends
        that compile for each shape.
    """

    rcut: float
    sel: tuple[int, ...]
    pair_exclude_types: tuple[Key, ...] = ()
    static_shapes: bool = False
    _widths: dict[Key, int] = field(default_factory=dict)

    def frame(
        self,
        coord: np.ndarray,
        cell: np.ndarray | None,
        pbc: Sequence[bool],
        atype: np.ndarray,
        where: str = "",
    ) -> Frame:
        """Return the tables of one frame.

        Parameters
        ----------
        coord
            (natoms, 3) in Å.
        cell
            (3, 3) in Å, or None.
        atype
            (natoms,); −1 is a virtual atom, which neither sees nor is seen.
        where
            The frame's name in error messages.
        """
        ntypes = len(self.sel)
        atype = np.asarray(atype, dtype=np.int64)
        real = np.flatnonzero(atype >= 0)
        pairs = find_pairs(np.asarray(coord)[real], cell, pbc, self.rcut, where=where)
        i, j, rij = real[pairs.i], real[pairs.j], pairs.rij
        ti, tj = atype[i], atype[j]
        blind = np.zeros((ntypes, ntypes), dtype=bool)
        for a, b in self.pair_exclude_types:
            blind[a, b] = blind[b, a] = True
        if blind.any():
            seen = ~blind[ti, tj]
            i, j, rij, ti, tj = i[seen], j[seen], rij[seen], ti[seen], tj[seen]
        # Sorted by centre and distance already; a stable sort groups by (a, b) and keeps both.
        block = ti * ntypes + tj
        order = np.argsort(block, kind="stable")
        i, j, rij, ti, tj, block = (x[order] for x in (i, j, rij, ti, tj, block))
        rank = _rank(block * len(atype) + i)
        fullest = [int(rank[tj == b].max(initial=-1)) + 1 for b in range(ntypes)]
        near = rank < np.asarray(self.sel)[tj]
        row = _rows(atype, ntypes)[i]
        tables = {}
        edges = np.searchsorted(block, np.arange(ntypes * ntypes + 1))
        for k in np.flatnonzero(np.diff(edges)):
            s = slice(edges[k], edges[k + 1])
            keep = near[s]
            tables[divmod(int(k), ntypes)] = PairTable(
                row=row[s][keep], col=rank[s][keep], j=j[s][keep], rij=rij[s][keep]
            )
        nearest = float(np.sqrt((rij * rij).sum(axis=1).min(initial=np.inf)))
        return Frame(atype, tables, int((~near).sum()), nearest, tuple(fullest))

    def _width(self, key: Key, frames: Sequence[Frame], spare: int = 0) -> int:
        need = max((f.tables[key].width for f in frames if key in f.tables), default=0)
        if not self.static_shapes:
            return need
        width = min(bucket(need + spare), self.sel[key[1]]) if need else 0
        width = max(width, self._widths.get(key, 0))
        self._widths[key] = width
        return width

    def learn(self, frames: Sequence[Frame]) -> None:
        """Let tables be as wide as these frames need and a little more, for static shapes."""
        for key in {key for frame in frames for key in frame.tables}:
            self._width(key, frames, spare=SPARE)

    def assemble(
        self,
        frames: Sequence[Frame],
        fparam: np.ndarray | None = None,
        aparam: np.ndarray | None = None,
    ) -> tuple[Tree, Layout]:
        """Return a batch of frames and the places of their atoms.

        Parameters
        ----------
        fparam
            (nframes, numb_fparam).
        aparam
            (nframes, natoms, numb_aparam).

        Returns
        -------
        batch
            ``{"natoms": (nframes,), "centres": {a: {"frame", "atom", "mask": (n,), "tables": {b:
            {"rij": (n, 3, k), "index": (n, k), "mask": (n, k)}}}}}`` and the parameters.
        layout
            The frame and the atom of each place of the flat list.
        """
        layout, spans, places = self._lay_out(frames)
        centres: dict[str, Any] = {}
        for a, span in spans.items():
            mask = layout.real[span].astype(np.float64)
            tables = {}
            for b in range(len(self.sel)):
                width = self._width((a, b), frames)
                if width:
                    tables[str(b)] = self._table((a, b), frames, len(mask), width, places)
            centres[str(a)] = {
                "frame": layout.frame[span],
                "atom": layout.atom[span],
                "mask": mask,
                "tables": tables,
            }
        natoms = np.array([(f.atype >= 0).sum() for f in frames], dtype=np.float64)
        batch: Tree = {"natoms": natoms, "centres": centres}
        if fparam is not None:
            batch["fparam"] = np.asarray(fparam, dtype=np.float64)
        if aparam is not None:
            flat = layout.spread(list(np.asarray(aparam, dtype=np.float64)))
            for a, span in spans.items():
                centres[str(a)]["aparam"] = flat[span]
        return batch, layout

    def _lay_out(
        self, frames: Sequence[Frame]
    ) -> tuple[Layout, dict[int, slice], list[np.ndarray]]:
        """Return the layout, the slice of each type, and each frame's atoms' places."""
        frame = np.repeat(np.arange(len(frames)), [len(f.atype) for f in frames])
        atom = np.concatenate([np.arange(len(f.atype)) for f in frames])
        atype = np.concatenate([f.atype for f in frames])
        spans, parts, start = {}, [], 0
        for a in range(len(self.sel)):
            here = np.flatnonzero(atype == a)
            if not here.size:
                continue
            size = bucket(here.size) if self.static_shapes else here.size
            part = np.full(size, -1)
            part[: here.size] = here
            parts.append(part)
            spans[a] = slice(start, start + size)
            start += size
        source = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        real = source >= 0
        layout = Layout(np.where(real, frame[source], 0), np.where(real, atom[source], 0), real)
        place = np.zeros(len(atype), dtype=np.int64)
        place[source[real]] = np.flatnonzero(real)
        ends = np.cumsum([len(f.atype) for f in frames])[:-1]
        return layout, spans, np.split(place, ends)

    def _table(
        self, key: Key, frames: Sequence[Frame], n: int, width: int, places: list[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the table of one pair of types over all frames."""
        rij = np.zeros((n, 3, width))
        index = np.zeros((n, width), dtype=np.int64)
        mask = np.zeros((n, width))
        start = 0
        for f, place in zip(frames, places, strict=True):
            table = f.tables.get(key)
            if table is not None:
                row = table.row + start
                rij[row, :, table.col] = table.rij
                index[row, table.col] = place[table.j]
                mask[row, table.col] = 1.0
            start += int((f.atype == key[0]).sum())
        return {"rij": rij, "index": index, "mask": mask}


def _rows(atype: np.ndarray, ntypes: int) -> np.ndarray:
    """Return each atom's position among the atoms of its type, (natoms,)."""
    rows = np.zeros(len(atype), dtype=np.int64)
    for a in range(ntypes):
        here = np.flatnonzero(atype == a)
        rows[here] = np.arange(here.size)
    return rows
