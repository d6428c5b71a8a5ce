"""Models: a descriptor and a fitting net give energies, forces and virials, or other sums."""

from __future__ import annotations

from ._atomic import compared_atoms as compared_atoms
from ._atomic import prepared as prepared
from ._energy import evaluate_energy as evaluate_energy
from ._evaluate import evaluate as evaluate
from ._hessian import directions as directions
from ._hessian import evaluate_hessian as evaluate_hessian
from ._native import native_parameters as native_parameters
from ._serial import deserialize as deserialize
from ._serial import from_content as from_content
from ._serial import serialize as serialize
from ._serial import to_content as to_content
from ._settings import Model as Model
from ._settings import Preset as Preset
from ._settings import init as init
from ._settings import trainable_names as trainable_names
