"""Deviations between models for the frames of a data system, in chunks that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..data import System
from ..inference.deviation import Deviations, Levels, deviations
from ..inference.ensemble import BATCHES, Ensemble
from ..inference.request import Request
from .predictions import structures

#: Labels that errors are relative to.
KEYS = ("energy", "force", "virial")


class Chunk(NamedTuple):
    """Some frames of a system."""

    frames: np.ndarray  #: their indices, (n,)
    found: Deviations


def system_deviations(
    ensemble: Ensemble,
    system: System,
    levels: Levels,
    *,
    errors: bool = False,
) -> Iterator[Chunk]:
    """Yield the deviations for the frames of a system, in their order.

    Parameters
    ----------
    ensemble
        Energy models.
    system
        The data, with the ``type_map`` of the first model.
    levels
        For relative deviations.
    errors
        True for errors with respect to the labels instead of deviations from the mean.

    Raises
    ------
    DataError
        If a model needs parameters that the data lack, or does not know an element.
    """
    size = max(1, BATCHES * ensemble.atoms_at_once // max(system.natoms, 1))
    for start in range(0, system.nframes, size):
        frames = np.arange(start, min(start + size, system.nframes))
        yield Chunk(frames, _deviations(ensemble, system, frames, levels, errors))


def _deviations(
    ensemble: Ensemble, system: System, frames: np.ndarray, levels: Levels, errors: bool
) -> Deviations:
    """Return the deviations of some frames, which together fit into memory."""
    arrays = system.load(frames, (*KEYS * errors, "fparam", "aparam"))
    given = []
    for k, potential in enumerate(ensemble.potentials):
        own = structures(potential.model, system, frames, arrays)
        given.append([replace(s, atype=ensemble.types_of(k, s.atype)) for s in own])
    outputs = [
        {key: np.stack([row[key] for row in rows]) for key in KEYS}
        for rows in ensemble.run(given, Request())
    ]
    real = np.stack([s.atype >= 0 for s in given[0]])
    labels = {key: arrays[key] for key in KEYS if key in arrays} if errors else None
    return deviations(outputs, levels, labels, real)
