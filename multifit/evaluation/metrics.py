"""Errors of a model: sums over frames and atoms, and means computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError
from ..outputs import Quantity, Variable, quantities


def difference(
    quantity: Quantity, output: Mapping[str, np.ndarray], label: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return prediction − label, of running sums over components if these are compared."""
    diff = output[quantity.variable.key] - label[quantity.label]
    return np.cumsum(diff, axis=-1) if quantity.cumulative else diff


@dataclass
class Errors:
    """Sums of errors, by quantity, which can be added over systems."""

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
            The available labels, of the same shapes.
        real
            Mask of the real atoms, (n, natoms).

        Raises
        ------
        DataError
            If a frame has no real atom, and so no energy per atom.
        """
        natoms = real.sum(axis=1)
        if not natoms.all():
            raise DataError(
                f"frame {int(np.argmin(natoms))} of the {len(natoms)} that are compared together "
                "has no real atom, for all are virtual: take it out of the data"
            )
        for key, quantity in quantities().items():
            if quantity.label not in label or quantity.variable.key not in output:
                continue
            diff = of_real_atoms(quantity.variable, difference(quantity, output, label), real)
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


def of_real_atoms(variable: Variable, values: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return the values of real atoms, as one axis; those of frames are unchanged.

    Parameters
    ----------
    values
        One array of some frames, (n, …).
    real
        Mask of the real atoms, (n, natoms).
    """
    if not variable.atom_axes:
        return values
    found: np.ndarray = values[real if variable.atom_axes == 1 else pairs(real)]
    return found


def pairs(real: np.ndarray) -> np.ndarray:
    """Return a mask of the elements of Hessians that belong to real atoms.

    Parameters
    ----------
    real
        Mask of the real atoms, (n, natoms).

    Returns
    -------
    ndarray
        Booleans (n, 3 natoms, 3 natoms).
    """
    components: np.ndarray = np.repeat(real, 3, axis=1)
    found: np.ndarray = components[:, :, None] & components[:, None, :]
    return found
