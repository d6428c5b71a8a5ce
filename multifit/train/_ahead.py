"""Batches on the device, each made while the step before it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..backend import Backend
from ..data import Sampler
from ..tree import Tree, map_leaves, walk
from ._profile import BATCH, OFF, Recorder
from ._source import Source, Work

#: Memory in bytes for batches of one frame, which come again in the next epoch.
KEPT = 1 << 30


class Ready(NamedTuple):
    """What a step needs."""

    work: Work  #: with arrays of the backend
    scalars: Tree
    sampler: dict[str, np.ndarray]  #: the sampler's state after this batch was drawn


@dataclass
class Batches:
    """The batches of a source on the device; those of one frame are made once, while they fit."""

    source: Source
    backend: Backend
    recorder: Recorder = OFF
    _kept: dict[tuple[int, int], Work] = field(default_factory=dict)
    _used: int = 0

    def work(self, system: int, frames: np.ndarray) -> Work:
        """Return the batch of some frames of a system."""
        key = (system, int(frames[0]))
        if len(frames) == 1 and key in self._kept:
            return self._kept[key]
        host = self.source.work(system, frames, self.recorder)
        with self.recorder.span("copy to the device"):
            batch, label = (map_leaves(self.backend.asarray, x) for x in (host.batch, host.label))
        work = replace(host, batch=batch, label=label)
        size = sum(x.nbytes for tree in (host.batch, host.label) for _, x in walk(tree))
        if len(frames) == 1 and self._used + size <= KEPT:
            self._kept[key] = work
            self._used += size
            self.source.forget(*key)
        return work


def ahead(batches: Batches, sampler: Sampler, scalars: Iterator[Tree]) -> Generator[Ready]:
    """Yield what steps need for ever; the next is made in a thread while a compiled step runs.

    Parameters
    ----------
    scalars
        What changes from step to step beside the batch, as NumPy arrays.
    """

    def draw() -> Ready:
        span = batches.recorder.span
        with span(BATCH):
            with span("draw frames"):
                drawn = sampler.next()
            work = batches.work(*drawn)
            with span("copy to the device"):
                values = map_leaves(batches.backend.asarray, next(scalars))
            return Ready(work, values, sampler.state())

    backend = batches.backend
    if backend.on_cpu and not backend.static_shapes:
        # Operations that start one by one wait for Python and for the cores that a thread takes:
        # on two of them a step of 40 ms took 65 beside it, and takes 47 without.
        while True:
            yield draw()
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(draw)
        while True:
            ready = pending.result()
            pending = pool.submit(draw)
            yield ready
