"""Neighbour statistics of data systems: the shortest distance, the most neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data import Snapshot, System, parameters, snapshot
from .search import find_pairs

#: Frames read at once.
FRAMES = 64


@dataclass(frozen=True)
class NeighborStatistics:
    """The shortest distance, and the most neighbours of each type around one atom.

    Attributes
    ----------
    fullest
        The most neighbours of each type around one atom, (ntypes,).
    around
        An atom with so many, and its frame; empty for a type that is never a neighbour.
    distance
        Shortest in Å; infinite if no two atoms are within the cutoff.
    closest
        The two closest atoms, and their frame; empty if no two are within the cutoff.
    """

    fullest: tuple[int, ...]
    around: tuple[str, ...]
    distance: float = np.inf
    closest: str = ""


def neighbor_statistics(
    systems: Sequence[System],
    rcut: float,
    on_frames: Callable[[int], None] | None = None,
    masked: bool = False,
) -> NeighborStatistics:
    """Return neighbour statistics over all frames of the given systems.

    Parameters
    ----------
    systems
        With a common ``type_map``.
    rcut
        Cutoff in Å.
    on_frames
        Called with the number of frames processed since the last call.
    masked
        True if ``aparam`` marks real atoms (``use_aparam_as_mask``).

    Raises
    ------
    DataError
        If a frame cannot be read, or two of its atoms are at the same place.
    """
    names = systems[0].type_map
    found = NeighborStatistics((0,) * len(names), ("",) * len(names))
    for system in systems:
        for start in range(0, system.nframes, FRAMES):
            frames = np.arange(start, min(start + FRAMES, system.nframes))
            arrays = system.load(frames, ["aparam"] if masked else ())
            if masked:
                parameters(system, arrays, 0, 1)
            for row, frame in enumerate(frames):
                one = snapshot(system, int(frame), arrays, row, masked)
                found = _with(found, names, one, rcut)
            if on_frames is not None:
                on_frames(len(frames))
    return found


def _with(
    found: NeighborStatistics, names: Sequence[str], frame: Snapshot, rcut: float
) -> NeighborStatistics:
    """Return the previous statistics, updated by this frame."""
    real = np.flatnonzero(frame.atype >= 0)
    kinds, ntypes = frame.atype[real], len(names)
    pairs = find_pairs(frame.coord[real], frame.cell, frame.pbc, rcut, where=frame.where)
    if not len(pairs.i):
        return found
    distance, closest = found.distance, found.closest
    k = int(np.argmin(pairs.distance))
    if pairs.distance[k] < distance:
        i, j = int(pairs.i[k]), int(pairs.j[k])
        distance = float(pairs.distance[k])
        closest = (
            f"{names[kinds[i]]}–{names[kinds[j]]}, atoms {real[i]} and {real[j]} (from 0) in "
            f"{frame.where}"
        )
    key = pairs.i * ntypes + kinds[pairs.j]
    counts = np.bincount(key, minlength=len(real) * ntypes).reshape(len(real), ntypes)
    fullest, around = list(found.fullest), list(found.around)
    for b, i in enumerate(counts.argmax(axis=0)):
        if counts[i, b] > fullest[b]:
            fullest[b] = int(counts[i, b])
            around[b] = f"{names[kinds[i]]}, atom {real[i]} in {frame.where}"
    return NeighborStatistics(tuple(fullest), tuple(around), distance, closest)
