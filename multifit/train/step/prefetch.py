"""What steps need, each made while the step before it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ...data import Sampler
from ...tree import Tree, map_leaves
from ..profile.recorder import BATCH
from .batch_cache import BatchCache, DeviceBatch


class StepInput(NamedTuple):
    """What a step needs."""

    prepared: DeviceBatch
    scalars: Tree
    sampler: dict[str, np.ndarray]  #: the sampler's state after this batch was drawn


def prefetch(
    batches: BatchCache, sampler: Sampler, scalars: Iterator[Tree]
) -> Generator[StepInput]:
    """Yield what steps need for ever; the next is made in a thread while a compiled step runs.

    Parameters
    ----------
    scalars
        What changes from step to step beside the batch, as NumPy arrays.
    """

    def draw() -> StepInput:
        span = batches.recorder.span
        with span(BATCH):
            with span("draw frames"):
                drawn = sampler.next()
            prepared = batches.draw(*drawn)
            with span("copy to the device"):
                values = map_leaves(batches.backend.as_input, next(scalars))
            return StepInput(prepared, values, sampler.state())

    backend = batches.backend
    if backend.on_cpu and backend.eager:
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
