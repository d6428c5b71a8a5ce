"""Losses: weighted errors of predictions for training, and metrics.

``EnergyLoss`` and ``DOSLoss``, the classes with DeePMD-kit's signatures, are those of
``multifit.deepmd``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._compute import compute_loss as compute_loss
from ._config import LossConfig as LossConfig
from ._dos import DosLossConfig as DosLossConfig
from ._dos import dos_loss as dos_loss
from ._energy import EnergyLossConfig as EnergyLossConfig
from ._energy import energy_loss as energy_loss
from ._energy import huber_deltas as huber_deltas
from ._rules import DOS_RANGES as DOS_RANGES
from ._rules import DOS_RULES as DOS_RULES
from ._rules import ENERGY_RANGES as ENERGY_RANGES
from ._rules import ENERGY_RULES as ENERGY_RULES
from ._rules import too_large_a_shift as too_large_a_shift
from ._terms import DOS_TERMS as DOS_TERMS
from ._terms import ENERGY_TERMS as ENERGY_TERMS
from ._terms import LABELS as LABELS
from ._terms import has as has
from ._terms import labels as labels
from ._terms import predictions as predictions

if TYPE_CHECKING:
    from ..deepmd import DOSLoss as DOSLoss
    from ..deepmd import EnergyLoss as EnergyLoss

_DEEPMD = ("DOSLoss", "EnergyLoss")


def __getattr__(name: str) -> Any:
    """Import DeePMD-kit's classes lazily: their module imports this one."""
    if name in _DEEPMD:
        from .. import deepmd

        return getattr(deepmd, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of this module, DeePMD-kit's classes included."""
    return sorted([*globals(), *_DEEPMD])
