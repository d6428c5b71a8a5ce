"""Warnings about a run that diverges or learns nothing, each given once with a likely cause."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..start.run import Run

#: Steps whose median counts as the errors at the start, and now; the least number of steps.
FIRST, WINDOW, FEWEST = 10, 100, 10

#: A run diverges if all errors are so many times those of the start, or one is: a single error of
#: the first batch may be small by chance. Saturated nets have no forces, but absurd energies.
DIVERGED, ONE_DIVERGED = 10.0, 1e4

#: Nothing was learned if all errors are at least this part of those of the start, or those of
#: forces of the forces themselves: after so many steps at full learning rate, such a part of a
#: longer run, or at the end of a shorter one.
LEARNED, STEPS, PART, SHORT = 0.95, 500, 0.1, 200

#: The error of forces.
FORCE = "rmse_f"

#: Errors of the start that tell nothing.
TINY = 1e-300


@dataclass
class Health:
    """The errors of batches at the start of a run and now.

    Parameters
    ----------
    begun
        The step after which the run begins.
    numb_steps, warmup
        The last step, and the last one with a rising learning rate.
    untrained
        True if the parameters at the start are random.
    forces
        Names of errors of forces → the root mean square of the labels, eV/Å.
    """

    begun: int
    numb_steps: int
    warmup: int
    untrained: bool
    forces: Mapping[str, float] = field(default_factory=dict)
    _told: bool = field(default=False, init=False)
    _start: dict[str, list[float]] = field(default_factory=dict, init=False)
    _now: dict[str, deque[float]] = field(default_factory=dict, init=False)

    def update(self, number: int, metrics: Mapping[str, float], lr: float) -> str:
        """Take the errors of a step; return a warning, which is empty except once.

        Parameters
        ----------
        metrics
            Names of errors → values; NaN without a label. The loss is not among them, as its
            prefactors change.
        """
        if self._told:
            return ""
        for name, value in metrics.items():
            if math.isnan(value):
                continue
            start = self._start.setdefault(name, [])
            if len(start) < FIRST:
                start.append(value)
            self._now.setdefault(name, deque(maxlen=WINDOW)).append(value)
        done, last = number - self.begun, number == self.numb_steps
        found = ""
        if (done % WINDOW == 0 or last) and done >= 2 * FEWEST:
            found = self._diverged(lr) or self._learned_nothing(number, lr)
        self._told = bool(found)
        return found

    def _ratios(self) -> dict[str, tuple[float, float]]:
        """Return (error at the start, median error now) of each name."""
        found = {}
        for name, values in self._start.items():
            now, first = self._now[name], values[0]
            if len(now) < FEWEST:
                continue
            median = statistics.median(values)
            # The first step was done with the first parameters, whatever came after it.
            before = median if median <= DIVERGED * first else first
            if before > TINY:
                found[name] = (before, statistics.median(now))
        return found

    def _diverged(self, lr: float) -> str:
        errors = self._ratios()
        ratios = [now / before for before, now in errors.values()]
        factor = max(ratios, default=0.0)
        if factor <= ONE_DIVERGED and (len(ratios) < 2 or min(ratios) <= DIVERGED):
            return ""
        return (
            f"warning: the run diverges: errors are up to {_few(factor)} times those of the first "
            f"steps ({_listed(errors)}); the learning rate, now {lr:.2g}, is probably too high: "
            "lower learning_rate.start_lr, or set training.gradient_max_norm"
        )

    def _learned_nothing(self, number: int, lr: float) -> str:
        steps = number - max(self.begun, self.warmup)
        wanted = max(STEPS, int(PART * (self.numb_steps - self.warmup)))
        if number == self.numb_steps and self.numb_steps - self.warmup <= wanted:
            wanted = SHORT
        elif steps >= wanted + WINDOW:
            return ""
        if not self.untrained or steps < wanted:
            return ""
        errors = self._ratios()
        sizes = {name: size for name, size in self.forces.items() if name in errors and size > 0}
        useless = [name for name, size in sizes.items() if errors[name][1] >= LEARNED * size]
        if errors and min(now / before for before, now in errors.values()) >= LEARNED:
            what = f"nothing was learned in {steps} steps: errors are those of the untrained model"
        elif useless:
            what = f"forces are not learned in {steps} steps: their errors are those of no forces"
        else:
            return ""
        return (
            f"warning: {what} ({_listed(errors)}); check that labels belong to their structures "
            f"and that the learning rate, now {lr:.2g}, is neither too high nor too low (1e-3 "
            "suits most models)"
        )


def _few(factor: float) -> str:
    return f"{factor:.0f}" if factor < 1e4 else f"{factor:.1e}"


def _listed(errors: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {before:.2g} → {now:.2g}" for name, (before, now) in errors.items())


def size_of_forces(run: Run) -> dict[str, float]:
    """Return the root mean square of force labels by the name of their error, eV/Å.

    Only frames are read that were read before, for the statistics.
    """
    found = {}
    for task in run.setup.tasks:
        if FORCE not in task.loss.metric_names or getattr(task.loss, "relative_f", None):
            continue
        total = count = 0.0
        nbatch, source = run.setup.config.model.data_stat_nbatch, task.data.training.source
        for k, frames in source.first_frames(task.data.training.sizes, nbatch):
            if "force" in source.systems[k].labels:
                force = source.systems[k].label(frames, "force")
                with np.errstate(over="ignore"):  # the loss will tell
                    total += float(np.sum(force * force))
                count += force.size
        if count:
            found[task.metric(FORCE)] = math.sqrt(total / count)
    return found
