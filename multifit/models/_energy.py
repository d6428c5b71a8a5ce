r"""The energy of a model: E = Σ E_i, with analytic forces and virial.

With g_ij = ∂E_i/∂r_ij for r_ij = r_j − r_i, from the descriptor's pullback,

.. math::

   F_i = \sum_j g_{ij} - \sum_{k:\,j(k)=i} g_{k}, \qquad
   \Xi = -\sum_{ij} r_{ij} \otimes g_{ij}.

With ``tot_ener_zero`` the mean over the atoms of a frame is subtracted from each E_i, so that E, F
and Ξ are zero. Source: the DeePMD-kit documentation, "Fit energy" (definition of force and virial).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Arithmetic
from ..batching.types import Batch
from ..tree import Tree
from ._atomic import centres, contributions, frames_of, prepared, weight
from ._settings import Model

Array = Any


def _without_mean(
    backend: Arithmetic, model: Model, batch: Batch, energy: Array, frame: Array
) -> Array:
    """Return atomic energies (N,) less their mean over the contributing atoms of each frame."""
    xp, nframes = backend.xp, batch["natoms"].shape[0]
    counts = xp.concat([weight(xp, model, int(a), batch) for a in centres(batch)], axis=0)
    number = backend.segment_sum(counts, frame, nframes)
    # There is nothing to subtract in a frame without such atoms.
    mean = backend.segment_sum(energy, frame, nframes) / xp.maximum(number, xp.ones_like(number))
    return energy - xp.take(mean, frame, axis=0) * counts


def evaluate_energy(
    backend: Arithmetic,
    model: Model,
    params: Tree,
    batch: Batch,
    *,
    forces: bool = True,
    atom_virial: bool = False,
) -> dict[str, Array]:
    """Return energies, and by default forces and virials.

    Parameters
    ----------
    params
        As from :func:`init`, as arrays of the backend.
    batch
        From :class:`multifit.batching.batch.Batcher`, as arrays of the backend: N atoms in
        nframes frames, sorted by type, and possibly E − N ``ghosts`` at which pairs end.

    Returns
    -------
    dict
        ``energy`` (nframes,) and ``atom_energy`` (N,) in eV, ``force`` (E, 3) in eV/Å, ``virial``
        (nframes, 3, 3) in eV and on request ``atom_virial`` (E, 3, 3), where a pair counts for its
        neighbour as in DeePMD-kit.
    """
    xp = backend.xp
    nframes = batch["natoms"].shape[0]
    if not batch["centres"]:
        return _nothing(xp, nframes, forces, atom_virial)
    batch = prepared(xp, model, params, batch)
    y, pullback = contributions(backend, model, params, batch)
    atom_energy = y[:, 0]
    frame = frames_of(xp, batch)
    if model.fitting.tot_ener_zero:
        atom_energy = _without_mean(backend, model, batch, atom_energy, frame)
    out = {
        "energy": backend.segment_sum(atom_energy, frame, nframes),
        "atom_energy": atom_energy,
    }
    if not forces:
        return out
    pairs = batch["geometry"]
    if model.fitting.tot_ener_zero or "rij" not in pairs:
        return out | _zero_forces(xp, nframes, _ends(batch), atom_virial)
    g = pullback(xp.ones_like(y))
    out["force"] = _force(backend, g, pairs["index"], batch)
    per_atom = xp.matmul(pairs["rij"], xp.matrix_transpose(g))
    out["virial"] = -backend.segment_sum(per_atom, frame, nframes)
    if atom_virial:
        outer = _pairs_last(xp, g)[:, :, None] * _pairs_last(xp, pairs["rij"])[:, None, :]
        out["atom_virial"] = -backend.segment_sum(outer, _flat(xp, pairs["index"]), _ends(batch))
    return out


def _ends(batch: Batch) -> Any:
    """Return the number of atoms at which pairs may end; in an export, not known before a call."""
    atoms = batch["atype"].shape[0]
    return atoms + batch["ghosts"].shape[0] if "ghosts" in batch else atoms


def _flat(xp: Any, index: Array) -> Array:
    return xp.reshape(index, (-1,))


def _pairs_last(xp: Any, g: Array) -> Array:
    """Return (n·k, 3) from (n, 3, k)."""
    if isinstance(g, np.ndarray):  # its sums go column by column
        return g.transpose((1, 0, 2)).reshape((3, -1)).T
    return xp.reshape(xp.matrix_transpose(g), (-1, 3))


def _force(backend: Arithmetic, g: Array, index: Array, batch: Batch) -> Array:
    """Return Σ_j g_ij − Σ_k g_k over the pairs that end at each atom, (E, 3)."""
    xp = backend.xp
    pull = xp.sum(g, axis=2)
    if "ghosts" in batch:
        nghost = batch["ghosts"].shape[0]
        pull = xp.concat([pull, xp.zeros((nghost, 3), dtype=g.dtype)], axis=0)
    return pull - backend.segment_sum(_pairs_last(xp, g), _flat(xp, index), _ends(batch))


def _nothing(xp: Any, nframes: int, forces: bool, atom_virial: bool) -> dict[str, Array]:
    """Return the outputs of frames without atoms."""
    shapes = {"energy": (nframes,), "atom_energy": (0,)}
    out = {key: xp.zeros(shape, dtype=xp.float64) for key, shape in shapes.items()}
    return out | (_zero_forces(xp, nframes, 0, atom_virial) if forces else {})


def _zero_forces(xp: Any, nframes: int, n: Any, atom_virial: bool) -> dict[str, Array]:
    """Return the derivatives of an energy that does not depend on atoms."""
    shapes: dict[str, tuple[int, ...]] = {"force": (n, 3), "virial": (nframes, 3, 3)}
    if atom_virial:
        shapes["atom_virial"] = (n, 3, 3)
    return {key: xp.zeros(shape, dtype=xp.float64) for key, shape in shapes.items()}
