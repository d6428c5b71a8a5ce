"""The tables of the losses: the terms of each, and the labels that they compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: One axis of a label: a number, or all coordinates of a frame, the generalized coordinates, or the
#: points of the energy grid.
Axis = int | Literal["3natoms", "generalized", "numb_dos"]


@dataclass(frozen=True)
class Term:
    """One row of a table of terms.

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
    maybe
        Labels that an option of the term makes use of.
    """

    title: str
    prediction: str
    label: str
    more: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()


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

    def axes(self, natoms: int, generalized: int = 0, numb_dos: int = 0) -> tuple[int, ...]:
        """Return the shape of one atom's or frame's numbers.

        Parameters
        ----------
        natoms
            Atoms of a frame, virtual ones included.
        generalized
            Number of generalized coordinates.
        numb_dos
            Number of points of the energy grid.
        """
        sizes = {"3natoms": 3 * natoms, "generalized": generalized, "numb_dos": numb_dos}
        return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in self.shape)


#: A suffix of a pair of prefactors → what they weigh.
Table = Mapping[str, Term]

ENERGY_TERMS: dict[str, Term] = {
    "e": Term("energy", "energy", "energy", maybe=("atom_ener_coeff",)),
    "f": Term("force", "force", "force"),
    "v": Term("virial", "virial", "virial"),
    "h": Term("Hessian", "hessian", "hessian"),
    "ae": Term("atomic energy", "atom_energy", "atom_ener"),
    "pf": Term("force weighted per atom", "force", "force", ("atom_pref",)),
    "gf": Term("generalized force", "force", "force", ("drdq",)),
}

DOS_TERMS: dict[str, Term] = {
    "dos": Term("density of states", "dos", "dos"),
    "cdf": Term("running sum of the density of states", "dos", "dos"),
    "ados": Term("density of states of each atom", "atom_dos", "atom_dos"),
    "acdf": Term("running sum of the density of states of each atom", "atom_dos", "atom_dos"),
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
    "dos": Kind(per_atom=False, shape=("numb_dos",)),
    "atom_dos": Kind(per_atom=True, shape=("numb_dos",)),
}


def predictions(table: Table) -> dict[str, str]:
    """Return prediction → the label of the same shape."""
    return {term.prediction: term.label for term in table.values()}


def labels(table: Table) -> tuple[str, ...]:
    """Return every label that some term, or an option of one, makes use of."""
    terms = table.values()
    found = [term.label for term in terms]
    found += [key for term in terms for key in (*term.more, *term.maybe)]
    return tuple(dict.fromkeys(found))
