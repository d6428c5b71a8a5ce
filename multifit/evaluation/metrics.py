"""How far a model is from labels: sums of errors, and what they amount to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError


@dataclass(frozen=True)
class Quantity:
    """One row of an error table."""

    title: str
    unit: str
    label: str  #: key of the label in the data
    output: str  #: key of the model's output
    per_atom: bool = False  #: whether errors are divided by the number of atoms
    axes: int = 0  #: how many axes behind that of the frames are atoms, or components of atoms
    kind: str = "energy"  #: ``var_name`` of the models that predict it
    cumulative: bool = False  #: whether sums up to each component are compared

    def difference(
        self, output: Mapping[str, np.ndarray], label: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Return prediction − label, of sums up to each component if these are compared."""
        diff = output[self.output] - label[self.label]
        return np.cumsum(diff, axis=-1) if self.cumulative else diff


QUANTITIES: dict[str, Quantity] = {
    "energy": Quantity("energy", "eV", "energy", "energy"),
    "energy_per_atom": Quantity("energy/atom", "eV", "energy", "energy", per_atom=True),
    "force": Quantity("force", "eV/Å", "force", "force", axes=1),
    "virial": Quantity("virial", "eV", "virial", "virial"),
    "virial_per_atom": Quantity("virial/atom", "eV", "virial", "virial", per_atom=True),
    "atom_ener": Quantity("atomic energy", "eV", "atom_ener", "atom_energy", axes=1),
    "hessian": Quantity("Hessian", "eV/Å²", "hessian", "hessian", axes=2),
    "dos": Quantity("DOS", "states/eV", "dos", "dos", kind="dos"),
    "dos_per_atom": Quantity("DOS/atom", "states/eV", "dos", "dos", per_atom=True, kind="dos"),
    "cdf_per_atom": Quantity(
        "CDF/atom", "Σ states/eV", "dos", "dos", per_atom=True, kind="dos", cumulative=True
    ),
    "atom_dos": Quantity("atomic DOS", "states/eV", "atom_dos", "atom_dos", axes=1, kind="dos"),
    "atom_cdf": Quantity(
        "atomic CDF", "Σ states/eV", "atom_dos", "atom_dos", axes=1, kind="dos", cumulative=True
    ),
}

#: ``var_name`` of a model → what a finished training shows of it.
SUMMARY = {
    "energy": ("energy_per_atom", "force", "virial_per_atom", "atom_ener", "hessian"),
    "dos": ("dos_per_atom", "cdf_per_atom", "atom_dos"),
}


@dataclass
class Errors:
    """Sums of errors, by quantity; systems add up."""

    number: dict[str, int] = field(default_factory=dict)
    absolute: dict[str, float] = field(default_factory=dict)
    squared: dict[str, float] = field(default_factory=dict)

    def add(
        self,
        output: Mapping[str, np.ndarray],
        label: Mapping[str, np.ndarray],
        real: np.ndarray,
    ) -> None:
        """Add some frames.

        Parameters
        ----------
        output
            ``energy`` (n,), ``force`` (n, natoms, 3), … as a potential returns them.
        label
            The labels that there are, of the same shapes.
        real
            Which atoms are not virtual, (n, natoms).

        Raises
        ------
        DataError
            If a frame has no atom that is not virtual: it has no energy per atom.
        """
        natoms = real.sum(axis=1)
        if not natoms.all():
            raise DataError(
                f"frame {int(np.argmin(natoms))} of the {len(natoms)} that are compared together "
                "has no real atom, for all are virtual: take it out of the data"
            )
        for key, quantity in QUANTITIES.items():
            if quantity.label not in label or quantity.output not in output:
                continue
            diff = quantity.difference(output, label)
            if quantity.axes:
                diff = diff[real if quantity.axes == 1 else pairs(real)]
            if quantity.per_atom:
                diff = diff / natoms.reshape(-1, *[1] * (diff.ndim - 1))
            self.number[key] = self.number.get(key, 0) + diff.size
            self.absolute[key] = self.absolute.get(key, 0.0) + float(np.abs(diff).sum())
            self.squared[key] = self.squared.get(key, 0.0) + float((diff * diff).sum())

    def __add__(self, other: Errors) -> Errors:
        """Return the sums of both."""
        total = Errors()
        for part in (self, other):
            for key, number in part.number.items():
                total.number[key] = total.number.get(key, 0) + number
                total.absolute[key] = total.absolute.get(key, 0.0) + part.absolute[key]
                total.squared[key] = total.squared.get(key, 0.0) + part.squared[key]
        return total

    def only(self, key: str) -> Errors:
        """Return the errors of one quantity."""
        if key not in self.number:
            return Errors()
        return Errors({key: self.number[key]}, {key: self.absolute[key]}, {key: self.squared[key]})

    def mae(self, key: str) -> float:
        """Return the mean absolute error."""
        return self.absolute[key] / self.number[key]

    def rmse(self, key: str) -> float:
        """Return the root-mean-square error."""
        return float(np.sqrt(self.squared[key] / self.number[key]))


def pairs(real: np.ndarray) -> np.ndarray:
    """Return which elements of Hessians belong to real atoms.

    Parameters
    ----------
    real
        Which atoms are not virtual, (n, natoms).

    Returns
    -------
    ndarray
        Booleans (n, 3 natoms, 3 natoms).
    """
    components: np.ndarray = np.repeat(real, 3, axis=1)
    found: np.ndarray = components[:, :, None] & components[:, None, :]
    return found
