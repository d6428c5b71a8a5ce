r"""The energy of a model: E = Σ E_i, and its forces and virial written out.

With g_ij = ∂E_i/∂r_ij for r_ij = r_j − r_i, which the descriptor's pullback returns,

.. math::

   F_i = \sum_j g_{ij} - \sum_{k:\,j(k)=i} g_{k}, \qquad
   \Xi = -\sum_{ij} r_{ij} \otimes g_{ij}.

With ``tot_ener_zero`` the mean over the atoms of a frame is subtracted from each E_i, so that E, F
and Ξ are zero. Source: the DeePMD-kit documentation, "Fit energy" (definition of force and virial).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..backend import Arithmetic
from ..tree import Tree
from ._atomic import centres, contributions, frames_of, weight
from ._settings import Model

Array = Any


class Slope(NamedTuple):
    """∂E_i/∂r_ij for the pairs between n centres of one type and k neighbours of another."""

    frame: Array  #: of each centre, (n,)
    index: Array  #: the neighbours, (n, k)
    rij: Array  #: (n, 3, k)
    g: Array  #: (n, 3, k)


def _centre(
    xp: Any, model: Model, params: Tree, a: int, batch: Tree, forces: bool
) -> tuple[Array, dict[str, Array]]:
    """Return the energies (n,) of the atoms of type a, and ∂E_i/∂r_ij for each neighbour type."""
    y, pullback = contributions(xp, model, params, a, batch)
    return y[:, 0], pullback(xp.ones_like(y)) if forces else {}


def _without_mean(
    backend: Arithmetic, model: Model, batch: Tree, energy: Array, frame: Array
) -> Array:
    """Return atomic energies (N,) less their mean over the contributing atoms of each frame."""
    xp, nframes = backend.xp, batch["natoms"].shape[0]
    counts = xp.concat([weight(xp, model, int(a), batch) for a in centres(batch)], axis=0)
    number = backend.segment_sum(counts, frame, nframes)
    # Of a frame without such atoms there is nothing to subtract.
    mean = backend.segment_sum(energy, frame, nframes) / xp.maximum(number, xp.ones_like(number))
    return energy - xp.take(mean, frame, axis=0) * counts


def _pairs_last(xp: Any, g: Array) -> Array:
    """Return (n·k, 3) from (n, 3, k)."""
    return xp.reshape(xp.matrix_transpose(g), (-1, 3))


def evaluate_energy(
    backend: Arithmetic,
    model: Model,
    params: Tree,
    batch: Tree,
    *,
    forces: bool = True,
    atom_virial: bool = False,
) -> dict[str, Array]:
    """Return energies, and unless told otherwise forces and virials.

    Parameters
    ----------
    params
        As from :func:`init`, as arrays of the backend.
    batch
        As from :class:`multifit.batch.Batcher`, as arrays of the backend: N atoms in nframes
        frames, sorted by type.

    Returns
    -------
    dict
        ``energy`` (nframes,) and ``atom_energy`` (N,) in eV, ``force`` (N, 3) in eV/Å, ``virial``
        (nframes, 3, 3) in eV and on request ``atom_virial`` (N, 3, 3), where a pair counts for its
        neighbour as in DeePMD-kit.
    """
    xp = backend.xp
    nframes = batch["natoms"].shape[0]
    if not batch["centres"]:
        return _nothing(xp, nframes, forces, atom_virial)
    moves = forces and not model.fitting.tot_ener_zero
    keys = centres(batch)
    parts = [_centre(xp, model, params, int(a), batch, moves) for a in keys]
    atom_energy = xp.concat([energy for energy, _ in parts], axis=0)
    frame = frames_of(xp, batch)
    if model.fitting.tot_ener_zero:
        atom_energy = _without_mean(backend, model, batch, atom_energy, frame)
    out = {
        "energy": backend.segment_sum(atom_energy, frame, nframes),
        "atom_energy": atom_energy,
    }
    n = atom_energy.shape[0]
    if not moves:
        return out | (_zero_forces(xp, nframes, n, atom_virial) if forces else {})
    slopes = [_slopes(batch["centres"][a], g) for a, (_, g) in zip(keys, parts, strict=True)]
    pulls = [_pull(xp, energy, mine) for (energy, _), mine in zip(parts, slopes, strict=True)]
    pairs = [slope for mine in slopes for slope in mine]
    out["force"] = _force(backend, xp.concat(pulls, axis=0), pairs)
    if not pairs:
        return _zero_forces(xp, nframes, n, atom_virial) | out
    out["virial"] = _virial(backend, pairs, nframes)
    if atom_virial:
        out["atom_virial"] = _atom_virial(backend, pairs, n)
    return out


def _slopes(atoms: Tree, g: dict[str, Array]) -> list[Slope]:
    """Return ∂E_i/∂r_ij for the pairs of the atoms of one type, one for each neighbour type."""
    tables = atoms["tables"]
    return [
        Slope(atoms["frame"], tables[b]["index"], tables[b]["rij"], g[b])
        for b in sorted(g, key=int)
    ]


def _pull(xp: Any, energy: Array, slopes: list[Slope]) -> Array:
    """Return Σ_j g_ij for the atoms of one type, (n, 3)."""
    total = xp.zeros((energy.shape[0], 3), dtype=energy.dtype)
    for slope in slopes:
        total = total + xp.sum(slope.g, axis=2)
    return total


def _ends(xp: Any, slopes: list[Slope]) -> Array:
    """Return the atom at which each pair ends, one after the other."""
    return xp.concat([xp.reshape(slope.index, (-1,)) for slope in slopes], axis=0)


def _force(backend: Arithmetic, pull: Array, slopes: list[Slope]) -> Array:
    """Return Σ_j g_ij − Σ_k g_k over the pairs that end at each atom, (N, 3)."""
    if not slopes:
        return pull
    xp = backend.xp
    back = xp.concat([_pairs_last(xp, slope.g) for slope in slopes], axis=0)
    return pull - backend.segment_sum(back, _ends(xp, slopes), pull.shape[0])


def _nothing(xp: Any, nframes: int, forces: bool, atom_virial: bool) -> dict[str, Array]:
    """Return the outputs of frames without atoms."""
    shapes = {"energy": (nframes,), "atom_energy": (0,)}
    out = {key: xp.zeros(shape, dtype=xp.float64) for key, shape in shapes.items()}
    return out | (_zero_forces(xp, nframes, 0, atom_virial) if forces else {})


def _zero_forces(xp: Any, nframes: int, n: int, atom_virial: bool) -> dict[str, Array]:
    """Return what the derivatives of an energy are that no atom changes."""
    shapes: dict[str, tuple[int, ...]] = {"force": (n, 3), "virial": (nframes, 3, 3)}
    if atom_virial:
        shapes["atom_virial"] = (n, 3, 3)
    return {key: xp.zeros(shape, dtype=xp.float64) for key, shape in shapes.items()}


def _virial(backend: Arithmetic, slopes: list[Slope], nframes: int) -> Array:
    """Return −Σ r ⊗ g over the pairs of each frame, (nframes, 3, 3)."""
    xp = backend.xp
    per_atom = [xp.matmul(slope.rij, xp.matrix_transpose(slope.g)) for slope in slopes]
    frame = xp.concat([slope.frame for slope in slopes], axis=0)
    return -backend.segment_sum(xp.concat(per_atom, axis=0), frame, nframes)


def _atom_virial(backend: Arithmetic, slopes: list[Slope], n: int) -> Array:
    """Return −Σ g ⊗ r over the pairs that end at each atom, (n, 3, 3), as DeePMD-kit orders it."""
    xp = backend.xp
    outer = [
        _pairs_last(xp, slope.g)[:, :, None] * _pairs_last(xp, slope.rij)[:, None, :]
        for slope in slopes
    ]
    return -backend.segment_sum(xp.concat(outer, axis=0), _ends(xp, slopes), n)
