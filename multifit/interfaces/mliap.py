"""LAMMPS' ``pair_style mliap unified``: a model as the object that LAMMPS loads from a pickle.

LAMMPS unpickles the file, and a pickle can run any code: load only files from people you trust.
The object itself holds the bytes of a ``.dp`` file and nothing of a framework.
"""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..errors import EngineError, FileFormatError, MultifitError
from ..files._atomic import write_atomically
from ..inference.loading import load
from ..inference.potential import Potential
from ._backend import default_backend


class MLIAPModel:
    """A model for ``pair_style mliap unified``, with the attributes and methods LAMMPS asks for.

    Attributes
    ----------
    element_types
        Names of the types, as in ``pair_coeff * * O H``.
    ndescriptors, nparams
        1: LAMMPS wants them, but no descriptors or gradients.
    rcutfac
        Half the cutoff, Å: LAMMPS doubles it.
    interface
        Set by LAMMPS.

    Parameters
    ----------
    content
        The bytes of a ``.dp`` file.
    backend
        The name of a backend; by default the fastest one where it is loaded.
    """

    ndescriptors = nparams = 1

    def __init__(self, content: bytes, backend: str | None = None) -> None:
        self._content, self._backend = content, backend
        self.interface: Any = None
        self._potential: Potential | None = None
        self.element_types = list(self.potential.type_map)
        self.rcutfac = 0.5 * self.potential.rcut

    @property
    def potential(self) -> Potential:
        """The model, loaded on first use."""
        if self._potential is None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.dp"
                path.write_bytes(self._content)
                self._potential = load(path, self._backend or default_backend())
        return self._potential

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: no objects of frameworks or of LAMMPS."""
        return {**self.__dict__, "interface": None, "_potential": None}

    def compute_forces(self, data: Any) -> None:
        """Set energies and forces of pairs.

        Parameters
        ----------
        data
            LAMMPS' data of a step: ``nlistatoms``, ``npairs``, ``pair_i``, ``rij`` (npairs, 3) in Å
            from the centre to the neighbour, ``elems``, ``jelems``.

        Raises
        ------
        EngineError
            If the arrays are on a GPU.
        """
        nlocal, npairs = int(data.nlistatoms), int(data.npairs)
        if nlocal == 0:
            return
        if not isinstance(data.rij, np.ndarray):
            raise EngineError(
                f"the pairs of LAMMPS are a {type(data.rij).__module__}.{type(data.rij).__name__}, "
                "but must be a NumPy array; run LAMMPS without KOKKOS on a GPU"
            )
        # Each pair ends at a ghost of its own: the force on that is the one along the pair.
        types = np.concatenate([data.elems[:nlocal], data.jelems[:npairs]]).astype(np.int64)
        found = self.potential.evaluate_pairs(
            np.asarray(data.rij, dtype=np.float64).reshape(npairs, 3),
            np.asarray(data.pair_i, dtype=np.int64),
            nlocal + np.arange(npairs),
            types,
            nlocal,
        )
        data.eatoms = np.ascontiguousarray(found["atom_energy"], dtype=np.float64)
        data.energy = float(found["energy"])
        # LAMMPS adds ∂E/∂r_ij to the force on the centre, and subtracts it from the neighbour's.
        data.update_pair_forces(np.ascontiguousarray(-found["force"][nlocal:]))

    def compute_descriptors(self, data: Any) -> None:
        """Do nothing: descriptors stay in the model."""

    def compute_gradients(self, data: Any) -> None:
        """Do nothing: gradients stay in the model."""


def export_mliap(model: str | Path, output: str | Path, backend: str | None = None) -> Path:
    """Write a model as a pickle for ``pair_style mliap unified``, and return its path.

    Parameters
    ----------
    model
        A model file.
    output
        The file to write; not ``.pt`` or ``.pth``, which LAMMPS reads with PyTorch.
    backend
        The backend that LAMMPS shall use; by default the fastest one installed there.

    Raises
    ------
    EngineError
        If the model does not give forces from pairs alone.
    FileFormatError
        If the output would be read with PyTorch.
    """
    target = Path(output)
    if target.suffix in (".pt", ".pth"):
        raise FileFormatError(
            f"{target}: LAMMPS reads {target.suffix} with PyTorch, but this file is a pickle; name "
            f"it {target.with_suffix('.pkl').name}"
        )
    potential = load(model)
    fitting = potential.model.fitting
    if not potential.model.output.derivatives:
        raise EngineError(
            f"the model predicts a {potential.model.output.title}, and no energies and forces; "
            "ML-IAP needs a model of energies"
        )
    if (fitting.numb_fparam and fitting.default_fparam is None) or fitting.numb_aparam:
        raise EngineError(
            "the model takes fparam or aparam, which ML-IAP cannot give; use pair_style multifit"
        )
    made = MLIAPModel(_dp(model), backend)
    try:
        made.compute_forces(_One())
    except MultifitError as exc:
        raise EngineError(f"the model cannot be evaluated from pairs alone: {exc}") from exc
    write_atomically(target, pickle.dumps(made))
    return target


def _dp(model: str | Path) -> bytes:
    """Return a model file as the bytes of a ``.dp`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.dp"
        files.write(path, files.read(model))
        return path.read_bytes()


class _One:
    """The data of a single atom without neighbours."""

    nlistatoms, npairs = 1, 0
    rij = np.zeros((0, 3))
    pair_i = jelems = np.zeros(0, dtype=np.int32)
    elems = np.zeros(1, dtype=np.int32)
    eatoms: Any = None
    energy = 0.0

    def update_pair_forces(self, force: np.ndarray) -> None:
        """Accept forces."""
