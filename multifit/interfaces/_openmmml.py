"""The potential of openmm-ml; see :mod:`multifit.interfaces.openmmml`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..backend import Backend
from ..inference.potential import Potential
from . import require
from ._backend import as_potential
from .openmm import python_force

require("openmmml", "openmm")

from openmmml.mlpotential import MLPotentialImpl  # noqa: E402


class MultifitPotential(MLPotentialImpl):  # type: ignore[misc]
    """A model as a potential of openmm-ml.

    Parameters
    ----------
    model_path
        A model file or checkpoint, or a loaded :class:`multifit.Potential`.
    backend
        ``numpy``, ``torch``, ``jax``, …; by default the fastest that is installed.
    """

    def __init__(
        self, model_path: str | Path | Potential, backend: str | Backend | None = None
    ) -> None:
        super().__init__()
        self.potential = as_potential(model_path, backend)

    def addForces(
        self,
        topology: Any,
        system: Any,
        atoms: Iterable[int] | None,
        forceGroup: int,
        **args: Any,
    ) -> None:
        """Add the force of the model on these atoms of the topology, by default on all.

        Parameters
        ----------
        **args
            ``skin``, ``fparam`` and ``aparam`` as for
            :func:`multifit.interfaces.openmm.python_force`.
        """
        particles = None if atoms is None else list(atoms)
        force = python_force(self.potential, topology, particles=particles, **args)
        force.setForceGroup(forceGroup)
        system.addForce(force)

    def getMLLongRange(self) -> bool:
        """Return False: interactions end at the cutoff."""
        return False
