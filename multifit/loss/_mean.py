"""How errors are averaged: over frames, or over the atoms that are real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..backend import Backend
from ..batch import Atoms

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
