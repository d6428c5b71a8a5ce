"""The labels of a data system in the form of a model's predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data import System
from ..models import Model

Array = np.ndarray


def load(model: Model, system: System, frames: Array, keys: Sequence[str]) -> dict[str, Array]:
    """Return coordinates, cells and arrays of some frames, as :meth:`System.load` does.

    The output may convert labels: densities of states are moved to the model's grid of energies.

    Parameters
    ----------
    frames
        Indices of the frames, (n,).
    keys
        Requested arrays; those missing from the system are left out.

    Raises
    ------
    DataError
        If something cannot be read, or does not fit the model.
    """
    read = model.output.load_labels
    if read is None:
        return system.load(frames, keys)
    arrays: dict[str, Array] = read(model.fitting.dim_out, model.grid, system, frames, keys)
    return arrays


def require_comparable(model: Model, systems: Sequence[System]) -> None:
    """Raise unless the labels of all systems can be compared with the output of a model.

    Raises
    ------
    DataError, ConfigError
        As the ``check_labels`` of the output, such as :func:`multifit.dos.check_labels`.
    """
    check = model.output.check_labels
    if check is not None:
        check(model.fitting.dim_out, model.grid, systems)
