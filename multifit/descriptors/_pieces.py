"""A few atoms at a time, so that memory is bounded: how many, and arrays of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..backend import Backend
from ..tree import Tree, map_leaves
from ._planner import NoPlan
from ._protocol import Plan
from ._tables import concat, spans

Array = Any

#: Bytes of the widest array of a piece: on a CPU it should stay in the cache, other devices need
#: more to be busy.
ON_CPU, ON_DEVICES = 1 << 23, 1 << 29


def atoms_of(backend: Backend, numbers: int) -> int:
    """Return how many atoms are a piece, from the numbers of an atom in the widest array."""
    return max(1, (ON_CPU if backend.on_cpu else ON_DEVICES) // (8 * numbers))


def rows_in(plan: Tree | None, natoms: int, name: str = "rows") -> int | None:
    """Return how many atoms are a piece, or None if all are: without a plan, or if they are few."""
    if plan is None or name not in plan or plan[name].shape[0] >= natoms:
        return None
    return int(plan[name].shape[0])


class InPieces(NoPlan):
    """The planner of predictions: a plan that tells how many atoms are a piece."""

    def __init__(self, backend: Backend, numbers: int) -> None:
        rows = np.zeros(atoms_of(backend, numbers))
        self.plan: Plan = Plan({"rows": rows}, {"rows": backend.asarray(rows)})

    def plan_for(self, nearest: np.ndarray, params: Callable[[], Tree]) -> Plan | None:
        """Return the plan, which serves all batches."""
        return self.plan


class Pieces:
    """Arrays of N atoms as blocks of a number of rows; zeros fill up the last block.

    Parameters
    ----------
    counts
        Numbers of atoms of each type, in order: every block has its share of each, in the same
        order. A single number divides atoms without regard to types.
    rows
        Atoms of a block, about.
    """

    def __init__(self, xp: Any, counts: Mapping[int, int], rows: int) -> None:
        self.xp = xp
        self.number = max(1, -(-sum(counts.values()) // rows))
        #: of each type: atoms of all blocks, of one block
        self.whole = spans(counts)
        self.share = {a: -(-n // self.number) for a, n in counts.items()}
        self.parts = spans(self.share)
        self.natoms = sum(counts.values())

    def blocks(self, x: Array) -> Array:
        """Return (number, rows, …) from (N, …)."""
        return concat(self.xp, [self._spread(x[self.whole[a], ...], a) for a in self.whole], axis=1)

    def _spread(self, x: Array, a: int) -> Array:
        shape = (self.number, self.share[a], *x.shape[1:])
        more = shape[0] * shape[1] - x.shape[0]
        if more:
            x = self.xp.concat([x, self.xp.zeros((more, *shape[2:]), dtype=x.dtype)], axis=0)
        return self.xp.reshape(x, shape)

    def joined(self, x: Array) -> Array:
        """Return (N, …) from (number, rows, …)."""
        found = []
        for a, span in self.whole.items():
            own = x[:, self.parts[a], ...]
            flat = self.xp.reshape(own, (self.number * self.share[a], *x.shape[2:]))
            found.append(flat[: span.stop - span.start, ...])
        return concat(self.xp, found, axis=0)

    def all_blocks(self, tree: Tree) -> Tree:
        """Return a nested dict of arrays as blocks."""
        return map_leaves(self.blocks, tree)
