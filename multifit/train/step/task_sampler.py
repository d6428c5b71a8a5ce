"""The task and the frames of each training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...data import Picks
from ...distributed import Processes, Solo
from ..setup.task import Task, by_task, nested


class Draw(NamedTuple):
    """The frames of one step."""

    task: int
    picks: Picks


class TaskSampler:
    """Draws a task for each step by its probability, and frames of it by its own sampler.

    Everything random is a function of the seed and the step, as with
    :class:`multifit.data.Sampler`; the state is that of the tasks' samplers, and the same for all
    processes of a run.
    """

    def __init__(
        self, tasks: Sequence[Task], seed: int, processes: Processes | None = None
    ) -> None:
        self._processes = processes = processes or Solo()
        self._tasks, self._seed, self._step = tasks, seed, 0
        self._bounds = np.cumsum([task.probability for task in tasks])
        # The seeds between are those of the validation data.
        self._samplers = [
            task.data.training.sampler(seed + 2 * k, processes.size) for k, task in enumerate(tasks)
        ]

    def next(self) -> Draw:
        """Return the task and the frames of the next step."""
        k = 0
        if len(self._tasks) > 1:
            draw = np.random.default_rng([self._seed, 2, self._step]).random() * self._bounds[-1]
            k = int(np.searchsorted(self._bounds, draw, side="right"))
        self._step += 1
        return Draw(k, _share(self._samplers[k].picks(), self._processes))

    def state(self) -> dict[str, Any]:
        """Return the state for :meth:`restore`."""
        samplers = zip(self._tasks, self._samplers, strict=True)
        return nested({task.name: sampler.state() for task, sampler in samplers})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a sampler with the same seed."""
        known = by_task(self._tasks, state)
        for task, sampler in zip(self._tasks, self._samplers, strict=True):
            sampler.restore(known[task.name])
        first = known[self._tasks[0].name]
        self._seed, self._step = int(first["seed"]), sum(int(x["step"]) for x in known.values())


def _share(picks: Picks, processes: Processes) -> Picks:
    """Return the share that this process has of the frames of one batch, by system.

    The order of frames does not depend on the number of processes.
    """
    systems = np.repeat([system for system, _ in picks], [len(frames) for _, frames in picks])
    frames = np.concatenate([frames for _, frames in picks])
    own = len(frames) // processes.size
    mine = slice(own * processes.rank, own * (processes.rank + 1))
    systems, frames = systems[mine], frames[mine]
    return tuple((int(k), frames[systems == k]) for k in np.unique(systems))
