"""Labels that cannot be right, found when the statistics are computed, which they would spoil."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...data import System, where
from ...errors import DataError
from ...neighbors.frame import Frame
from ...statistics import type_counts
from .task import Task

#: No label has a larger value, in any unit: beyond it sums lose the other frames.
ABSURD = 1e12

#: A frame is an outlier if it deviates from the median by so many median deviations, by such a
#: part of the median, and by so many eV per atom.
DEVIATIONS, PART, LEAST = 1e3, 0.5, 10.0

#: Fewer frames of one composition have no median to rely on.
FEWEST = 4

#: Outliers that are listed.
LISTED = 3


@dataclass
class Outliers:
    """Collects the energies of frames, and finds those far from all others.

    Labels beyond :data:`ABSURD` are refused at once.
    """

    task: Task
    _counts: list[np.ndarray] = field(default_factory=list)  #: of types, (nframes, ntypes)
    _energies: list[np.ndarray] = field(default_factory=list)  #: per atom, (nframes,)
    _places: list[str] = field(default_factory=list)

    def add(
        self, system: System, frames: np.ndarray, arrays: Mapping[str, Any], ready: list[Frame]
    ) -> None:
        """Take the labels of some frames.

        Raises
        ------
        DataError
            If a value is absurd (which one).
        """
        output = self.task.model.output
        for key in sorted({*self.task.loss.labels, output.label} & arrays.keys() & system.labels):
            _refuse_absurd(system, frames, np.asarray(arrays[key]), key)
        if output.label not in system.labels or output.name != "energy":
            return
        atype = np.stack([frame.atype for frame in ready])
        counts = type_counts(atype, np.ones(atype.shape), self.task.model.ntypes)
        number = np.maximum(counts.sum(axis=1), 1)
        self._counts.append(counts)
        self._energies.append(np.reshape(arrays[output.label], -1) / number)
        self._places += [where(system, int(frame), output.label) for frame in frames]

    def warnings(self) -> list[str]:
        """Return a sentence for each of the first few outliers."""
        if not self._counts:
            return []
        energies = np.concatenate(self._energies)
        _, group = np.unique(np.concatenate(self._counts), axis=0, return_inverse=True)
        found = []
        for k in range(int(group.max()) + 1):
            rows = np.flatnonzero(group.reshape(-1) == k)
            if len(rows) < FEWEST:
                continue
            median = float(np.median(energies[rows]))
            far = np.abs(energies[rows] - median)
            limit = max(DEVIATIONS * float(np.median(far)), PART * abs(median), LEAST)
            found += [(rows[i], median) for i in np.flatnonzero(far > limit)]
        unit = self.task.model.output.unit
        said = [
            f"warning: {self._places[row]}: the energy is {energies[row]:.4g} {unit} per atom, and "
            f"{median:.4g} in most other frames; correct it or remove the frame, as it spoils the "
            "energy of each type that is fitted to the data"
            for row, median in found[:LISTED]
        ]
        more = len(found) - LISTED
        return [*said, f"warning: {more} more frames have such energies"] if more > 0 else said


def _refuse_absurd(system: System, frames: np.ndarray, values: np.ndarray, key: str) -> None:
    """Raise DataError for a value beyond :data:`ABSURD`."""
    largest = np.abs(values.reshape(len(frames), -1)).max(axis=1, initial=0.0)
    row = int(np.argmax(largest))
    if largest[row] > ABSURD:
        raise DataError(
            f"{where(system, int(frames[row]), key)}: {key} has the value {largest[row]:.3g}, "
            "which cannot be right; correct it or remove the frame"
        )
