"""Losses: how far predictions are from labels, as training weighs it and as people read it."""

from __future__ import annotations

from ._classes import EnergyLoss as EnergyLoss
from ._config import EnergyLossConfig as EnergyLossConfig
from ._config import huber_deltas as huber_deltas
from ._config import metric_names as metric_names
from ._energy import energy_loss as energy_loss
from ._rules import broken as broken
from ._rules import has as has
from ._terms import LABELS as LABELS
from ._terms import TERMS as TERMS
