"""The settings of a loss, whichever it is: all have the same members."""

from __future__ import annotations

from ._dos_config import DosLossConfig
from ._energy_config import EnergyLossConfig

LossConfig = EnergyLossConfig | DosLossConfig
