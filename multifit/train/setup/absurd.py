"""Labels that cannot be right, refused before they spoil the statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...data import System, where
from ...errors import DataError
from .task import Task

#: No label has a larger value, in any unit: beyond it sums lose the other frames.
ABSURD = 1e12


def refuse_absurd(
    task: Task, system: System, frames: np.ndarray, arrays: Mapping[str, Any]
) -> None:
    """Raise DataError for a label beyond :data:`ABSURD`, naming its file and frame.

    Parameters
    ----------
    frames
        Indices of frames of the system, (n,).
    arrays
        Arrays of the system for them.
    """
    for key in sorted({*task.loss.labels, task.model.output.label} & arrays.keys() & system.labels):
        values = np.abs(np.asarray(arrays[key]).reshape(len(frames), -1))
        largest = values.max(axis=1, initial=0.0)
        row = int(np.argmax(largest))
        if largest[row] > ABSURD:
            raise DataError(
                f"{where(system, int(frames[row]), key)}: {key} has the value {largest[row]:.3g}, "
                "which cannot be right; correct it or remove the frame"
            )
