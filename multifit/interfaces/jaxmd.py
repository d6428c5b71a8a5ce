"""jax-md: an energy function on its neighbour lists, to be differentiated and compiled by JAX.

>>> neighbor_fn, energy_fn = energy_neighbor_list(displacement, box, "model.dp", species)
... # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import models as mdl
from ..backend import get_backend
from ..batching.types import PARTS
from ..errors import DataError, EngineError
from ..inference.loading import load
from ..inference.potential import Potential
from ..inference.structure import parameters
from ..neighbors.requirements import Requirements
from . import require

Array = Any


def energy_neighbor_list(
    displacement: Callable[..., Array],
    box: Any,
    model: str | Path | Potential,
    species: Sequence[int] | Sequence[str] | np.ndarray,
    *,
    dr_threshold: float = 0.5,
    per_particle: bool = False,
    fractional_coordinates: bool = False,
    fparam: np.ndarray | None = None,
    aparam: np.ndarray | None = None,
    **neighbor_kwargs: Any,
) -> tuple[Any, Callable[..., Array]]:
    """Return the functions of a neighbour list and of the energy, as those of ``jax_md.energy``.

    Parameters
    ----------
    displacement
        From ``jax_md.space``; lengths are in Å.
    box
        As ``jax_md.partition.neighbor_list`` takes it. Its thickness must be at least twice the
        cutoff, because jax-md sees only the nearest image of each atom.
    model
        A model file, or a potential on JAX.
    species
        Types or element symbols, (natoms,); fixed.
    dr_threshold
        Å that atoms may move before the list is built anew.
    per_particle
        True to return atomic energies.
    fractional_coordinates
        True if positions are in units of the box.
    fparam, aparam
        (numb_fparam,) and (natoms, numb_aparam), if the model takes them; fixed.
    **neighbor_kwargs
        For ``jax_md.partition.neighbor_list``.

    Returns
    -------
    neighbor_fn
        ``neighbor_fn.allocate(R)`` makes a dense list, ``neighbors.update(R)`` updates it.
    energy_fn
        ``energy_fn(R, neighbor, **kwargs)`` returns the energy () or (natoms,) in eV; keyword
        arguments such as ``box`` go to ``displacement``. Of more than ``sel`` neighbours, the
        nearest are kept. The embedding nets are evaluated at every pair.

    Raises
    ------
    EngineError
        If jax-md is missing, the model is not one of energies or not on JAX, or the box is too
        small.
    DataError
        If species or parameters do not fit the model, or in a call, positions are not (natoms, 3)
        in float64.
    """
    partition = require("jax_md.partition", "jaxmd")
    space = require("jax_md.space", "jaxmd")
    potential = _on_jax(model)
    _require_large(box, potential.rcut)
    dense = partition.NeighborListFormat.Dense
    neighbor_fn = partition.neighbor_list(
        displacement,
        box,
        potential.rcut,
        dr_threshold,
        fractional_coordinates=fractional_coordinates,
        format=dense,
        **neighbor_kwargs,
    )
    atoms = _Atoms(potential, species, fparam, aparam)

    def energy_fn(R: Array, neighbor: Any, **kwargs: Any) -> Array:
        if neighbor.format is not dense:
            raise EngineError("the neighbour list is sparse; use the one of energy_neighbor_list")
        atoms.require_positions(R)
        xp, idx = potential.backend.xp, neighbor.idx
        other = xp.take(R, xp.where(idx < len(atoms.atype), idx, 0), axis=0)
        # map_neighbor calls displacement(R_j, R_i), which is R_j − R_i.
        rij = space.map_neighbor(partial(displacement, **kwargs))(R, other)
        out = mdl.evaluate(
            potential.backend,
            potential.model,
            potential.params,
            atoms.batch(rij, idx),
            forces=False,
        )
        each: Array = xp.take(out["atom_energy"], atoms.place, axis=0)
        return each if per_particle else out["energy"][0]

    return neighbor_fn, energy_fn


def _on_jax(model: str | Path | Potential) -> Potential:
    """Return an energy model on JAX."""
    potential = model if isinstance(model, Potential) else load(model, get_backend("jax"))
    if potential.backend.name != "jax":
        raise EngineError(
            f"the model is on {potential.backend.name}, but jax-md needs it on JAX; load it with "
            'backend="jax"'
        )
    if not potential.model.output.derivatives:
        raise EngineError(
            f"the model predicts a {potential.model.output.title}, but jax-md needs an energy; "
            "give an energy model"
        )
    return potential


def _require_large(box: Any, rcut: float) -> None:
    """Raise an error if an atom may have two images of another within the cutoff.

    Columns of a matrix are the lattice vectors, as in jax-md.
    """
    cell = np.asarray(box, dtype=np.float64)
    cell = np.diag(np.broadcast_to(cell, (3,))) if cell.ndim < 2 else cell
    if not np.isfinite(cell).all() or not np.linalg.det(cell):
        return  # no periodic box
    thickness = float(1.0 / np.linalg.norm(np.linalg.inv(cell), axis=1).max())
    if thickness < 2 * rcut:
        raise EngineError(
            f"the box is {thickness:.3f} Å thick, but jax-md needs twice the cutoff, {2 * rcut:g} "
            "Å, because it sees only the nearest image of each atom; repeat the structure"
        )


class _Atoms:
    """The atoms of a simulation sorted by type, which does not change."""

    def __init__(self, potential: Potential, species: Any, fparam: Any, aparam: Any) -> None:
        model, self.backend = potential.model, potential.backend
        self.model, self.rcut = model, potential.rcut
        self.atype = potential.type_indices(species)
        n = len(self.atype)
        if not n or self.atype.min() < 0:
            raise DataError("species has no atoms or virtual ones; give the types of real atoms")
        if model.fitting.use_aparam_as_mask:
            raise EngineError("the model masks atoms by aparam, which jax-md cannot; use predict")
        self.order = np.argsort(self.atype, kind="stable")
        self.place = np.argsort(self.order, kind="stable")
        self.needs = model.descriptor.requires()
        if self.needs.needs_order:
            raise EngineError(
                f"the descriptor {model.descriptor.name} needs neighbours in the order of "
                "distance, which multifit does not make from those of jax-md; use predict"
            )
        given = parameters(model.fitting, fparam, aparam, 1, n)
        self.fparam, self.aparam = given[0], None if given[1] is None else given[1][0]

    def require_positions(self, R: Array) -> None:
        """Raise an error unless there are positions of all atoms in double precision."""
        if R.shape != (len(self.atype), 3):
            raise DataError(
                f"positions have the shape {tuple(R.shape)}, but species has {len(self.atype)} "
                "atoms"
            )
        if str(R.dtype) != "float64":
            raise DataError(
                f"positions are {R.dtype}, but must be float64: make JAX arrays after the model "
                'was loaded, or call jax.config.update("jax_enable_x64", True) first'
            )

    def batch(self, rij: Array, idx: Array) -> Any:
        """Return the batch of one frame.

        Parameters
        ----------
        rij
            Vectors to the neighbours of each atom in Å, (natoms, K, 3).
        idx
            The neighbours, natoms for none, (natoms, K).
        """
        xp, n = self.backend.xp, len(self.atype)
        rij = xp.astype(xp.take(rij, self.order, axis=0), xp.float64)
        idx = xp.astype(xp.take(idx, self.order, axis=0), xp.int64)
        real = idx < n
        square = xp.where(real, xp.sum(rij * rij, axis=2), 4 * self.rcut**2)
        types = xp.take(xp.asarray(np.append(self.atype, -1)), xp.where(real, idx, n))
        index = xp.take(xp.asarray(np.append(self.place, 0)), xp.where(real, idx, n))
        sorted_types = self.atype[self.order]
        tables = []
        for needs in self.needs.each:
            within = self._counted(needs, real, types, square, sorted_types)
            tables.append(
                {
                    str(b): self._table(rij, index, square, within & (types == b), needs.sel[b])
                    for b in np.unique(self.atype).tolist()
                }
            )
        parts = {PARTS: {str(k): table for k, table in enumerate(tables)}}
        found: dict[str, Any] = {
            "natoms": xp.asarray([float(n)]),
            "atype": xp.asarray(sorted_types),
            "centres": self._centres(),
            "tables": parts if self.needs.parts else tables[0],
        }
        if self.fparam is not None:
            found["fparam"] = xp.asarray(self.fparam)
        return found

    def _counted(
        self, needs: Requirements, real: Array, types: Array, square: Array, own: np.ndarray
    ) -> Array:
        """Return True for the pairs that count: of types that interact, and the nearest of all."""
        xp, n = self.backend.xp, self.model.ntypes
        within = real & (square < needs.rcut**2)
        if self.model.pair_exclude_types:
            seen = np.ones((n, n + 1), dtype=bool)
            for a, b in self.model.pair_exclude_types:
                seen[a, b] = seen[b, a] = False
            rows = xp.asarray(seen[own])
            within = within & xp.take_along_axis(rows, xp.where(types < 0, n, types), axis=1)
        if needs.total is None:
            return within
        order = xp.argsort(xp.where(within, square, np.inf), axis=1)
        return within & (xp.argsort(order, axis=1) < needs.total)

    def _centres(self) -> dict[str, Any]:
        """Return the centres of each type."""
        xp, found = self.backend.xp, {}
        for a in np.unique(self.atype).tolist():
            atom = np.flatnonzero(self.atype == a)
            one = {
                "frame": np.zeros(len(atom), dtype=np.int64),
                "atom": atom,
                "mask": np.ones(len(atom)),
            }
            if self.aparam is not None:
                one["aparam"] = self.aparam[atom]
            found[str(a)] = {key: xp.asarray(x) for key, x in one.items()}
        return found

    def _table(self, rij: Array, index: Array, square: Array, mine: Array, sel: int) -> Any:
        """Return the table of the neighbours of one type: the nearest ``sel``."""
        xp = self.backend.xp
        # Shapes are fixed while JAX traces: as many columns as there may ever be neighbours.
        width = min(sel, index.shape[1])
        chosen = xp.argsort(xp.where(mine, square, np.inf), axis=1)[:, :width]
        mask = xp.take_along_axis(mine, chosen, axis=1)
        vector = xp.take_along_axis(rij, chosen[:, :, None], axis=1)
        vector = xp.where(mask[:, :, None], vector, 0.0)
        return {
            "rij": xp.matrix_transpose(vector),
            "index": xp.where(mask, xp.take_along_axis(index, chosen, axis=1), 0),
            "mask": xp.astype(mask, xp.float64),
            "near": xp.zeros((0,), dtype=xp.float64),
        }
