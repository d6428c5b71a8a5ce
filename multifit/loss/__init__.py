"""Losses: how far predictions are from labels, as training weighs it and as people read it."""

from __future__ import annotations

from ._classes import EnergyLoss as EnergyLoss
from ._energy import EnergyLossConfig as EnergyLossConfig
from ._energy import energy_loss as energy_loss
from ._energy import metric_names as metric_names
