"""A trained model for use from Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import models as mdl
from ..backend import Backend, get_backend
from ..errors import DataError
from ..support import require_model
from ..tree import Tree, map_leaves
from . import structure as sts
from .domain import check_halo, domain
from .last_layer import LastLayer
from .levels import levels
from .parts import Outputs
from .request import Request, check_request
from .runner import Runner
from .uncertainty import Uncertainty, required


class Potential:
    """Settings, parameters and a backend; :meth:`predict` is the main method.

    Parameters
    ----------
    model
        The settings.
    params
        The parameters as a nested dict of NumPy arrays.
    backend
        The name of a backend, or an adapter.
    embedding
        Evaluation of embedding nets: by Chebyshev series where accurate enough (``auto``), only
        by series (``spectral``), or at every pair (``direct``), for reference.
    atoms_at_once
        Number of atoms evaluated at once, which determines the memory needed; small
        structures are batched, and large ones are divided into parts.
    uncertainty
        The calibrated uncertainty of these parameters, if known.
    """

    def __init__(
        self,
        model: mdl.Model,
        params: Tree,
        backend: str | Backend = "numpy",
        *,
        embedding: str = "auto",
        atoms_at_once: int | None = None,
        uncertainty: Uncertainty | None = None,
    ) -> None:
        self.model = model
        self.backend = get_backend(backend)
        require_model(model, self.backend.name)
        if atoms_at_once is not None and atoms_at_once < 1:
            raise DataError(f"atoms_at_once is {atoms_at_once}, but must be at least 1")
        self.runner = Runner(model, params, self.backend, embedding, atoms_at_once)
        self.uncertainty = uncertainty
        self._last_layer: LastLayer | None = None
        self._evaluation = (embedding, atoms_at_once)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the parts for pickle and copy; compiled functions are made again."""
        params = map_leaves(self.backend.to_numpy, self.params)
        embedding, at_once = self._evaluation
        make = partial(
            Potential, embedding=embedding, atoms_at_once=at_once, uncertainty=self.uncertainty
        )
        return make, (self.model, params, self.backend.name)

    def __repr__(self) -> str:
        """Return a one-line description of the model."""
        return f"<Potential {self.model} on {self.backend.name}>"

    def set_params(self, params: Tree) -> None:
        """Set other parameters (nested NumPy arrays) of the same model, without recompilation.

        The uncertainty is lost.
        """
        self.runner.set_params(params)
        self.uncertainty = self._last_layer = None

    @property
    def last_layer(self) -> LastLayer:
        """The inputs of the fitting net's last layer."""
        if self._last_layer is None:
            embedding, at_once = self._evaluation
            params = self.runner.evaluator.current.host
            self._last_layer = LastLayer(self.model, params, self.backend, embedding, at_once)
        return self._last_layer

    @property
    def params(self) -> Tree:
        """The parameters as nested arrays of the backend."""
        return self.runner.evaluator.current.device

    @property
    def type_map(self) -> tuple[str, ...]:
        """The names of the types."""
        return self.model.type_map

    @property
    def outside(self) -> tuple[str, ...]:
        """Warnings about predictions outside of the training data, one sentence each."""
        return () if self.runner.watch is None else tuple(self.runner.watch.told)

    @property
    def rcut(self) -> float:
        """The cutoff in Å."""
        return self.model.descriptor.requires().rcut

    @property
    def halo(self) -> float:
        """Thickness of the layer of ghosts that a domain needs, Å."""
        return self.model.descriptor.requires().reach

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
        uncertainty: bool = False,
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
            for an absent atom.
        pbc
            Flags of the periodic lattice vectors; by default, all of them if there is a cell.
        atom_virial
            True to include atomic virials.
        hessian
            True to include the second derivatives of the energy.
        electrons
            Number of electrons per frame in the range of the density of states, one number or
            (nframes,); by default, the model's own number for each type.
        skin
            Å; for simulations, one call per frame: the neighbour list extends so far beyond the
            cutoff, and is reused until an atom has moved by half of it. 1 is good for liquids.
        uncertainty
            True to include standard deviations of energies, for a model that was calibrated.

        Returns
        -------
        dict
            For an energy model ``energy`` (nframes,) and ``atom_energy`` (nframes, natoms) in
            eV, ``force`` (nframes, natoms, 3) in eV/Å, ``virial`` (nframes, 3, 3) in eV and on
            request ``atom_virial`` (nframes, natoms, 3, 3) in eV, ``hessian`` (nframes, 3 natoms,
            3 natoms) in eV/Å², by atoms and within an atom by x, y, z, and ``energy_std``
            (nframes,) and ``atom_energy_std`` (nframes, natoms) in eV.

            For a density of states ``dos`` (nframes, numb_dos) and ``atom_dos`` (nframes,
            natoms, numb_dos) in states/eV. If the model has a grid of energies, also ``energies``
            (numb_dos,) in eV, and with a number of electrons ``fermi_level``, ``gap``, ``vbm``,
            ``cbm`` and ``electrons`` (nframes,) as :func:`multifit.dos.levels` has them.

        Raises
        ------
        DataError
            If shapes do not fit, a value is not finite, or a cell is singular (which frame).
        ConfigError
            If the model has no uncertainty.
        UnsupportedError
            If the backend has no Hessians.

        Examples
        --------
        >>> model = multifit.load("model.dp")  # doctest: +SKIP
        >>> model.predict(atoms.positions, atoms.symbols, atoms.cell)["energy"]  # doctest: +SKIP
        """
        request = Request(atom_virial, hessian, skin)
        check_request(self.model, self.backend.name, request, electrons)
        given = sts.structures(self.model, coord, types, cell, fparam, aparam, pbc)
        rows = self._run(given, request, uncertainty)
        found = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        grid, total = self.model.grid, found[self.model.output.name]
        return found if grid is None else found | levels(grid, total, given, electrons)

    def predict_many(
        self,
        structures: Iterable[Any],
        *,
        atom_virial: bool = False,
        hessian: bool = False,
        electrons: float | np.ndarray | None = None,
        uncertainty: bool = False,
    ) -> list[dict[str, np.ndarray]]:
        """Return the results of :meth:`predict` for each of many structures, which may differ.

        They are evaluated together, as many as fit; their order does not matter.

        Parameters
        ----------
        structures
            Mappings with ``coord`` (natoms, 3) and ``types`` (natoms,), and optionally
            ``cell``, ``pbc``, ``fparam`` and ``aparam``; or ``ase.Atoms``.
        atom_virial, hessian, uncertainty
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
            If a structure is invalid (which one, and why).
        UnsupportedError
            If the backend has no Hessians.

        Examples
        --------
        >>> water, ice = ase.io.read("water.xyz"), ase.io.read("ice.xyz")  # doctest: +SKIP
        >>> [found["energy"] for found in model.predict_many([water, ice])]  # doctest: +SKIP
        """
        request = Request(atom_virial, hessian)
        check_request(self.model, self.backend.name, request, electrons)
        given = [
            sts.structure(self.model, one, f"structure {k}") for k, one in enumerate(structures)
        ]
        rows = self._run(given, request, uncertainty)
        if self.model.grid is None or not rows:
            return rows
        total = np.stack([row[self.model.output.name] for row in rows])
        found = levels(self.model.grid, total, given, electrons)
        energies = {"energies": found.pop("energies")}
        return [
            row | energies | {key: x[k] for key, x in found.items()} for k, row in enumerate(rows)
        ]

    def _run(
        self, given: Sequence[sts.Structure], request: Request, uncertainty: bool
    ) -> list[Outputs]:
        """Return the outputs for each structure, with uncertainties on request."""
        if not uncertainty:
            return self.runner.run(given, request)
        calibrated = required(self.uncertainty)
        rows = self.runner.run(given, request)
        more = self.last_layer.uncertainties(calibrated, given, request.skin)
        return [row | extra for row, extra in zip(rows, more, strict=True)]

    def evaluate_pairs(
        self,
        rij: Any,
        i: Any,
        j: Any,
        atype: Any,
        nlocal: int,
        *,
        fparam: Any = None,
        aparam: Any = None,
        atom_virial: bool = False,
        halo: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Return energies, forces and virial of a domain, with pairs given by a simulation engine.

        All pairs of a local atom and a neighbour within :attr:`rcut` must be listed, both ways if
        both are local. Pairs beyond it and those of virtual atoms are ignored. Any order will do;
        sorted by ``i`` is fastest. Summed over all domains of a system, the results equal those of
        :meth:`predict` if forces on ghosts are added to the atoms they are images of. Arrays of the
        backend are copied to the host. Threads may share a potential.

        Parameters
        ----------
        rij
            Vectors r_j − r_i in Å, (npairs, 3).
        i, j
            Centres below ``nlocal`` and neighbours below nall, (npairs,), integers from 0. Periodic
            images need no ghosts: a pair may end at a local atom, or at its own centre. If the
            descriptor passes messages, the pairs of ghosts are needed, too.
        atype
            Types or element symbols of the local atoms and then of the ghosts, (nall,); −1 is a
            virtual atom.
        nlocal
            Number of local atoms.
        fparam, aparam
            (numb_fparam,) and (nlocal, numb_aparam); with ``use_aparam_as_mask`` aparam is needed
            for ghosts, too, (nall, 1).
        atom_virial
            True to include atomic virials.
        halo
            Thickness of the engine's layer of ghosts, Å; compared with :attr:`halo` if given,
            because pairs cannot show that ghosts are missing.

        Returns
        -------
        dict
            For an energy model ``energy`` () and ``atom_energy`` (nlocal,) in eV, ``force``
            (nall, 3) in eV/Å, ``virial`` (3, 3) and on request ``atom_virial`` (nall, 3, 3) in eV,
            in which a pair counts for its neighbour. For a density of states ``dos``
            (numb_dos,) and ``atom_dos`` (nlocal, numb_dos) in states/eV.

        Raises
        ------
        DataError
            If a shape, index or type does not fit, a vector is zero or not finite (which pair), or
            the halo is too small.
        UnsupportedError
            If the model subtracts a mean over all atoms (``tot_ener_zero``).

        Examples
        --------
        >>> i, j, rij = ase.neighborlist.neighbor_list("ijD", atoms, model.rcut)  # doctest: +SKIP
        >>> model.evaluate_pairs(rij, i, j, atoms.symbols, len(atoms))  # doctest: +SKIP
        """
        request = Request(atom_virial)
        check_request(self.model, self.backend.name, request)
        if halo is not None:
            check_halo(halo, self.halo, self.rcut)
        given = domain(self.model, self.backend, rij, i, j, atype, nlocal, fparam, aparam)
        return self.runner.run_domain(given, request)
