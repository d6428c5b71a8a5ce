"""The contributions of atoms: descriptor, fitting net and bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import fitting as fit
from ..backend import Arithmetic
from ..batching.batch import BatchAtoms, flat_atoms
from ..batching.types import Batch
from ..nn.stacking import rules_of
from ..tree import Tree
from ._settings import Model

Array = Any


def centres(batch: Batch) -> list[str]:
    """Return the types of the atoms of a batch, in their order in it."""
    return sorted(batch["centres"], key=int)


def frames_of(xp: Any, batch: Batch) -> Array:
    """Return the frame of each atom, (N,)."""
    return xp.concat([batch["centres"][a]["frame"] for a in centres(batch)], axis=0)


def weight(xp: Any, model: Model, a: int, batch: Batch) -> Array:
    """Return a mask of the atoms of type a that contribute to the total, 1 or 0, (n,)."""
    mask = batch["centres"][str(a)]["mask"]
    return xp.zeros_like(mask) if a in model.atom_exclude_types else mask


def compared_atoms(backend: Arithmetic, model: Model, batch: Batch) -> BatchAtoms:
    """Return the atoms of a batch that a loss compares with labels.

    Atoms of ``atom_exclude_types`` have derivatives such as forces, but no output.
    """
    xp, atoms = backend.xp, flat_atoms(backend.xp, batch)
    if model.output.derivatives or not model.atom_exclude_types or not batch["centres"]:
        return atoms
    mask = xp.concat([weight(xp, model, int(a), batch) for a in centres(batch)], axis=0)
    natoms = backend.segment_sum(mask, atoms.frame, atoms.natoms.shape[0])
    # A frame without compared atoms is still one that should be zero.
    present = xp.astype(atoms.natoms > 0.0, natoms.dtype)
    return BatchAtoms(natoms, mask, atoms.frame, present)


def _counts(batch: Batch) -> dict[int, int]:
    """Return the number of atoms of each type in a batch, in its order."""
    return {int(a): batch["centres"][a]["mask"].shape[0] for a in centres(batch)}


def prepared(xp: Any, model: Model, params: Tree, batch: Batch) -> Batch:
    """Return a batch preprocessed for the networks: ``geometry`` instead of ``tables``.

    A preprocessed batch is returned unchanged. Nothing depends on trained parameters.

    Parameters
    ----------
    batch
        From :class:`multifit.batching.batch.Batcher`, possibly with a ``plan`` of the descriptor.
    """
    if "geometry" in batch:
        return batch
    geometry = model.descriptor.geometry(
        xp,
        params["descriptor"],
        batch["atype"],
        _counts(batch),
        batch["tables"],
        batch.get("plan"),
    )
    ready: Batch = {**batch, "geometry": geometry}
    del ready["tables"]
    return ready


def contributions(
    backend: Arithmetic, model: Model, params: Tree, batch: Batch
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the contributions of the atoms, and the pullback to the pair vectors.

    Parameters
    ----------
    batch
        As from :func:`prepared`.

    Returns
    -------
    y
        (N, dim_out), sorted by type.
    pullback
        Maps the same of ȳ to (N, 3, Σk), for the tables side by side.
    """
    xp, counts = backend.xp, _counts(batch)
    d, descriptor_pullback = model.descriptor.apply(
        backend, params["descriptor"], counts, batch["geometry"], batch.get("plan")
    )
    fparam = None
    if "fparam" in batch:
        fparam = xp.take(batch["fparam"], frames_of(xp, batch), axis=0)
    own = [batch["centres"][a].get("aparam") for a in centres(batch)]
    aparam = None if own[0] is None else xp.concat(own, axis=0)
    compiled = not getattr(backend, "eager", True)
    given = (params["fitting"], counts, d, fparam, aparam)
    rules = rules_of(backend, params["fitting"]["nets"])
    y, fit_pullback = fit.fit_all(xp, model.fitting, *given, compiled=compiled, rules=rules)
    parts = [weight(xp, model, a, batch) for a in counts]
    weights = xp.concat(parts, axis=0)[:, None]
    bias = xp.take(params["out_bias"], batch["atype"], axis=0)

    def pullback(y_bar: Array) -> Array:
        return descriptor_pullback(fit_pullback(y_bar * weights))

    return (y + bias) * weights, pullback


def totals(backend: Arithmetic, model: Model, params: Tree, batch: Batch) -> tuple[Array, Array]:
    """Return the sums over the atoms of each frame, and the contribution of each atom.

    (nframes, dim_out) and (N, dim_out).
    """
    xp, nframes = backend.xp, batch["natoms"].shape[0]
    if not batch["centres"]:
        shape = (model.fitting.dim_out,)
        return (
            xp.zeros((nframes, *shape), dtype=xp.float64),
            xp.zeros((0, *shape), dtype=xp.float64),
        )
    batch = prepared(xp, model, params, batch)
    each, _ = contributions(backend, model, params, batch)
    return backend.segment_sum(each, frames_of(xp, batch), nframes), each
