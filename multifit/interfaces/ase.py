"""Models as calculators of ASE: ``from multifit.interfaces.ase import MultifitCalculator``."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..backend import Backend
from ..errors import DataError, did_you_mean
from ..inference.potential import Potential
from . import require
from ._backend import as_potential

require("ase", "ase")

from ase.calculators.calculator import Calculator, all_changes  # noqa: E402
from ase.outputs import all_outputs  # noqa: E402
from ase.stress import full_3x3_to_voigt_6_stress  # noqa: E402

#: Outputs of a model that have another name in ASE, where the first is the model's own array. All
#: others keep their names.
ASE_NAMES = {
    "energy": ("energy", "free_energy"),
    "atom_energy": ("energies",),
    "force": ("forces",),
    "virial": ("stress",),
    "atom_virial": ("stresses",),
}

#: Outputs of a model that are too large to be properties; use :meth:`multifit.Potential.predict`.
LEFT_OUT = ("hessian",)


class MultifitCalculator(Calculator):  # type: ignore[misc]
    """A model as a calculator of ASE.

    It has what the model predicts: ``energy``, ``free_energy`` (equal), ``energies``, ``forces``,
    ``stress`` and ``stresses``, or ``dos`` and ``atom_dos``. Stresses exist for cells with three
    vectors, of which at least one is periodic. They are derivatives with respect to strain, divided
    by the volume of the cell, which for a slab includes the vacuum.

    Parameters
    ----------
    model
        A model file or checkpoint, or a loaded :class:`multifit.Potential`.
    backend
        ``numpy``, ``torch``, ``jax``, …; by default the fastest that is installed.
    skin
        Å by which neighbour lists extend beyond the cutoff, to be used again in the next steps; 0
        to search every time. It does not change results.
    fparam, aparam
        Parameters of the frame (numb_fparam,) and of the atoms (natoms, numb_aparam), if the model
        has them; changed by :meth:`set`.
    **kwargs
        Other arguments of ASE's ``Calculator``: ``atoms``, ``label``, ``directory``.

    Attributes
    ----------
    potential : multifit.Potential
        The model.

    Raises
    ------
    MultifitError
        If the model cannot be loaded, or in a calculation, if an element or a parameter does not
        fit the model.

    Examples
    --------
    >>> atoms = ase.io.read("water.xyz")  # doctest: +SKIP
    >>> atoms.calc = MultifitCalculator("model.dp")  # doctest: +SKIP
    >>> atoms.get_potential_energy(), atoms.get_forces()  # doctest: +SKIP
    """

    name = "multifit"
    default_parameters = {"fparam": None, "aparam": None, "skin": 1.0}  # noqa: RUF012 - ASE's

    def __init__(
        self,
        model: str | Path | Potential,
        backend: str | Backend | None = None,
        *,
        skin: float = 1.0,
        fparam: Sequence[float] | np.ndarray | None = None,
        aparam: Sequence[Sequence[float]] | np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        atoms = kwargs.get("atoms")
        natoms = None if atoms is None else len(atoms)
        self.potential = as_potential(model, backend, natoms)
        self._variables = tuple(
            each
            for each in self.potential.model.output.variables.values()
            if each.key not in LEFT_OUT
        )
        self.implemented_properties = [
            name for each in self._variables for name in ASE_NAMES.get(each.key, (each.key,))
        ]
        self._numbers, self._types = np.zeros(0, np.int64), np.zeros(0, np.int64)
        super().__init__(skin=skin, fparam=fparam, aparam=aparam, **kwargs)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change ``skin``, ``fparam`` or ``aparam``, and return the changed ones.

        Raises
        ------
        DataError
            If there is no such parameter.
        """
        for key in kwargs:
            if key not in self.default_parameters:
                known = ", ".join(self.default_parameters)
                raise DataError(
                    f"the calculator has no parameter {key!r}"
                    f"{did_you_mean(key, self.default_parameters)}; it has {known}"
                )
        # A copy: the caller may change the array in place, which would go unnoticed.
        given = {key: x.copy() if isinstance(x, np.ndarray) else x for key, x in kwargs.items()}
        changed: dict[str, Any] = super().set(**given)
        if changed:
            self.reset()
        return changed

    def calculate(
        self,
        atoms: Any = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties, and ``stresses`` if requested."""
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        volume = _volume(atoms)
        of_atoms = "stresses" in properties and volume is not None
        found = self.potential.predict(
            atoms.positions,
            self._types_of(atoms),
            # Rows of open directions are not read, and may be zero.
            atoms.cell.array if atoms.pbc.any() else None,
            pbc=atoms.pbc,
            fparam=self.parameters["fparam"],
            aparam=self.parameters["aparam"],
            atom_virial=of_atoms and "stresses" in self.implemented_properties,
            skin=self.parameters["skin"],
        )
        results: dict[str, Any] = {}
        for each in self._variables:
            if each.key not in found:
                continue
            value: Any = found[each.key][0]
            if "virial" in each.key:
                if volume is None:
                    continue
                value = _stress(value, volume)
            elif not each.shape:
                value = float(value)
            results |= dict.fromkeys(ASE_NAMES.get(each.key, (each.key,)), value)
        self.results = results

    def export_properties(self) -> Any:
        """Return those results that ASE has names for."""
        from ase.outputs import Properties

        return Properties({key: x for key, x in self.results.items() if key in all_outputs})

    def _types_of(self, atoms: Any) -> np.ndarray:
        """Return the types of the atoms; the last ones are kept."""
        numbers = atoms.numbers
        if not np.array_equal(numbers, self._numbers):
            self._types = self.potential.type_indices(atoms.get_chemical_symbols())
            self._numbers = numbers.copy()
        return self._types

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy that shares the potential, which is expensive to compile."""
        memo[id(self.potential)] = self.potential
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__.update({key: copy.deepcopy(x, memo) for key, x in self.__dict__.items()})
        return made


def _volume(atoms: Any) -> float | None:
    """Return the volume that stresses refer to in Å³, or None if there is none."""
    return float(atoms.cell.volume) if atoms.pbc.any() and atoms.cell.rank == 3 else None


def _stress(virial: np.ndarray, volume: float) -> np.ndarray:
    """Return stresses (…, 6) in eV/Å³, in Voigt's order, for virials (…, 3, 3) in eV."""
    # The virials of atoms are not symmetric; ASE's function takes the mean of both halves.
    return np.asarray(full_3x3_to_voigt_6_stress(virial / -volume))
