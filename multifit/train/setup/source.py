"""Frames of systems with their neighbours and labels, combined into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import models as mdl
from ...batching.batch import Batcher
from ...batching.shapes import MOST, Shape
from ...batching.types import Batch
from ...data import MixedSampler, Picks, System, parameters, real_types, snapshot, where
from ...errors import DataError
from ...evaluation import labels
from ...loss import LossConfig
from ...neighbors.frame import Frame
from ..profile.recorder import OFF, Recorder
from .frame_cache import FrameCache
from .labels import as_batch, check_weights

#: Batches of all systems that are drawn to choose shapes.
DRAWN = 200

#: Frames whose atom types are read at once.
FRAMES = 1024


@dataclass(frozen=True)
class HostBatch:
    """One batch, as NumPy arrays, and its origin."""

    batch: Batch
    label: dict[str, Any]
    picks: Picks  #: systems and frames in it
    nearest: np.ndarray  #: smallest distance of each pair of types in Å, (ntypes, ntypes)


@dataclass
class Source:
    """Systems and everything needed to make batches of their frames.

    Parameters
    ----------
    loss
        Loss whose labels are loaded.
    """

    systems: Sequence[System]
    batcher: Batcher
    model: mdl.Model
    loss: LossConfig
    cache: FrameCache = field(default_factory=FrameCache)

    def frame(
        self,
        system: int,
        index: int,
        arrays: dict[str, np.ndarray],
        row: int,
        recorder: Recorder = OFF,
    ) -> Frame:
        """Return a frame with its tables of neighbours, from the cache if possible."""
        frame = self.cache.frame((system, index))
        if frame is None:
            masked = self.model.fitting.use_aparam_as_mask
            with recorder.span("find neighbours"):
                given = snapshot(self.systems[system], index, arrays, row, masked)
                frame = self.batcher.frame(*given)
            self.cache.keep_frame((system, index), frame)
        return frame

    def plan(self, sizes: Sequence[int], most: int = MOST) -> None:
        """Choose at most ``most`` shapes that hold all batches, for backends that compile.

        Parameters
        ----------
        sizes
            Frames in a batch of each system.
        """
        drawn = [(s, size) for s, size in zip(self.systems, sizes, strict=True) if size]
        needs = [room(system, size, self.model.ntypes) for system, size in drawn]
        self.batcher.shapes.plan(needs, [s.nframes / size for s, size in drawn], most)

    def plan_mixed(self, number: int, probabilities: Sequence[float], most: int = MOST) -> None:
        """Choose shapes as :meth:`plan` does, for batches of all systems.

        The compositions of so many frames are too many to list: some are drawn, and one shape
        holds any.
        """
        chances = np.asarray(probabilities)
        counts = np.zeros((len(chances), self.model.ntypes), dtype=np.int64)
        for k in np.flatnonzero(chances).tolist():
            counts[k] = room(self.systems[k], 1, self.model.ntypes).counts
        sampler = MixedSampler(self.systems, number, chances, 0, self.loss.labels)
        drawn = [[system for system, _ in sampler.picks()] for _ in range(DRAWN)]
        needs = [Shape(number, tuple(counts[k].sum(axis=0).tolist())) for k in drawn]
        largest = Shape(number, tuple((number * counts.max(axis=0)).tolist()))
        self.batcher.shapes.plan([*needs, largest], [1.0] * len(needs) + [0.0], most)

    def check_atoms(self) -> None:
        """Raise DataError for a frame without a real atom: values per atom are undefined."""
        fitting = self.model.fitting
        masked = fitting.use_aparam_as_mask
        for system in self.systems:
            if not (masked or system.mixed_type):
                continue
            for start in range(0, system.nframes, FRAMES):
                frames = np.arange(start, min(start + FRAMES, system.nframes))
                atype = system.atype(frames)
                if masked:
                    arrays = system.load(frames, ["aparam"])
                    _, aparam = parameters(system, arrays, 0, fitting.numb_aparam)
                    assert aparam is not None
                    atype = real_types(atype, aparam)
                empty = np.flatnonzero((atype < 0).all(axis=1))
                if empty.size:
                    raise DataError(_no_atoms(where(system, int(frames[empty[0]])), masked))

    def load(
        self,
        system: int,
        frames: np.ndarray,
        more: Sequence[str] = (),
        recorder: Recorder = OFF,
    ) -> tuple[list[Frame], dict[str, np.ndarray]]:
        """Return frames with their tables, and their arrays, with ``default_fparam`` if needed.

        Parameters
        ----------
        more
            Labels required besides those of the loss.
        recorder
            Recorder of the times of reading and of the neighbour search.
        """
        keys = [*self.loss.labels, *more, "fparam", "aparam"]
        with recorder.span("read frames and labels"):
            arrays = labels.load(self.model, self.systems[system], frames, keys)
        fit = self.model.fitting
        fparam, aparam = parameters(
            self.systems[system], arrays, fit.numb_fparam, fit.numb_aparam, fit.default_fparam
        )
        for key, value in (("fparam", fparam), ("aparam", aparam)):
            arrays.pop(key, None)
            if value is not None:
                arrays[key] = value
        ready = [self.frame(system, int(f), arrays, row, recorder) for row, f in enumerate(frames)]
        check_weights(self.systems[system], frames, arrays, ready)
        return ready, arrays

    def work(self, picks: Picks, recorder: Recorder = OFF) -> HostBatch:
        """Return the batch of some frames of a system, or of several with the same labels."""
        ready: list[Frame] = []
        given: list[tuple[System, dict[str, np.ndarray]]] = []
        for system, frames in picks:
            found, arrays = self.load(system, frames, recorder=recorder)
            ready += found
            given.append((self.systems[system], arrays))
        with recorder.span("make tables"):
            batch, layout = self.batcher.assemble(ready, *_parameters([x for _, x in given]))
        if self.loss.needs_hessian:
            batch["directions"] = mdl.directions(given[0][0].natoms)
        with recorder.span("arrange labels"):
            label = as_batch(self.loss, given, ready, layout)
        nearest = np.min([frame.nearest for frame in ready], axis=0)
        return HostBatch(batch, label, picks, nearest)

    def first_frames(self, sizes: Sequence[int], nbatch: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (system, frames) of the first batches of each system, for statistics."""
        for k, (system, size) in enumerate(zip(self.systems, sizes, strict=True)):
            # A system that is never drawn does not count in the statistics either.
            count = min(system.nframes, size * nbatch)
            if count:
                yield k, np.arange(count)

    def spread_frames(self, limit: int) -> list[tuple[int, np.ndarray]]:
        """Return (system, frames), at most about ``limit`` frames evenly spread over all."""
        total = sum(system.nframes for system in self.systems)
        every = max(1, -(-total // limit))
        chosen = [(k, np.arange(0, s.nframes, every)) for k, s in enumerate(self.systems)]
        return [(k, frames) for k, frames in chosen if frames.size]


def _parameters(
    arrays: Sequence[dict[str, np.ndarray]],
) -> tuple[np.ndarray | None, list[np.ndarray] | None]:
    """Return ``fparam`` (nframes, n) and ``aparam``, (natoms, n) of each frame, if there are."""
    fparam = [each["fparam"] for each in arrays if "fparam" in each]
    aparam = [x for each in arrays if "aparam" in each for x in each["aparam"]]
    return np.concatenate(fparam) if fparam else None, aparam or None


def room(system: System, size: int, ntypes: int) -> Shape:
    """Return the shape that holds any so many frames of a system."""
    if not system.mixed_type:
        atype = system.atype(np.arange(1))[0]
        counts = size * np.bincount(atype[atype >= 0], minlength=ntypes)
        return Shape(size, tuple(counts.tolist()))
    most = np.zeros((0, ntypes), dtype=np.int64)
    for start in range(0, system.nframes, FRAMES):
        atype = system.atype(np.arange(start, min(start + FRAMES, system.nframes)))
        each = np.stack([(atype == a).sum(axis=1) for a in range(ntypes)], axis=1)
        # The frames with the most atoms of each type may be in one batch.
        most = np.sort(np.concatenate([most, each]), axis=0)[-size:]
    return Shape(size, tuple(most.sum(axis=0).tolist()))


def _no_atoms(place: str, masked: bool) -> str:
    """Return the message about a frame without real atoms."""
    mask = "the aparam 0 (use_aparam_as_mask) or " if masked else ""
    return f"{place} has no real atom: each has {mask}the type −1; take this frame out of the data"
