"""Losses: how far predictions are from labels, as training weighs it and as people read it."""

from __future__ import annotations

from ._config import LossConfig as LossConfig
from ._dos import dos_loss as dos_loss
from ._dos_class import DOSLoss as DOSLoss
from ._dos_config import DosLossConfig as DosLossConfig
from ._energy import energy_loss as energy_loss
from ._energy_class import EnergyLoss as EnergyLoss
from ._energy_config import EnergyLossConfig as EnergyLossConfig
from ._energy_config import huber_deltas as huber_deltas
from ._evaluate import evaluate as evaluate
from ._rules import DOS_RULES as DOS_RULES
from ._rules import ENERGY_RULES as ENERGY_RULES
from ._rules import broken as broken
from ._rules import has as has
from ._terms import DOS_TERMS as DOS_TERMS
from ._terms import ENERGY_TERMS as ENERGY_TERMS
from ._terms import LABELS as LABELS
