"""The table of files that a data system may hold besides coordinates and cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

#: One axis of a label: a number, the atoms, their Cartesian components, or any size.
Axis = int | Literal["natoms", "3natoms", "ndof"]


@dataclass(frozen=True)
class Label:
    """One row of the table of known files.

    Attributes
    ----------
    key
        Name of the label inside multifit.
    files
        Stems of the file in a set folder; the first existing one is read.
    shape
        Axes of one frame; ``"ndof"`` is inferred from the file.
    """

    key: str
    files: tuple[str, ...]
    shape: tuple[Axis, ...]

    @property
    def has_ndof(self) -> bool:
        """True if the size of one axis is known only from the file."""
        return "ndof" in self.shape

    def frame_shape(self, natoms: int, ndof: int = 1) -> tuple[int, ...]:
        """Return the shape of one frame.

        Parameters
        ----------
        natoms
            Number of atoms.
        ndof
            Size of the axis ``"ndof"``.
        """
        sizes = {"natoms": natoms, "3natoms": 3 * natoms, "ndof": ndof}
        return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in self.shape)

    def frame_size(self, natoms: int, ndof: int = 1) -> int:
        """Return the number of values of one frame."""
        return math.prod(self.frame_shape(natoms, ndof))


def _table(*rows: Label) -> dict[str, Label]:
    return {row.key: row for row in rows}


#: Positions in Å and cells in Å (rows are lattice vectors); every system has the first.
FRAME = _table(
    Label("coord", ("coord",), ("natoms", 3)),
    Label("cell", ("box",), (3, 3)),
)

#: Energies in eV, forces in eV/Å, virials in eV; a Hessian in eV/Å²; densities of states in 1/eV.
LABELS = _table(
    Label("energy", ("energy",), ()),
    Label("force", ("force",), ("natoms", 3)),
    Label("virial", ("virial",), (3, 3)),
    Label("atom_ener", ("atom_ener", "atomic_ener"), ("natoms",)),
    Label("atom_pref", ("atom_pref", "atomic_pref"), ("natoms",)),
    Label("atom_ener_coeff", ("atom_ener_coeff", "atomic_ener_coeff"), ("natoms",)),
    Label("drdq", ("drdq",), ("natoms", 3, "ndof")),
    Label("hessian", ("hessian",), ("3natoms", "3natoms")),
    Label("fparam", ("fparam",), ("ndof",)),
    Label("aparam", ("aparam",), ("natoms", "ndof")),
    Label("dos", ("dos",), ("ndof",)),
    Label("atom_dos", ("atom_dos", "atomic_dos"), ("natoms", "ndof")),
    Label("efermi", ("efermi",), ()),
    Label("weight", ("config_weight",), ()),
    Label("energy_weight", ("config_energy_weight",), ()),
    Label("force_weight", ("config_forces_weight", "config_force_weight"), ()),
    Label("virial_weight", ("config_virials_weight", "config_virial_weight"), ()),
)

#: Weights of frames in the loss → the label whose errors they multiply, "" for all labels.
WEIGHTS = {
    "weight": "",
    "energy_weight": "energy",
    "force_weight": "force",
    "virial_weight": "virial",
}


def weights_of(label: str) -> tuple[str, ...]:
    """Return the keys of the weights that multiply the errors of a label."""
    return tuple(key for key, target in WEIGHTS.items() if target in ("", label))
