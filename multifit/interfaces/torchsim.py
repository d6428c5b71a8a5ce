"""torch-sim: ``from multifit.interfaces.torchsim import MultifitModel``.

Many structures are evaluated together, on any backend: tensors are converted on the host. The
class is made on first use, because torch-sim, its base class and PyTorch are imported with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Backend
from ..batching.batch import Batcher
from ..errors import EngineError
from ..inference.loading import load
from ..inference.neighbor_lists import NeighborLists, Numbered
from ..inference.potential import Potential
from ..inference.request import Request
from ..inference.structure import Structure
from ..neighbors.frame import Frame
from . import require


class SystemLists(NeighborLists):
    """Neighbour lists of many systems that move at the same time, by their names."""

    def __init__(self, batcher: Batcher) -> None:
        super().__init__(batcher)
        self._systems: dict[str, NeighborLists] = {}

    def _of(self, s: Structure) -> NeighborLists:
        if s.where not in self._systems:
            self._systems[s.where] = NeighborLists(self._batcher)
        return self._systems[s.where]

    def frame(self, s: Structure, skin: float = 0.0) -> Frame:
        """Return what :meth:`NeighborLists.frame` does."""
        return self._of(s).frame(s, skin)

    def ordered(self, s: Structure, size: int, skin: float = 0.0) -> Numbered:
        """Return what :meth:`NeighborLists.ordered` does."""
        return self._of(s).ordered(s, size, skin)


class Evaluation:
    """The evaluation of torch-sim's states: what the model does, in NumPy.

    Parameters
    ----------
    potential
        An energy model without fparam and aparam.
    skin
        Å by which neighbour lists extend beyond the cutoff; 0 to search every time.
    """

    def __init__(self, potential: Potential, skin: float = 1.0) -> None:
        model = potential.model
        if not model.output.derivatives:
            raise EngineError(
                f"the model predicts a {model.output.title}, but torch-sim needs energies and "
                "forces; give an energy model"
            )
        if model.fitting.parameters and model.fitting.default_fparam is None:
            raise EngineError(
                "the model takes fparam or aparam, which torch-sim does not have; use a model "
                "without them"
            )
        self.potential, self.skin = potential, skin
        self._lists = SystemLists(potential.runner.batcher)
        self._numbers, self._types = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def types(self, numbers: np.ndarray) -> np.ndarray:
        """Return the types of atoms of these atomic numbers, (natoms,), looked up once."""
        if not np.array_equal(numbers, self._numbers):
            symbols = require("ase.data", "torchsim").chemical_symbols
            self._types = self.potential.type_indices([symbols[int(z)] for z in numbers])
            self._numbers = numbers.copy()
        return self._types

    def __call__(
        self,
        coord: np.ndarray,
        cells: np.ndarray,
        pbc: Sequence[bool],
        numbers: np.ndarray,
        system: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return the outputs for a batch of systems.

        Parameters
        ----------
        coord
            Of all atoms, system by system, (natoms, 3) in Å.
        cells
            Rows are lattice vectors, (nsystems, 3, 3) in Å.
        pbc
            Flags of the lattice vectors.
        numbers
            Atomic numbers, (natoms,).
        system
            The system of each atom, ascending, (natoms,).

        Returns
        -------
        dict
            ``energy`` (nsystems,) in eV, ``forces`` (natoms, 3) in eV/Å and ``stress``
            (nsystems, 3, 3) in eV/Å³, positive under tension; 0 without a volume.
        """
        types, n = self.types(numbers), len(cells)
        edges = np.searchsorted(system, np.arange(n + 1))
        default = self.potential.model.fitting.default_fparam
        fparam = None if default is None else np.asarray(default)
        given = [
            Structure(
                coord[a:b],
                cells[k] if any(pbc) else None,
                pbc,
                types[a:b],
                f"system {k}",
                fparam,
            )
            for k, (a, b) in enumerate(pairwise(edges.tolist()))
        ]
        rows = self.potential.runner.run(given, Request(skin=self.skin), self._lists)
        virial = np.stack([row["virial"] for row in rows])
        volume = np.abs(np.linalg.det(cells))[:, None, None]
        symmetric = -0.5 * (virial + np.swapaxes(virial, 1, 2))
        stress = np.divide(symmetric, volume, out=np.zeros_like(virial), where=volume > 0)
        return {
            "energy": np.stack([row["energy"] for row in rows]).reshape(n),
            "forces": np.concatenate([row["force"] for row in rows]),
            "stress": stress,
        }


def _host(x: Any) -> np.ndarray:
    """Return a tensor as a NumPy array."""
    found: np.ndarray = x.detach().cpu().numpy()
    return found


@cache
def _model_class() -> type:
    """Return the class, whose base class is torch-sim's."""
    torch_sim = require("torch_sim", "torchsim")
    interface: Any = require("torch_sim.models.interface", "torchsim").ModelInterface
    torch = require("torch", "torchsim")

    class MultifitModel(interface):  # type: ignore[misc]
        """An energy model for torch-sim.

        Parameters
        ----------
        model
            A model file or checkpoint, or a loaded :class:`multifit.Potential`.
        backend
            ``torch``, ``jax``, ``numpy``, …
        device, dtype
            Of the tensors of states, which must match; by default the CPU and float64. Where the
            model is evaluated is the choice of its backend.
        skin
            Å by which neighbour lists extend beyond the cutoff, to be used again; 0 for none.
        """

        def __init__(
            self,
            model: str | Path | Potential,
            backend: str | Backend = "torch",
            *,
            device: Any = None,
            dtype: Any = None,
            skin: float = 1.0,
        ) -> None:
            super().__init__()
            loaded = model if isinstance(model, Potential) else load(model, backend)
            self._evaluation = Evaluation(loaded, skin)
            self._device = torch.device("cpu" if device is None else device)
            self._dtype = torch.float64 if dtype is None else dtype
            self._compute_stress = self._compute_forces = True
            self._memory_scales_with = "n_atoms_x_density"

        @property
        def potential(self) -> Potential:
            """The model."""
            return self._evaluation.potential

        @interface.compute_stress.setter  # type: ignore[untyped-decorator]
        def compute_stress(self, value: bool) -> None:
            """Choose whether the results contain stresses."""
            self._compute_stress = value

        @interface.compute_forces.setter  # type: ignore[untyped-decorator]
        def compute_forces(self, value: bool) -> None:
            """Choose whether the results contain forces."""
            self._compute_forces = value

        def forward(self, state: Any, **kwargs: Any) -> dict[str, Any]:
            """Return ``energy``, ``forces`` and ``stress`` of a state as tensors."""
            if isinstance(state, dict):
                masses = torch.ones_like(state["positions"][:, 0])
                state = torch_sim.SimState(**{"masses": masses, **state})
            pbc = state.pbc if isinstance(state.pbc, bool) else _host(state.pbc)
            found = self._evaluation(
                _host(state.positions),
                _host(state.row_vector_cell),
                np.broadcast_to(pbc, (3,)).tolist(),
                _host(state.atomic_numbers),
                _host(state.system_idx),
            )
            keys = ["energy"] + ["forces"] * self._compute_forces
            keys += ["stress"] * self._compute_stress
            like = state.positions
            return {key: like.new_tensor(found[key]) for key in keys}

    MultifitModel.__qualname__ = "MultifitModel"
    return MultifitModel


def __getattr__(name: str) -> Any:
    """Make the class on demand."""
    if name == "MultifitModel":
        return _model_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
