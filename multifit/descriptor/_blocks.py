"""The neighbours of one type around all atoms of a batch, and where the atoms of each type lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Array = Any
Rows = dict[int, slice]  #: the type of the centres → their rows


def rows_of(counts: Mapping[int, int]) -> Rows:
    """Return the rows of each type from the number of atoms of each, in order."""
    rows, start = {}, 0
    for a, n in counts.items():
        rows[a] = slice(start, start + n)
        start += n
    return rows


@dataclass(frozen=True, eq=False)
class Block:
    r"""The slots for neighbours of one type; those that no table stores are empty.

    An empty slot has R = 0, so that R̃ = −μ/σ.
    """

    neighbour: int  #: their type
    slots: int  #: ``sel``
    mean: Array  #: μ for each atom, (N, 4, 1)
    deviation: Array  #: σ, (N, 4, 1)
    s: Array = None  #: the radial part of R, (N, k); None if no atom has such a neighbour
    rows: Array = None  #: R̃, (N, 4, k)
    seen: Array = None  #: 0 for excluded pairs, (N, 1, k); None if there are none
    near: int = 0  #: how many columns are for near pairs; they are the first ones

    @property
    def missing(self) -> int:
        """How many slots of each atom are not stored; negative if more are than there should be."""
        return self.slots - (0 if self.rows is None else int(self.rows.shape[2]))

    @property
    def counts(self) -> bool:
        """Whether there is anything in it."""
        return self.rows is not None or self.missing != 0

    @property
    def empty(self) -> Array:
        """R̃ of an empty slot, (N, 4, 1)."""
        return -self.mean / self.deviation

    def filled(self, raw: Array, seen: Array | None, near: int) -> Block:
        """Return the block with the pairs R (N, 4, k), the first columns for near ones."""
        rows = (raw - self.mean) / self.deviation
        if seen is not None:
            rows = rows * seen
        return replace(self, s=raw[:, 0, :], rows=rows, seen=seen, near=near)

    def zones(self) -> dict[str, Block]:
        """Return the slots of near pairs, if there are any, and the others, as blocks."""
        if not self.near:
            return {"far": self}
        m, few = self.near, int(self.rows.shape[2]) - self.near
        near = replace(self, slots=m, s=self.s[:, :m], rows=self.rows[:, :, :m], near=0)
        rest = replace(self, slots=self.slots - m, s=None, rows=None, near=0)
        if few:
            rest = replace(rest, s=self.s[:, m:], rows=self.rows[:, :, m:])
        return {"near": near, "far": rest}

    def unscaled(self, rows_bar: Array) -> Array:
        """Return ∂/∂R from ∂/∂R̃."""
        if self.seen is not None:
            rows_bar = rows_bar * self.seen
        return rows_bar / self.deviation
