"""Agreement of the processes of a run between steps: when to stop, and the size of series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...descriptors import Plan
from ..profile.recorder import Recorder
from ..start.run import Run
from ..step.shared_step import VOTES


@dataclass
class Together:
    """The votes of this process, and what follows from the votes of all.

    Each series grows with the pairs that its process meets. All processes take the largest, so
    that a restart continues as if the run had not been interrupted.
    """

    run: Run
    stopping: bool = False  #: True if one of several processes has to stop
    _agreed: dict[str, Plan | None] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """True if the run has several processes."""
        return self.run.setup.processes.size > 1

    def __post_init__(self) -> None:
        """Begin with the plans that all processes have made from the same frames."""
        self._agreed = self._plans()

    def _plans(self) -> dict[str, Plan | None]:
        return {name: planner.plan for name, planner in self.run.planners.items()}

    def votes(self, stop: bool) -> dict[str, np.ndarray]:
        """Return the votes for the next step as 0-d arrays.

        Parameters
        ----------
        stop
            True if this process has got a signal to stop, or its time is over.
        """
        plans = self._plans()
        new = any(plan is not self._agreed[name] for name, plan in plans.items())
        said = {"stop": float(stop), "plan": float(new), "data": 0.0}
        return {name: np.asarray(value) for name, value in said.items()}

    def after_step(self, metrics: dict[str, float]) -> None:
        """Take over new plans, and note if all stop now, as one has voted for it.

        Parameters
        ----------
        metrics
            Of the step; the sums of the votes are taken out.
        """
        votes = {name: metrics.pop(name, 0.0) for name in VOTES}
        if votes["plan"] > 0:
            self.share_plans()
        self.stopping = votes["stop"] > 0

    def share_plans(self) -> None:
        """Extend the plans of all processes to the largest."""
        planners = self.run.planners
        mine = {name: planner.state() for name, planner in planners.items()}
        for states in self.run.setup.processes.gather(mine):
            for name, planner in planners.items():
                if states[name] and states[name] != planner.state():
                    planner.restore(states[name])
        self._agreed = self._plans()

    def exit_code(self, mine: int | None) -> int:
        """Return the exit code of the run: that of the first process that has to stop."""
        codes: list[Any] = self.run.setup.processes.gather(mine)
        return int(next(code for code in codes if code is not None))

    def before_checkpoint(self, number: int) -> None:
        """Share the plans if a checkpoint is due after a step, so that it has those of all."""
        if self._is_saved(number):
            self.share_plans()

    def after_checkpoint(self, number: int, stop: bool, saved: Path | None) -> bool:
        """Return the decision of process 0 on an early stop, and remember its checkpoint.

        Parameters
        ----------
        number
            The step.
        stop
            The decision, in process 0.
        saved
            The last checkpoint that could be written, in process 0.
        """
        if not self._is_saved(number):
            return stop
        processes = self.run.setup.processes
        stop, path = processes.share([stop, None if saved is None else str(saved)])
        if path:
            processes.remember(f"; continue with --restart {path}")
        return bool(stop)

    def _is_saved(self, number: int) -> bool:
        """Return True if several processes have a checkpoint after a step."""
        setup = self.run.setup
        due = number % setup.config.training.save_freq == 0 or number == setup.numb_steps
        return due and self.several


def numbers(run: Run, found: Mapping[str, Any], recorder: Recorder) -> dict[str, float]:
    """Return the metrics of a step as numbers; those of a shared step are NumPy's already."""
    to_numpy, span = run.setup.backend.to_numpy, recorder.span
    if isinstance(found["rmse"], np.ndarray):
        return {name: float(x) for name, x in found.items()}
    if recorder.on:  # the first read waits for an asynchronous device
        with span("wait for the device"):
            to_numpy(found["rmse"])
    with span("read the metrics"):
        return {name: float(to_numpy(x)) for name, x in found.items()}
