"""What the terms of the energy loss look at, prediction − label, and how it is averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..backend import Backend
from ..batch import Atoms
from ._config import EnergyLossConfig
from ._terms import TERMS

Array = Any


@dataclass(frozen=True)
class Mean:
    """How errors are averaged: over frames, or over the atoms that are real."""

    backend: Backend
    of: Atoms

    @property
    def xp(self) -> Any:
        """The namespace."""
        return self.backend.xp

    def frames(self, x: Array) -> Array:
        """Return the mean over frames and components of x (nframes, …)."""
        return self.xp.mean(x)

    def atoms(self, x: Array) -> Array:
        """Return the mean over real atoms and components of x (N, c)."""
        total = self.xp.sum(x * self.of.mask[:, None])
        return total / (self.xp.sum(self.of.natoms) * x.shape[1])

    def pairs(self, x: Array) -> Array:
        """Return the mean over frames of that over the (3·natoms)² elements of x (N, 9·natoms).

        Those of virtual atoms are zero and do not count.
        """
        rows = self.xp.sum(x, axis=1) * self.of.mask
        size = 3.0 * self.of.natoms
        return self.xp.mean(self.per_frame(rows) / (size * size))

    def per_frame(self, x: Array) -> Array:
        """Return the sums over the atoms of each frame, (nframes, …), of x (N, …)."""
        return self.backend.segment_sum(x, self.of.frame, self.of.natoms.shape[0])


class Residual(NamedTuple):
    """The errors of a term, their weights, and the mean that the term takes of them."""

    error: Array  #: two axes; the first that of frames or atoms
    mean: Callable[[Array], Array]
    weight: Array | None = None


def length(xp: Any, x: Array) -> Array:
    """Return ‖x‖ over the last axis, which stays, with the gradient 0 where x = 0."""
    square = xp.sum(x * x, axis=-1, keepdims=True)
    positive = square > 0
    root = xp.sqrt(xp.where(positive, square, xp.ones_like(square)))
    return xp.where(positive, root, xp.zeros_like(root))


def residual(
    config: EnergyLossConfig,
    term: str,
    prediction: Mapping[str, Array],
    label: Mapping[str, Array],
    mean: Mean,
) -> Residual:
    """Return what a term of :data:`multifit.loss._terms.TERMS` is made of."""
    xp = mean.xp
    mine, theirs = prediction[config.prediction(term)], label[TERMS[term].label]
    if term == "e" and config.enable_atom_ener_coeff:
        mine = mean.per_frame(mine * label["atom_ener_coeff"] * mean.of.mask)
    error = mine - theirs
    error = xp.reshape(error, (error.shape[0], math.prod(error.shape[1:])))
    if term == "gf":
        pulled = label["drdq"] * error[:, :, None] * mean.of.mask[:, None, None]
        return Residual(mean.per_frame(xp.sum(pulled, axis=1)), mean.frames)
    if term in ("f", "pf") and config.relative_f is not None:
        error = error / (length(xp, theirs) + config.relative_f)
    if term == "pf":
        return Residual(error, mean.atoms, label["atom_pref"][:, None])
    if term == "h":
        return Residual(error, mean.pairs)
    return Residual(error, mean.frames if term in ("e", "v") else mean.atoms)
