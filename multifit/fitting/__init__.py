"""Fitting nets: from an atom's descriptor to its energy (or another invariant)."""

from __future__ import annotations

from ._classes import EnergyFittingNet as EnergyFittingNet
from ._classes import GeneralFitting as GeneralFitting
from ._classes import InvarFitting as InvarFitting
from ._invar import Fitting as Fitting
from ._invar import fit as fit
from ._invar import init as init
from ._invar import trainable_names as trainable_names
from ._serial import deserialize as deserialize
from ._serial import serialize as serialize
