"""Models as forces of OpenMM: ``from multifit.interfaces.openmm import python_force``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Backend
from ..errors import DataError, EngineError
from ..inference.potential import Potential
from . import require
from ._backend import as_potential

#: kJ/mol of one eV (CODATA 2018, exact), and Å of one nm.
KJ_PER_MOL, ANGSTROM = 96.48533212331002, 10.0


@dataclass(frozen=True)
class Computation:
    """The function of an ``openmm.PythonForce``; it can be pickled.

    Attributes
    ----------
    potential
        The model.
    types
        Types of the particles, (natoms,).
    periodic
        True if the box of OpenMM is used.
    skin, fparam, aparam
        As for :meth:`multifit.Potential.predict`.
    """

    potential: Potential
    types: np.ndarray
    periodic: bool
    skin: float
    fparam: np.ndarray | None
    aparam: np.ndarray | None

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        """Return energy in kJ/mol and forces (natoms, 3) in kJ/mol/nm for a state of OpenMM."""
        # OpenMM's own unit of length is nm; converting by its units would take longer.
        coord = np.asarray(state.getPositions(asNumpy=True)._value) * ANGSTROM
        cell = None
        if self.periodic:
            cell = np.asarray(state.getPeriodicBoxVectors(asNumpy=True)._value) * ANGSTROM
        found = self.potential.predict(
            coord, self.types, cell, self.fparam, self.aparam, skin=self.skin
        )
        return float(found["energy"][0]) * KJ_PER_MOL, found["force"][0] * (KJ_PER_MOL * ANGSTROM)


def python_force(
    model: str | Path | Potential,
    elements: Any,
    *,
    periodic: bool | None = None,
    particles: Sequence[int] | None = None,
    backend: str | Backend | None = None,
    skin: float = 1.0,
    fparam: Sequence[float] | np.ndarray | None = None,
    aparam: Sequence[Sequence[float]] | np.ndarray | None = None,
) -> Any:
    """Return an ``openmm.PythonForce`` with the energy and the forces of a model.

    Parameters
    ----------
    model
        A model file or checkpoint, or a loaded :class:`multifit.Potential`.
    elements
        An ``openmm.app.Topology``, or the element symbols of all particles of the system.
    periodic
        True to use the periodic box; by default, True if a topology has one.
    particles
        The particles that the model describes; by default, all.
    backend
        ``numpy``, ``torch``, ``jax``, …; by default the fastest that is installed.
    skin, fparam, aparam
        As for :class:`multifit.interfaces.ase.MultifitCalculator`.

    Raises
    ------
    EngineError
        If OpenMM is not installed or too old, or the model has no forces.
    DataError
        If an element or a parameter does not fit the model.

    Examples
    --------
    >>> system.addForce(python_force("model.dp", pdb.topology))  # doctest: +SKIP
    """
    openmm = require("openmm", "openmm")
    if not hasattr(openmm, "PythonForce"):
        raise EngineError(
            f"OpenMM {openmm.version.version} has no PythonForce; update it: "
            'pip install --upgrade "openmm>=8.4"'
        )
    symbols, box = _symbols(elements)
    if particles is not None:
        symbols = [symbols[k] for k in particles]
    potential = as_potential(model, backend, len(symbols))
    if "force" not in potential.model.output.variables:
        raise EngineError(
            f"the model predicts {potential.model.output.plural}, but OpenMM needs forces; use an "
            "energy model"
        )
    periodic = box if periodic is None else periodic
    given = [None if x is None else np.asarray(x, dtype=np.float64) for x in (fparam, aparam)]
    types = potential.type_indices(symbols)
    force = openmm.PythonForce(Computation(potential, types, periodic, skin, *given))
    force.setUsesPeriodicBoundaryConditions(periodic)
    if particles is not None:
        force.setParticles(list(particles))
    return force


def _symbols(elements: Any) -> tuple[list[str], bool]:
    """Return the element of each particle, and True if there is a periodic box."""
    if not hasattr(elements, "atoms"):
        return [str(symbol) for symbol in elements], False
    found = []
    for k, atom in enumerate(elements.atoms()):
        if atom.element is None:
            raise DataError(f"atom {k} ({atom.name}) of the topology has no element; set it")
        found.append(str(atom.element.symbol))
    return found, elements.getPeriodicBoxVectors() is not None
