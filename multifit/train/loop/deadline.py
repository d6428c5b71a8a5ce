"""The end of a run's time: it stops early enough to write a checkpoint.

Nobody knows how long the next step will take. The longest one so far counts, with all that was due
after it (validation, checkpoints), and a margin for what was not seen yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import TrainingError
from ...host.durations import in_words
from ...signals import RESTARTABLE, Interrupt

#: How many times as long as the longest one a step and a checkpoint may take.
STEP, SAVING = 1.5, 2.0

#: Seconds for the end of the process, with its framework.
LEAVING = 2.0


@dataclass
class Deadline:
    """The time limit of a run.

    Parameters
    ----------
    limit
        Seconds; None for none.
    began
        Start time of the command, by :func:`time.monotonic`.
    ahead
        Steps that are still done after the limit has been found to be near.
    saving
        Returns the seconds that the slowest checkpoint took.
    """

    limit: float | None
    began: float
    ahead: int = 1
    saving: Callable[[], float] = lambda: 0.0
    reached: bool = field(default=False, init=False)
    _first: float | None = field(default=None, init=False)
    _slowest: float = field(default=0.0, init=False)

    def step_took(self, seconds: float) -> None:
        """Note the time of a step with all that was due after it."""
        if self._first is None:
            self._first = seconds  # it compiles, which says nothing about the others
        else:
            self._slowest = max(self._slowest, STEP * seconds)

    def is_near(self, within_step: bool = False) -> bool:
        """Return True if the run has to stop now; from then on always.

        Parameters
        ----------
        within_step
            True if the step is left without its end, which takes no time.
        """
        if self.limit is not None and not self.reached:
            left = self.limit - (time.monotonic() - self.began)
            step = 0.0 if within_step else self._slowest or self._first or 0.0
            self.reached = left < self.ahead * step + SAVING * self.saving() + LEAVING
        return self.reached

    def said(self) -> str:
        """Return the start of the sentence about the end of the run."""
        spent, limit = in_words(time.monotonic() - self.began), in_words(self.limit or 0.0)
        return f"the time limit of {limit} is near: stopped after {spent}"


@dataclass
class Ending:
    """Why a run has to stop before its last step: a signal, or the end of its time."""

    interrupt: Interrupt
    deadline: Deadline

    def code(self, within_step: bool = False) -> int | None:
        """Return the exit code if the run has to stop, else None."""
        code = self.interrupt.exit_code
        if code is None and self.deadline.is_near(within_step):
            return RESTARTABLE
        return code

    @property
    def by_limit(self) -> bool:
        """True if it is the time that stops the run."""
        return self.interrupt.exit_code is None and self.deadline.reached

    def require_progress(self, steps: int) -> None:
        """Raise TrainingError if the time was too short for a step.

        A queue that starts the run again would start it for ever.
        """
        if self.by_limit and not steps:
            spent = in_words(time.monotonic() - self.deadline.began)
            raise TrainingError(
                f"the time limit of {in_words(self.deadline.limit or 0.0)} is too short: no step "
                f"could be done in time after a start of {spent}; give the run more time"
            )
