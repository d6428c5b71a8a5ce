"""Energies and forces of a model for the atoms of all processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...errors import EngineError, MultifitError
from ...inference.potential import Potential
from ._atoms import SKIN, Atoms, Neighbours
from ._parameters import Parameters
from ._ranks import Ranks


@dataclass(frozen=True)
class Found:
    """The results of a step on one process."""

    energy: float  #: of all atoms, eV
    virial: np.ndarray  #: of all atoms, eV, (3, 3)
    force: np.ndarray  #: of the local atoms, eV/Å, (nlocal, 3)
    atom_energy: np.ndarray  #: of the local atoms, eV, (nlocal,)
    atom_virial: np.ndarray | None  #: of the local atoms, eV, (nlocal, 3, 3)


class ModelForces:
    """A model and the pairs that it needs, on all processes.

    Parameters
    ----------
    potential
        The model.
    kinds
        The model's type of each type of LAMMPS.
    ranks
        The processes.
    parameters
        fparam and aparam.
    skin
        Å.
    """

    def __init__(
        self,
        potential: Potential,
        kinds: np.ndarray,
        ranks: Ranks,
        parameters: Parameters,
        skin: float = SKIN,
    ) -> None:
        self.potential, self.kinds, self.parameters = potential, kinds, parameters
        self.neighbours = Neighbours(potential, kinds, skin)
        self._ranks = ranks

    def evaluate(self, atoms: Atoms, *, atom_virial: bool = False) -> Found:
        """Return the results for the atoms now; to be called on all processes.

        Raises
        ------
        EngineError
            On all processes, if one of them meets an error.
        """
        near, ranks = self.neighbours, self._ranks
        if self._together(lambda: not near.serves(atoms)):
            self._together(lambda: near.search(atoms))
            near.plan(atoms, ranks)
        outputs: dict[str, np.ndarray] = {}
        self._together(lambda: outputs.update(self._outputs(atoms, atom_virial)))
        n = atoms.nlocal
        force = outputs["force"][:n]
        virials = np.ascontiguousarray(outputs["atom_virial"][:n]) if atom_virial else None
        if near.exchange is not None:
            force = np.ascontiguousarray(force)
            near.exchange.add(force, outputs["force"][n:])
            if virials is not None:
                near.exchange.add(virials, outputs["atom_virial"][n:])
        sums = ranks.total(np.append(outputs["virial"].ravel(), outputs["energy"]))
        return Found(float(sums[9]), sums[:9].reshape(3, 3), force, outputs["atom_energy"], virials)

    def _together(self, action: Callable[[], bool | None]) -> bool:
        """Run an action on each process; if it fails on one, raise an error on all.

        Returns
        -------
        bool
            True if the action returned True on any process.
        """
        flag, problem = False, None
        try:
            flag = bool(action())
        except MultifitError as exc:
            problem = str(exc)
        except BaseException as exc:
            if self._ranks.size == 1:
                raise
            problem = f"process {self._ranks.rank} failed with {type(exc).__name__}: {exc}"
        return self._ranks.agree(flag, problem)

    def _outputs(self, atoms: Atoms, atom_virial: bool) -> dict[str, np.ndarray]:
        """Return the outputs for the atoms of this process."""
        domain = self.neighbours.domain
        if domain is None:
            return _nothing(len(self.neighbours.others))
        given = self.parameters
        found = domain.evaluate(
            atoms.coord, given.fparam, given.of(atoms.nlocal), atom_virial=atom_virial
        )
        if not np.isfinite(found["energy"]):
            raise EngineError(
                "the energy of the model is not finite: the simulation is unstable; check the "
                "model, the time step and the initial structure"
            )
        return found


def _nothing(nothers: int) -> dict[str, np.ndarray]:
    """Return the outputs of a process without atoms."""
    return {
        "energy": np.zeros(()),
        "atom_energy": np.zeros(0),
        "force": np.zeros((nothers, 3)),
        "virial": np.zeros((3, 3)),
        "atom_virial": np.zeros((nothers, 3, 3)),
    }
