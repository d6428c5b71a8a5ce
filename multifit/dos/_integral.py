"""The integral of a piecewise linear density of states, and its inverse."""

from __future__ import annotations

from typing import Any, final

import numpy as np

Array = np.ndarray[Any, Any]


@final
class Integral:
    """n(ε) = ∫ D dε of each frame, from the first energy of the grid.

    D is linear between the energies ε_k, so that the trapezoid rule gives n(ε_k) exactly, and
    within a step, n(ε_k + t) = n(ε_k) + D_k·t + (D_{k+1} − D_k)·t² / (2·(ε_{k+1} − ε_k)).

    Parameters
    ----------
    energies
        Increasing, (m,).
    dos
        (nframes, m); values below zero count as zero, so that n never decreases.
    """

    def __init__(self, energies: Array, dos: Array) -> None:
        self.energies = energies
        self.dos = np.maximum(dos, 0.0)
        steps = np.diff(energies) * (self.dos[:, 1:] + self.dos[:, :-1]) / 2
        self.at_nodes = np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))

    def count(self, energy: Array) -> Array:
        """Return n at an energy of each frame (nframes,), NaN outside the grid."""
        left, inside = self._step(energy)
        start, slope = self._line(left)
        t = np.where(inside, energy - self.energies[left], np.nan)
        return np.asarray(_at(self.at_nodes, left) + t * (start + slope * t / 2))

    def density(self, energy: Array) -> Array:
        """Return D at an energy of each frame (nframes,), NaN outside the grid."""
        left, inside = self._step(energy)
        start, slope = self._line(left)
        return np.asarray(start + slope * np.where(inside, energy - self.energies[left], np.nan))

    def energy(self, count: Array) -> Array:
        """Return the lowest energy at which n of each frame (nframes,) reaches ``count``.

        NaN for counts that are not above zero, or not reached in the grid.
        """
        total = self.at_nodes[:, -1]
        with np.errstate(invalid="ignore"):  # NaN is never reached
            # A sum that should be exactly the count may have been rounded down.
            reached = (count > 0) & (total >= count * (1 - 1e-12))
            count = np.minimum(count, total)
            nodes_below = (self.at_nodes < count[:, None]).sum(axis=1)
        left = np.clip(nodes_below - 1, 0, self.energies.size - 2)
        start, slope = self._line(left)
        rest = np.where(reached, count - _at(self.at_nodes, left), np.nan)
        # Of the two roots, the one within the step, in the form that survives slope = 0.
        root = np.sqrt(np.maximum(start**2 + 2 * slope * rest, 0.0))
        width = np.diff(self.energies)[left]
        with np.errstate(divide="ignore", invalid="ignore"):
            t = 2 * rest / (start + root)
        return np.asarray(self.energies[left] + np.minimum(t, width))

    def least(self, low: Array, high: Array) -> Array:
        """Return the least D of each frame between two energies, NaN if one of them is NaN."""
        with np.errstate(invalid="ignore"):
            between = (self.energies > low[:, None]) & (self.energies < high[:, None])
        inner = np.where(between, self.dos, np.inf).min(axis=1)
        return np.asarray(np.minimum(inner, np.minimum(self.density(low), self.density(high))))

    def _step(self, energy: Array) -> tuple[Array, Array]:
        """Return the step (nframes,) of an energy, and True where it is inside the grid."""
        left = np.searchsorted(self.energies, energy, side="right") - 1
        inside = (energy >= self.energies[0]) & (energy <= self.energies[-1])
        return np.clip(left, 0, self.energies.size - 2), inside

    def _line(self, left: Array) -> tuple[Array, Array]:
        """Return D at the start of a step of each frame, and its slope there."""
        start = _at(self.dos, left)
        return start, (_at(self.dos, left + 1) - start) / np.diff(self.energies)[left]


def _at(rows: Array, index: Array) -> Array:
    return np.take_along_axis(rows, index[:, None], axis=1)[:, 0]
