"""The inputs of steps, each prepared during the previous step."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ...errors import DataError
from ...tree import Tree, map_leaves
from ..profile.recorder import BATCH
from .device_batches import DeviceBatch, DeviceBatches
from .task_sampler import TaskSampler


class StepInput(NamedTuple):
    """The input of a step."""

    task: int
    prepared: DeviceBatch | DataError  #: why there is no batch
    scalars: Tree
    sampler: dict[str, Any]  #: the sampler's state after this batch was drawn


def prefetch(
    batches: Sequence[DeviceBatches], sampler: TaskSampler, scalars: Iterator[Tree]
) -> Generator[StepInput]:
    """Yield inputs forever; the next is made in a thread while a compiled step runs.

    Parameters
    ----------
    batches
        Of each task.
    scalars
        Values that change from step to step besides the batch, as NumPy arrays.
    """
    backend, span = batches[0].backend, batches[0].recorder.span

    def draw() -> StepInput:
        with span(BATCH):
            with span("draw frames"):
                task, picks = sampler.next()
            prepared: DeviceBatch | DataError
            try:
                prepared = batches[task].draw(picks)
            except DataError as exc:
                prepared = exc
            with span("copy to the device"):
                values = map_leaves(backend.as_input, next(scalars))
            return StepInput(task, prepared, values, sampler.state())

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
