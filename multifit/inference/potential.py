"""A trained model, ready to be used from Python."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import dos, files
from .. import models as mdl
from ..backend import Backend, get_backend
from ..data import real_types
from ..errors import DataError, FileFormatError
from ..support import Asked, require_all, require_model
from ..tree import Tree
from . import arguments as args
from . import structure as sts
from .runner import Outputs, Request, Runner
from .structure import Structure


class Potential:
    """Settings, parameters and a backend; :meth:`predict` is what people want.

    Parameters
    ----------
    model
        The settings.
    params
        The parameters as a nested dict of NumPy arrays.
    backend
        The name of a backend, or an adapter.
    embedding
        How embedding nets are evaluated: by Chebyshev series where they are exact (``auto``), only
        so (``spectral``), or at every pair (``direct``), for reference.
    atoms_at_once
        How many atoms go through the networks at once, on which the memory depends; small
        structures are put together, and large ones are cut into pieces.
    """

    def __init__(
        self,
        model: mdl.Model,
        params: Tree,
        backend: str | Backend = "numpy",
        *,
        embedding: str = "auto",
        atoms_at_once: int | None = None,
    ) -> None:
        self.model = model
        self.backend = get_backend(backend)
        require_model(model, self.backend.name)
        if atoms_at_once is not None and atoms_at_once < 1:
            raise DataError(f"atoms_at_once is {atoms_at_once}, but must be at least 1")
        self.runner = Runner(model, params, self.backend, embedding, atoms_at_once)

    def __repr__(self) -> str:
        """Return what the model is, in one line."""
        return f"<Potential {self.model} on {self.backend.name}>"

    def set_params(self, params: Tree) -> None:
        """Take other parameters (nested NumPy arrays) of the same model; nothing recompiles."""
        self.runner.set_params(params)

    @property
    def params(self) -> Tree:
        """The parameters as nested arrays of the backend."""
        return self.runner.evaluator.current.device

    @property
    def type_map(self) -> tuple[str, ...]:
        """The names of the types."""
        return self.model.type_map

    @property
    def rcut(self) -> float:
        """The cut-off in Å."""
        return self.model.descriptor.requires().rcut

    def type_indices(self, types: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
        """Return types or element symbols as numbers, (natoms,) int64.

        Raises
        ------
        DataError
            If a type is outside the model's ``type_map`` (which atom).
        """
        return sts.type_indices(self.type_map, types)

    def predict(
        self,
        coord: np.ndarray,
        types: Sequence[int] | Sequence[str] | np.ndarray,
        cell: np.ndarray | None = None,
        fparam: np.ndarray | None = None,
        aparam: np.ndarray | None = None,
        *,
        pbc: bool | Sequence[bool] | None = None,
        atom_virial: bool = False,
        hessian: bool = False,
        electrons: float | np.ndarray | None = None,
        skin: float = 0.0,
    ) -> dict[str, np.ndarray]:
        """Return energies, forces and virials, or densities of states, as NumPy arrays.

        Parameters
        ----------
        coord
            (natoms, 3) or (nframes, natoms, 3) in Å.
        types
            Integers or element symbols, (natoms,).
        cell
            None for a molecule, (3, 3) for all frames, or (nframes, 3, 3); rows are the lattice
            vectors in Å.
        fparam
            (numb_fparam,) or (nframes, numb_fparam).
        aparam
            (natoms, numb_aparam) or (nframes, natoms, numb_aparam); with ``use_aparam_as_mask``, 0
            for an atom that is not there.
        pbc
            Which lattice vectors repeat; all of them if there is a cell.
        atom_virial
            Whether the virial of each atom is wanted.
        hessian
            Whether the second derivatives of the energy are wanted.
        electrons
            How many electrons a frame has in the range of the density of states, one number or
            (nframes,); the model's own number for each type if not given.
        skin
            Å; for a simulation, of which each call has the next frame: neighbours are searched so
            much farther than the cut-off, and the list is used again while no atom has moved by
            more than half of it. 1 is a good value for liquids.

        Returns
        -------
        dict
            Of a model of energies ``energy`` (nframes,) and ``atom_energy`` (nframes, natoms) in
            eV, ``force`` (nframes, natoms, 3) in eV/Å, ``virial`` (nframes, 3, 3) in eV and on
            request ``atom_virial`` (nframes, natoms, 3, 3) in eV and ``hessian`` (nframes,
            3 natoms, 3 natoms) in eV/Å², by atoms and within an atom by x, y, z.

            Of a model of densities of states ``dos`` (nframes, numb_dos) and ``atom_dos`` (nframes,
            natoms, numb_dos) in states/eV. If the model knows its energies, also ``energies``
            (numb_dos,) in eV, and with a number of electrons ``fermi_level``, ``gap``, ``vbm``,
            ``cbm`` and ``electrons`` (nframes,) as :func:`multifit.dos.levels` has them.

        Raises
        ------
        DataError
            If shapes do not fit, a value is not finite, or a cell is singular (which frame).
        UnsupportedError
            If the backend has no Hessians.

        Examples
        --------
        >>> model = multifit.load("model.dp")  # doctest: +SKIP
        >>> model.predict(atoms.positions, atoms.symbols, atoms.cell)["energy"]  # doctest: +SKIP
        """
        self._require_sense(atom_virial, hessian, electrons)
        given = self._frames(coord, types, cell, fparam, aparam, pbc)
        if not (math.isfinite(skin) and skin >= 0):
            raise DataError(f"skin is {skin}, but must be a finite number of Å ≥ 0")
        rows = self.runner.run(given, Request(atom_virial, hessian, skin))
        found = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        return found | self._levels(found, given, electrons) if self.model.grid else found

    def predict_many(
        self,
        structures: Iterable[Any],
        *,
        atom_virial: bool = False,
        hessian: bool = False,
        electrons: float | np.ndarray | None = None,
    ) -> list[dict[str, np.ndarray]]:
        """Return for each of many structures, which may differ, what :meth:`predict` returns.

        They go through the networks together, as many as fit; their order does not matter.

        Parameters
        ----------
        structures
            Mappings with ``coord`` (natoms, 3) and ``types`` (natoms,), and if they have any,
            ``cell``, ``pbc``, ``fparam`` and ``aparam``; or ``ase.Atoms``.
        atom_virial, hessian
            As for :meth:`predict`.
        electrons
            One number, or one for each structure.

        Returns
        -------
        list
            For each structure a dict as from :meth:`predict`, but without the axis of frames:
            ``energy`` is a number, ``force`` (natoms, 3).

        Raises
        ------
        DataError
            If a structure is not right (which one, and why).
        UnsupportedError
            If the backend has no Hessians.

        Examples
        --------
        >>> water, ice = ase.io.read("water.xyz"), ase.io.read("ice.xyz")  # doctest: +SKIP
        >>> [found["energy"] for found in model.predict_many([water, ice])]  # doctest: +SKIP
        """
        self._require_sense(atom_virial, hessian, electrons)
        given = [self._structure(one, f"structure {k}") for k, one in enumerate(structures)]
        rows = self.runner.run(given, Request(atom_virial, hessian))
        if self.model.grid is None or not rows:
            return rows
        total = self.model.kind.total
        levels = self._levels({total: np.stack([row[total] for row in rows])}, given, electrons)
        energies = {"energies": levels.pop("energies")}
        return [
            row | energies | {key: x[k] for key, x in levels.items()} for k, row in enumerate(rows)
        ]

    def _frames(
        self,
        coord: Any,
        types: Any,
        cell: Any = None,
        fparam: Any = None,
        aparam: Any = None,
        pbc: Any = None,
        where: str = "",
    ) -> list[Structure]:
        """Return frames of the same atoms; ``where`` is what they are called if not ``frame k``."""
        frames = args.frames(coord)
        nframes, natoms, _ = frames.shape
        atype = self.type_indices(types)
        if atype.shape != (natoms,):
            raise DataError(f"types has the shape {atype.shape}, but coord has {natoms} atoms")
        cells = args.cells(cell, nframes)
        periodic = args.periodic(cell is not None if pbc is None else pbc)
        fitting = self.model.fitting
        extra = sts.parameters(fitting, fparam, aparam, nframes, natoms)
        masked = fitting.use_aparam_as_mask and extra[1] is not None
        return [
            Structure(
                frames[k],
                cells[k],
                periodic,
                real_types(atype, extra[1][k]) if masked and extra[1] is not None else atype,
                where or f"frame {k}",
                *(None if x is None else x[k] for x in extra),
            )
            for k in range(nframes)
        ]

    def _structure(self, given: Any, where: str) -> Structure:
        """Return one structure of those that :meth:`predict_many` takes."""
        try:
            fields = sts.fields_of(given)
            found = self._frames(**fields, where=where)
        except DataError as exc:
            raise DataError(f"{where}: {exc}") from exc
        if len(found) != 1:
            raise DataError(f"{where}: coord has {len(found)} frames; give each as a structure")
        return found[0]

    def _require_sense(
        self, atom_virial: bool, hessian: bool, electrons: float | np.ndarray | None
    ) -> None:
        """Raise for a request that does not go with the model or the backend."""
        kind = self.model.kind
        if (atom_virial or hessian) and not self.model.has_forces:
            raise DataError(
                f"the model predicts a {kind.title}, of which it has no derivatives; leave out "
                "atom_virial and hessian"
            )
        if electrons is not None and self.model.grid is None:
            raise DataError(
                "electrons was given, but the model does not know the energies of a density of "
                "states; leave it out"
            )
        require_all(Asked(hessian=hessian), self.backend.name)

    def _levels(
        self,
        found: Outputs,
        given: Sequence[Structure],
        electrons: float | np.ndarray | None,
    ) -> Outputs:
        """Return the energies of the density of states, and what follows from it."""
        grid = self.model.grid
        assert grid is not None
        more = {"energies": grid.array}
        if electrons is None and grid.electrons is None:
            return more
        if electrons is None:
            number = np.concatenate([dos.electrons_of(grid, s.atype[None]) for s in given])
        else:
            number = args.numbers("electrons", electrons)
            if number.size not in (1, len(given)):
                raise DataError(
                    f"electrons has {number.size} numbers, but must be one, or one for each of the "
                    f"{len(given)} frames"
                )
            if not (np.isfinite(number).all() and (number >= 0).all()):
                raise DataError("electrons must be finite numbers ≥ 0")
            number = np.broadcast_to(number.reshape(-1), (len(given),))
        return more | dos.levels(grid, found[self.model.kind.total], number)._asdict()


def read_model(path: str | Path) -> tuple[mdl.Model, Tree, dict[str, Any]]:
    """Return the settings, the parameters and the whole content of a model file or checkpoint.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or no model.
    UnsupportedError
        If the model is of a kind that multifit does not have.
    """
    content = files.read(path)
    if not isinstance(content.get("model"), dict):
        raise FileFormatError(f"{path} holds no model (it has no key 'model')")
    try:
        model, params = mdl.from_content(content)
    except FileFormatError as exc:
        raise FileFormatError(f"{path}: {exc}") from exc
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        reason = f"it lacks {exc}" if isinstance(exc, KeyError) else str(exc)
        raise FileFormatError(f"{path} is not a model that multifit understands: {reason}") from exc
    return model, params, content


def load(
    path: str | Path,
    backend: str | Backend = "numpy",
    *,
    embedding: str = "auto",
    atoms_at_once: int | None = None,
) -> Potential:
    """Return the model of a ``.dp``, ``.json`` or ``.yaml`` file, on a backend.

    Parameters
    ----------
    path
        A file of multifit or DeePMD-kit.
    backend
        ``numpy``, ``torch``, ``jax``, …
    embedding, atoms_at_once
        As for :class:`Potential`.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or no model.
    BackendError
        If the backend is unknown or not installed.
    """
    adapter = get_backend(backend)
    model, params, _ = read_model(path)
    return Potential(model, params, adapter, embedding=embedding, atoms_at_once=atoms_at_once)
