"""Models: a descriptor and a fitting net make energies, forces and virials."""

from __future__ import annotations

from ._energy import EnergyModel as EnergyModel
from ._energy import evaluate as evaluate
from ._energy import init as init
from ._energy import trainable_names as trainable_names
from ._hessian import directions as directions
from ._hessian import evaluate_hessian as evaluate_hessian
from ._native import native_parameters as native_parameters
from ._serial import deserialize as deserialize
from ._serial import from_content as from_content
from ._serial import serialize as serialize
from ._serial import to_content as to_content
