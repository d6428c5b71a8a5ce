"""Coefficients of atoms in the energy of a frame (``atom_ener_coeff.npy``), as a model has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..console.words import few

if TYPE_CHECKING:
    from ..data import System
    from ..outputs import OutputDef

KEY = "enable_atom_ener_coeff"


def trained_with(content: Mapping[str, Any]) -> bool:
    """Return True if the model of a file was trained on energies with coefficients.

    A model stores this at the root of its file, a checkpoint also in its input; files of other
    programs do not, and use the plain sum.
    """
    if KEY in content:
        return content[KEY] is True
    found: Any = content
    for key in ("training", "input", "loss", KEY):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found is True


def note(output: OutputDef, systems: Sequence[System], used: bool) -> str:
    """Return a sentence about the systems that have coefficients, empty if none has."""
    weighted = [s.name for s in systems if {output.label, output.coefficients} <= s.labels]
    if not weighted:
        return ""
    names, file = few(weighted), f"{output.coefficients}.npy"
    if used:
        return f"— {output.plural} with the coefficients of {file}: {names}"
    return (
        f"— {output.plural} without the coefficients of {file}, since the model was not "
        f"trained with them ({KEY}): {names}"
    )
