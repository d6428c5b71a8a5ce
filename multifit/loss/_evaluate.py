"""The loss that settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import Backend
from ..batching.batch import BatchAtoms
from ._config import LossConfig
from ._dos import dos_loss
from ._dos_config import DosLossConfig
from ._energy import energy_loss
from ._energy_config import EnergyLossConfig

Array = Any

#: The class of the settings → the function that computes the loss.
_LOSSES: dict[type[LossConfig], Callable[..., tuple[Array, dict[str, Array]]]] = {
    EnergyLossConfig: energy_loss,
    DosLossConfig: dos_loss,
}


def evaluate(
    backend: Backend,
    config: LossConfig,
    learning_rate: Array,
    prediction: dict[str, Array],
    label: dict[str, Array],
    atoms: BatchAtoms,
) -> tuple[Array, dict[str, Array]]:
    """Return the loss (a 0-d array) and the metrics.

    The parameters are those of :func:`multifit.loss.energy_loss` or
    :func:`multifit.loss.dos_loss`.
    """
    return _LOSSES[type(config)](backend, config, learning_rate, prediction, label, atoms)
