"""The tables of the energy loss: its terms, and the labels that they compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: One axis of a label: a number, or all coordinates of a frame, or the generalized coordinates.
Axis = int | Literal["3natoms", "generalized"]


@dataclass(frozen=True)
class Term:
    """One row of the table of terms.

    Attributes
    ----------
    title
        What is fitted, in messages and descriptions.
    prediction
        Key of what the model gives.
    label
        Key of what this is compared with.
    more
        Labels that the term needs besides.
    """

    title: str
    prediction: str
    label: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One row of the table of labels.

    Attributes
    ----------
    per_atom
        Whether each atom has one, or each frame.
    shape
        Axes behind that of atoms or frames.
    default
        What stands in for it where the data lack it.
    """

    per_atom: bool
    shape: tuple[Axis, ...] = ()
    default: float = 0.0

    def axes(self, natoms: int, generalized: int) -> tuple[int, ...]:
        """Return the shape of one atom's or frame's numbers.

        Parameters
        ----------
        natoms
            Atoms of a frame, virtual ones included.
        generalized
            Number of generalized coordinates.
        """
        sizes = {"3natoms": 3 * natoms, "generalized": generalized}
        return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in self.shape)


#: The suffix of a pair of prefactors → what they weigh.
TERMS: dict[str, Term] = {
    "e": Term("energy", "energy", "energy"),
    "f": Term("force", "force", "force"),
    "v": Term("virial", "virial", "virial"),
    "h": Term("Hessian", "hessian", "hessian"),
    "ae": Term("atomic energy", "atom_energy", "atom_ener"),
    "pf": Term("force weighted per atom", "force", "force", ("atom_pref",)),
    "gf": Term("generalized force", "force", "force", ("drdq",)),
}

#: Every label of a term, and the coefficients of ``enable_atom_ener_coeff``.
LABELS: dict[str, Kind] = {
    "energy": Kind(per_atom=False),
    "force": Kind(per_atom=True, shape=(3,)),
    "virial": Kind(per_atom=False, shape=(3, 3)),
    "hessian": Kind(per_atom=True, shape=(3, "3natoms")),
    "atom_ener": Kind(per_atom=True),
    "atom_pref": Kind(per_atom=True, default=1.0),
    "drdq": Kind(per_atom=True, shape=(3, "generalized")),
    "atom_ener_coeff": Kind(per_atom=True, default=1.0),
}
