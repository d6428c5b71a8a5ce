"""The loss of a batch, as defined by its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import Backend
from ..batching.batch import BatchAtoms
from ._config import LossConfig
from ._dos import DosLossConfig, dos_loss
from ._energy import EnergyLossConfig, energy_loss
from ._reduction import Result

Array = Any

#: Class of the settings → function that computes the loss.
_LOSSES: dict[type[LossConfig], Callable[..., Result]] = {
    EnergyLossConfig: energy_loss,
    DosLossConfig: dos_loss,
}


def compute_loss(
    backend: Backend,
    config: LossConfig,
    learning_rate: Array,
    prediction: dict[str, Array],
    label: dict[str, Array],
    atoms: BatchAtoms,
) -> Result:
    """Return the loss (a 0-d array) and the metrics.

    The parameters are those of :func:`multifit.loss.energy_loss` or
    :func:`multifit.loss.dos_loss`.
    """
    return _LOSSES[type(config)](backend, config, learning_rate, prediction, label, atoms)
