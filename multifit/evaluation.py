"""How far a model is from labels: sums of errors, and what they amount to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import DataError


@dataclass(frozen=True)
class Quantity:
    """One row of an error table."""

    title: str
    unit: str
    label: str  #: key of the label in the data
    output: str  #: key of the model's output
    per_atom: bool = False  #: whether errors are divided by the number of atoms


QUANTITIES: dict[str, Quantity] = {
    "energy": Quantity("energy", "eV", "energy", "energy"),
    "energy_per_atom": Quantity("energy/atom", "eV", "energy", "energy", per_atom=True),
    "force": Quantity("force", "eV/Å", "force", "force"),
    "virial": Quantity("virial", "eV", "virial", "virial"),
    "virial_per_atom": Quantity("virial/atom", "eV", "virial", "virial", per_atom=True),
    "atom_ener": Quantity("atomic energy", "eV", "atom_ener", "atom_energy"),
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
            diff = output[quantity.output] - label[quantity.label]
            if diff.ndim > 1 and diff.shape[1] == real.shape[1] and quantity.label != "virial":
                diff = diff[real]
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

    def mae(self, key: str) -> float:
        """Return the mean absolute error."""
        return self.absolute[key] / self.number[key]

    def rmse(self, key: str) -> float:
        """Return the root-mean-square error."""
        return float(np.sqrt(self.squared[key] / self.number[key]))
