"""One pass over all frames of systems, in threads: neighbours, distances and ranges of labels."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..data import System, parameters, snapshot
from ..distributed import as_json, from_json
from ..host import cores
from ..neighbors.frame import frame as frame_with_neighbours
from .cache import Cache

#: Atoms in the frames of one piece of work: a fraction of a second, after which a stop is heeded.
ATOMS = 4096

#: Threads at most: more would wait for each other, as Python code runs in one at a time.
THREADS = 8

#: More neighbours than any atom has: nothing is cut.
ALL = 1 << 30


class Scope(NamedTuple):
    """Settings of a survey."""

    rcut: float  #: cutoff in Å
    labels: tuple[str, ...] = ()  #: keys of labels whose ranges are wanted
    exclude: tuple[tuple[int, int], ...] = ()  #: pairs of types that do not interact
    masked: bool = False  #: True if ``aparam`` marks real atoms (``use_aparam_as_mask``)
    limit: int | None = None  #: frames of each system, the first ones; None for all
    part: tuple[int, int] = (0, 1)  #: k and n: the k-th of n parts of these frames
    shells: tuple[float, ...] = ()  #: shorter cutoffs in Å, within which neighbours are counted


@dataclass(frozen=True, eq=False)
class SystemSurvey:
    """Summary of the frames of one system.

    Attributes
    ----------
    most
        The most neighbours of each type around one atom of each frame, (nframes, ntypes).
    atoms
        Atoms of each type in each frame, without virtual ones, (nframes, ntypes).
    nearest
        Smallest distance of each pair of types in Å, ∞ for none within the cutoff,
        (ntypes, ntypes).
    nearest_frame
        The frame with this distance, −1 for none, (ntypes, ntypes).
    energy
        Energy of each frame in eV, (nframes,), or (0,) if not looked at.
    force
        Largest component of a force in each frame in eV/Å, (nframes,), or (0,).
    fparam, aparam
        Lowest and highest value of each component, (2, numb), or (2, 0).
    together
        The most neighbours of all types around one atom of each frame, (nframes,).
    inner
        The same within each of the shorter cutoffs, (nframes, shells).
    """

    most: np.ndarray
    atoms: np.ndarray
    nearest: np.ndarray
    nearest_frame: np.ndarray
    energy: np.ndarray
    force: np.ndarray
    fparam: np.ndarray
    aparam: np.ndarray
    together: np.ndarray
    inner: np.ndarray

    @property
    def nframes(self) -> int:
        """Number of frames that were looked at."""
        return len(self.most)


def survey_systems(
    systems: Sequence[System],
    scope: Scope,
    on_frames: Callable[[int], None] | None = None,
    cache: Cache | None = None,
) -> list[SystemSurvey]:
    """Return what each system holds.

    Parameters
    ----------
    systems
        With a common ``type_map``.
    scope
        What is looked at.
    on_frames
        Called with the number of frames done since the last call.
    cache
        Results of earlier runs.

    Raises
    ------
    DataError
        If a frame cannot be read, or two of its atoms are at the same place.
    """
    say = on_frames or (lambda _: None)
    found = []
    for system in systems:
        key = "" if cache is None else cache.key(system, scope, frames_of(system, scope))
        known = None if cache is None else cache.read(key)
        if known is None:
            one = _survey(system, scope, say)
            if cache is not None:
                cache.write(key, vars(one))
        else:
            one = SystemSurvey(**known)
            say(one.nframes)
        found.append(one)
    return found


def frames_of(system: System, scope: Scope) -> np.ndarray:
    """Return the frames of a system that are looked at."""
    stop = system.nframes if scope.limit is None else min(scope.limit, system.nframes)
    k, n = scope.part
    return np.arange(stop * k // n, stop * (k + 1) // n)


def _survey(system: System, scope: Scope, on_frames: Callable[[int], None]) -> SystemSurvey:
    """Return what a system holds."""
    frames = frames_of(system, scope)
    step = max(1, ATOMS // max(system.natoms, 1))
    chunks = [frames[start : start + step] for start in range(0, len(frames), step)]
    parts = []
    # Closed even if the loop ends by Ctrl-C, so that no thread goes on.
    with closing(_in_threads(partial(_scan, system, scope), chunks)) as results:
        for part in results:
            parts.append(part)
            on_frames(part.nframes)
    return joined(parts)


def _in_threads(
    work: Callable[[np.ndarray], SystemSurvey], chunks: Sequence[np.ndarray]
) -> Generator[SystemSurvey, None, None]:
    """Yield the results in order; work that has not begun is cancelled if the caller stops."""
    pool = ThreadPoolExecutor(max(1, min(THREADS, len(chunks), cores.usable().number)))
    try:
        yield from pool.map(work, chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _scan(system: System, scope: Scope, frames: np.ndarray) -> SystemSurvey:
    """Return what some frames hold."""
    keys = [*scope.labels, *["aparam"] * scope.masked]
    arrays = system.load(frames, keys)
    if scope.masked:
        parameters(system, arrays, 0, 1)
    ntypes = len(system.type_map)
    nearest = np.full((ntypes, ntypes), np.inf)
    place = np.full((ntypes, ntypes), -1, dtype=np.int64)
    most, atoms = np.zeros((2, len(frames), ntypes), dtype=np.int64)
    together = np.zeros(len(frames), dtype=np.int64)
    inner = np.zeros((len(frames), len(scope.shells)), dtype=np.int64)
    real = np.ones((len(frames), system.natoms), dtype=bool)
    for row, index in enumerate(frames):
        given = snapshot(system, int(index), arrays, row, scope.masked)
        one = frame_with_neighbours(
            given.coord, given.cell, given.pbc, given.atype, scope.rcut, (ALL,) * ntypes,
            scope.exclude, given.where, ALL,
        )  # fmt: skip
        real[row] = given.atype >= 0
        most[row], together[row] = one.fullest, one.together
        inner[row] = [one.most_within(radius) for radius in scope.shells]
        atoms[row] = np.bincount(given.atype[real[row]], minlength=ntypes)
        place = np.where(one.nearest < nearest, index, place)
        nearest = np.minimum(one.nearest, nearest)
    force = np.zeros(0)
    if "force" in arrays:
        force = np.abs(arrays["force"]).max(axis=2, initial=0.0)
        force = np.where(real, force, 0.0).max(axis=1, initial=0.0)
    fparam = _range(arrays.get("fparam"), len(frames))
    aparam = arrays.get("aparam")
    if aparam is not None:
        aparam = aparam.reshape(real.size, -1)[real.ravel()]
    return SystemSurvey(
        most, atoms, nearest, place, arrays.get("energy", np.zeros(0)), force, fparam,
        _range(aparam, int(real.sum())), together, inner,
    )  # fmt: skip


def _range(values: np.ndarray | None, rows: int) -> np.ndarray:
    """Return the lowest and highest value of each column, (2, ncolumns)."""
    if values is None or not rows:
        return np.zeros((2, 0))
    values = values.reshape(rows, -1)
    return np.stack([values.min(axis=0), values.max(axis=0)])


def joined(parts: Sequence[SystemSurvey]) -> SystemSurvey:
    """Return the survey of the frames of all parts, in their order."""
    whole = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("most", "atoms", "energy", "force", "together", "inner")
    }
    nearest, place = parts[0].nearest, parts[0].nearest_frame
    for part in parts[1:]:
        place = np.where(part.nearest < nearest, part.nearest_frame, place)
        nearest = np.minimum(part.nearest, nearest)
    ranges = {name: joined_ranges([getattr(p, name) for p in parts]) for name in RANGES}
    return replace(parts[0], **whole, **ranges, nearest=nearest, nearest_frame=place)


def as_message(one: SystemSurvey) -> dict[str, Any]:
    """Return a survey as JSON has it."""
    return {name: as_json(x) for name, x in vars(one).items()}


def from_message(given: Mapping[str, Any]) -> SystemSurvey:
    """Return the survey from which :func:`as_message` made this."""
    return SystemSurvey(**{name: from_json(x) for name, x in given.items()})


#: Attributes with the lowest and highest values.
RANGES = ("fparam", "aparam")


def joined_ranges(ranges: Sequence[np.ndarray]) -> np.ndarray:
    """Return the range that holds all given ones of the same number of components, (2, numb)."""
    some = [each for each in ranges if each.size]
    if not some:
        return np.zeros((2, 0))
    return np.stack([np.min([x[0] for x in some], axis=0), np.max([x[1] for x in some], axis=0)])
