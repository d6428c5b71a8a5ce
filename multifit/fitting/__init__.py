"""Fitting nets: from an atom's descriptor to its energy (or another invariant)."""

from __future__ import annotations

from ._classes import EnergyFittingNet as EnergyFittingNet
from ._classes import GeneralFitting as GeneralFitting
from ._classes import InvarFitting as InvarFitting
from ._dos_class import DOSFittingNet as DOSFittingNet
from ._invar import Fitting as Fitting
from ._invar import energies as energies
from ._invar import fit as fit
from ._invar import init as init
from ._invar import take_nets as take_nets
from ._invar import trainable_names as trainable_names
from ._rules import broken as broken
from ._rules import gives_energies as gives_energies
from ._serial import deserialize as deserialize
from ._serial import serialize as serialize
