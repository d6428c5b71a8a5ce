"""Data for fitting a bias per type: labels beside predictions.

A frame has a label of the sum over its atoms. For labels of atoms, sums over the atoms of each type
are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..data import System
from ..inference.potential import Potential
from ..models import Model
from ..statistics import type_counts
from .predictions import Chunk, predictions, spread_frames


@dataclass(frozen=True)
class AtomicBiasData:
    """Sums over the atoms that have atomic labels.

    Attributes
    ----------
    number
        Number of atoms of each type, (ntypes,).
    label, prediction
        Sums over the atoms of each type, (ntypes, m).
    squares
        Sum over all atoms and components of (prediction − label)².
    """

    number: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    squares: float

    def __add__(self, other: AtomicBiasData) -> AtomicBiasData:
        return AtomicBiasData(
            self.number + other.number,
            self.label + other.label,
            self.prediction + other.prediction,
            self.squares + other.squares,
        )

    def mean(self, total: np.ndarray) -> np.ndarray:
        """Return the means of sums (ntypes, m), NaN for types without labels."""
        number = self.number[:, None]
        return np.where(number > 0, total / np.maximum(number, 1), np.nan)

    def rmse(self, shift: np.ndarray | float = 0.0) -> float:
        """Return the error of atoms after the biases are shifted by (ntypes, m)."""
        moved = np.broadcast_to(shift, self.label.shape)
        twice = 2 * (moved * (self.prediction - self.label)).sum()
        more = (self.number[:, None] * moved * moved).sum()
        components = self.number.sum() * self.label.shape[1]
        return float(np.sqrt(max(self.squares + twice + more, 0.0) / components))


def no_atoms(ntypes: int, m: int) -> AtomicBiasData:
    """Return empty sums."""
    return AtomicBiasData(np.zeros(ntypes), np.zeros((ntypes, m)), np.zeros((ntypes, m)), 0.0)


def known_atoms(model: Model, fitted: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the labels for fitting a bias: those of frames, then those of atoms, if any.

    The partition into atomic energies is arbitrary; of these, only the sum counts
    (``bias_from_atoms`` of the output).

    Parameters
    ----------
    fitted
        The labels in the model's loss, if known: without those of atoms among
        them, the bias is fitted to frames alone.
    """
    total, atomic = model.output.label, model.output.atomic.label
    atoms = model.output.bias_from_atoms and (fitted is None or atomic in fitted)
    return (total, atomic) if atoms else (total,)


@dataclass(frozen=True)
class BiasData:
    """Labels and predictions for fitting a bias.

    Attributes
    ----------
    counts
        Atoms of each type that contribute, or the sums of their coefficients, (nframes, ntypes).
    label, prediction
        Quantity of each frame, (nframes, m): m = 1 energy in eV.
    natoms
        Atoms of each frame, (nframes,).
    atoms
        Labels of atoms, if the bias is fitted to them.
    """

    counts: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    natoms: np.ndarray
    atoms: AtomicBiasData | None = None

    @property
    def rank(self) -> int:
        """Number of independent compositions."""
        return int(np.linalg.matrix_rank(self.counts)) if self.counts.size else 0

    def absent(self) -> np.ndarray:
        """Return a mask of the types that do not occur, (ntypes,)."""
        unseen: np.ndarray = (np.abs(self.counts).sum(axis=0) == 0) & ~self.known()
        return unseen

    def known(self) -> np.ndarray:
        """Return a mask of the types with atomic labels, (ntypes,)."""
        if self.atoms is None:
            return np.zeros(self.counts.shape[1], dtype=bool)
        return np.asarray(self.atoms.number > 0)

    def rmse_per_atom(self, shift: np.ndarray | float = 0.0) -> float:
        """Return the error per atom after the biases are shifted by (ntypes, m)."""
        shape = (self.counts.shape[1], self.label.shape[1])
        moved = self.prediction + self.counts @ np.broadcast_to(shift, shape)
        return float(np.sqrt(np.mean(((moved - self.label) / self.natoms[:, None]) ** 2)))


def collect(
    potential: Potential,
    systems: Iterable[System],
    nsample: int | None = None,
    on_frames: Callable[[int], None] | None = None,
    coefficients: bool = False,
    fitted: Collection[str] | None = None,
) -> BiasData:
    """Return labels, predictions and compositions of the systems that have the model's labels.

    Parameters
    ----------
    nsample
        Number of frames of each system, evenly spread; all if None or 0.
    on_frames
        Called with the number of frames of each finished chunk.
    coefficients
        As for :func:`multifit.evaluation.predictions.predictions`.
    fitted
        As for :func:`known_atoms`.
    """
    model = potential.model
    ntypes, m, output = model.ntypes, model.fitting.dim_out, model.output
    wanted = known_atoms(model, fitted)
    counts, natoms = [np.zeros((0, ntypes))], [np.zeros(0)]
    label, prediction = [np.zeros((0, m))], [np.zeros((0, m))]
    atoms = no_atoms(ntypes, m)
    for system in systems:
        if not system.labels.intersection(wanted):
            continue
        frames = spread_frames(system, nsample)
        for chunk in predictions(potential, system, frames, coefficients=coefficients):
            if output.label in chunk.label:
                counts.append(type_counts(chunk.atype, chunk.weight, ntypes))
                label.append(chunk.label[output.label].reshape(-1, m))
                prediction.append(chunk.output[output.name].reshape(-1, m))
                natoms.append(chunk.real.sum(axis=1))
            if output.atomic.label in wanted and output.atomic.label in chunk.label:
                atoms += _of_atoms(model, chunk)
            if on_frames is not None:
                on_frames(len(chunk.frames))
    table = np.concatenate(counts).astype(np.float64)
    table[:, list(model.atom_exclude_types)] = 0.0
    return BiasData(
        table,
        np.concatenate(label),
        np.concatenate(prediction),
        np.concatenate(natoms),
        atoms if atoms.number.any() else None,
    )


def _of_atoms(model: Model, chunk: Chunk) -> AtomicBiasData:
    """Return the sums over the atoms of some frames, for the types that contribute."""
    atomic, m = model.output.atomic, model.fitting.dim_out
    found = no_atoms(model.ntypes, m)
    for a in set(range(model.ntypes)) - set(model.atom_exclude_types):
        mine = chunk.atype == a
        label, prediction = chunk.label[atomic.label][mine], chunk.output[atomic.key][mine]
        found.number[a] = len(label)
        found.label[a] = label.reshape(-1, m).sum(axis=0)
        found.prediction[a] = prediction.reshape(-1, m).sum(axis=0)
        squares = float(((prediction - label) ** 2).sum())
        found = replace(found, squares=found.squares + squares)
    return found
