"""How errors are averaged: over frames, or over the atoms that are real."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..backend import Backend
from ..batching.batch import BatchAtoms

Array = Any


@dataclass(frozen=True)
class Mean:
    """How errors are averaged: over frames, or over the atoms that are real."""

    backend: Backend
    of: BatchAtoms

    @property
    def xp(self) -> Any:
        """The namespace."""
        return self.backend.xp

    @property
    def natoms(self) -> Array:
        """Real atoms of each frame, 1 for a frame that pads, (nframes,)."""
        return self.xp.maximum(self.of.natoms, self.xp.ones_like(self.of.natoms))

    @property
    def _real(self) -> Array:
        """1 for a frame with atoms and 0 for one that pads, (nframes,)."""
        if self.of.present is not None:
            return self.of.present
        return self.xp.astype(self.of.natoms > 0.0, self.of.natoms.dtype)

    @property
    def size(self) -> Array:
        """The mean number of real atoms, 0-d."""
        return self.xp.sum(self.of.natoms) / self.xp.sum(self._real)

    def frames(self, x: Array) -> Array:
        """Return the mean over frames and components of x (nframes, …), zero where one pads."""
        size = math.prod(x.shape[1:])
        return self.xp.sum(x) / (self.xp.sum(self._real) * float(size))

    def atoms(self, x: Array) -> Array:
        """Return the mean over real atoms and components of x (N, c)."""
        total = self.xp.sum(x * self.of.mask[:, None])
        return total / (self.xp.sum(self.of.natoms) * x.shape[1])

    def pairs(self, x: Array) -> Array:
        """Return the mean over frames of that over the (3·natoms)² elements of x (N, 9·natoms).

        Those of virtual atoms are zero and do not count.
        """
        rows = self.xp.sum(x, axis=1) * self.of.mask
        size = 3.0 * self.natoms
        return self.frames(self.per_frame(rows) / (size * size))

    def per_frame(self, x: Array) -> Array:
        """Return the sums over the atoms of each frame, (nframes, …), of x (N, …)."""
        return self.backend.segment_sum(x, self.of.frame, self.of.natoms.shape[0])
