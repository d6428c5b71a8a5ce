"""The labels of a data system as a model predicts them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import dos
from ..data import System
from ..models import Model

Array = np.ndarray


def load(model: Model, system: System, frames: Array, keys: Sequence[str]) -> dict[str, Array]:
    """Return coordinates, cells and arrays of some frames, as :meth:`System.load` does.

    Densities of states are moved to the model's grid of energies, if it has one.

    Parameters
    ----------
    frames
        Which frames, (n,).
    keys
        The arrays that are wanted; those that the system lacks are left out.

    Raises
    ------
    DataError
        If something can not be read, or does not go with the model.
    """
    if model.kind.total != "dos":
        return system.load(frames, keys)
    arrays = system.load(frames, (*keys, *dos.keys(model.grid)))
    return dos.labels_on_grid(model.fitting.dim_out, model.grid, system, frames, arrays)
