"""Fitting nets: from an atom's descriptor to its energy, or another invariant.

``EnergyFittingNet`` and the other classes with DeePMD-kit's signatures are those of
``multifit.deepmd``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._invar import fit as fit
from ._invar import fit_all as fit_all
from ._invar import init as init
from ._invar import take_nets as take_nets
from ._invar import trainable_names as trainable_names
from ._rules import FITTING_RANGES as FITTING_RANGES
from ._rules import FITTING_RULES as FITTING_RULES
from ._rules import gives_energies as gives_energies
from ._serial import deserialize as deserialize
from ._serial import serialize as serialize
from ._settings import Fitting as Fitting
from ._settings import energies as energies
from ._settings import network as network
from ._settings import output_precision as output_precision
from ._settings import settings as settings
from ._shared import layer_conflict as layer_conflict

if TYPE_CHECKING:
    from ..deepmd import DOSFittingNet as DOSFittingNet
    from ..deepmd import EnergyFittingNet as EnergyFittingNet
    from ..deepmd import GeneralFitting as GeneralFitting
    from ..deepmd import InvarFitting as InvarFitting

_DEEPMD = ("DOSFittingNet", "EnergyFittingNet", "GeneralFitting", "InvarFitting")


def __getattr__(name: str) -> Any:
    """Import DeePMD-kit's classes lazily: their module imports this one."""
    if name in _DEEPMD:
        from .. import deepmd

        return getattr(deepmd, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of this module, DeePMD-kit's classes included."""
    return sorted([*globals(), *_DEEPMD])
