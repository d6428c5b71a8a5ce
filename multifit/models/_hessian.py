r"""The Hessian of the energy: minus the derivative of the analytic forces.

.. math::

   H_{i\alpha,j\beta} = -\frac{\partial F_{i\alpha}}{\partial x_{j\beta}}, \qquad
   \frac{\partial \mathbf r_{kl}}{\partial x_{j\beta}} = (\delta_{lj} - \delta_{kj})\,\hat e_\beta .

The pair vectors get these derivatives as tangents (:mod:`multifit.autodiff.forward`), one direction
for each coordinate, and the forces return theirs. Embedding nets are evaluated at every pair:
second derivatives of a Chebyshev series of K terms lose a factor K⁴ in precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autodiff.forward import Dual, ForwardArithmetic
from ..backend import Backend
from ..batching.types import Batch, each_table, map_arrays
from ..tree import Tree, map_leaves
from ._atomic import centres
from ._energy import evaluate_energy
from ._settings import Model

Array = Any


def directions(natoms: int) -> np.ndarray:
    """Return ``batch["directions"]`` for all coordinates of frames of ``natoms`` atoms.

    (natoms, m): each column displaces one atom along x, y and z; columns can be left out.
    """
    return np.eye(natoms)


def _moved(xp: Any, moves: Array, table: dict[str, Any]) -> Array:
    """Return the derivatives of r_ij (N, 3, k) along 3m directions, (3m, N, 3, k).

    Parameters
    ----------
    moves
        Atoms displaced by each direction, (N, m).
    """
    n, _, k = table["rij"].shape
    m = moves.shape[1]
    there = xp.reshape(xp.take(moves, xp.reshape(table["index"], (-1,)), axis=0), (n, k, m))
    here = moves[:, None, :]
    one = (there - here) * table["mask"][:, :, None]
    # (m, 1, N, 1, k) × (1, 3, 1, 3, 1): along each axis the component of that axis.
    one = xp.permute_dims(one, (2, 0, 1))[:, None, :, None, :]
    axes = xp.eye(3, dtype=one.dtype)[None, :, None, :, None]
    return xp.reshape(one * axes, (3 * m, n, 3, k))


def _with_tangents(xp: Any, batch: Batch) -> Batch:
    """Return the batch with all floating arrays as Duals, and tangents for the pair vectors."""

    def constant(x: Array) -> Any:
        return Dual(xp, x) if xp.isdtype(x.dtype, "real floating") else x

    atoms = [batch["centres"][a]["atom"] for a in centres(batch)]
    moves = xp.take(batch["directions"], xp.concat(atoms, axis=0), axis=0)
    others: Batch = {**batch}
    others.pop("plan", None)
    del others["directions"]
    new = map_arrays(constant, others)
    for table, mine in zip(each_table(batch["tables"]), each_table(new["tables"]), strict=True):
        mine["rij"] = Dual(xp, table["rij"], _moved(xp, moves, table))
    return new


def evaluate_hessian(
    backend: Backend, model: Model, params: Tree, batch: Batch
) -> dict[str, Array]:
    """Return the outputs of :func:`multifit.models.evaluate_energy`, and the Hessian.

    Parameters
    ----------
    batch
        With ``directions`` (natoms, m) of :func:`directions`; all frames have natoms atoms.

    Returns
    -------
    dict
        Also ``hessian`` (N, 3, 3m) in eV/Å²: the first axis as the forces, the last by the atoms of
        ``directions`` and x, y, z. Zero for padding.
    """
    xp = backend.xp
    if not batch["centres"]:
        out = evaluate_energy(backend, model, params, batch)
        size = 3 * batch["directions"].shape[1]
        return out | {"hessian": xp.zeros((0, 3, size), dtype=xp.float64)}
    constants = map_leaves(lambda x: Dual(xp, x), params)
    duals = evaluate_energy(ForwardArithmetic(backend), model, constants, _with_tangents(xp, batch))
    slope = duals["force"].tangent
    if slope is None:  # no atom has a neighbour
        n, size = duals["force"].shape[0], 3 * batch["directions"].shape[1]
        hessian = xp.zeros((n, 3, size), dtype=xp.float64)
    else:
        hessian = -xp.permute_dims(slope, (1, 2, 0))
    return {key: x.value for key, x in duals.items()} | {"hessian": hessian}
