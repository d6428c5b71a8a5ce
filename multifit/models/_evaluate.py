"""The predictions of a model, for all outputs."""

from __future__ import annotations

from typing import Any

from ..backend import Arithmetic
from ..batching.types import Batch
from ..tree import Tree
from ._atomic import totals
from ._energy import evaluate_energy
from ._settings import Model

Array = Any


def evaluate(
    backend: Arithmetic,
    model: Model,
    params: Tree,
    batch: Batch,
    *,
    forces: bool = True,
    atom_virial: bool = False,
) -> dict[str, Array]:
    """Return the predictions of a model for a batch.

    Parameters and derivatives are those of :func:`evaluate_energy`; outputs without derivatives
    have none to compute.

    Returns
    -------
    dict
        For an energy ``energy`` (nframes,), ``atom_energy`` (N,), ``force`` (N, 3), ``virial``
        (nframes, 3, 3) and ``atom_virial`` (N, 3, 3) as :func:`evaluate_energy` has them. For a
        density of states ``dos`` (nframes, numb_dos) and ``atom_dos`` (N, numb_dos), in states/eV
        if the labels were.
    """
    if model.output.derivatives:
        return evaluate_energy(
            backend, model, params, batch, forces=forces, atom_virial=atom_virial
        )
    total, each = totals(backend, model, params, batch)
    return {model.output.name: total, model.output.atomic.key: each}
