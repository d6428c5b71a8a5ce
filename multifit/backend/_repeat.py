"""The same function of many blocks of arrays, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from ..tree import Tree, flatten, unflatten
from ._protocol import Arithmetic


@runtime_checkable
class Repeats(Protocol):
    """A backend that compiles a function of a block once, for any number of blocks."""

    def each(self, f: Callable[[Tree], Tree], blocks: Tree, /) -> Tree:
        """Return f of each block, stacked along first axes, one block at a time."""
        ...


def each(arithmetic: Arithmetic, f: Callable[[Tree], Tree], blocks: Tree) -> Tree:
    """Return the results of f for each block, stacked along first axes.

    Parameters
    ----------
    f
        Takes and returns nested dicts of arrays, which are not empty.
    blocks
        A nested dict of arrays, with one block for each index of their first axes.
    """
    if isinstance(arithmetic, Repeats):
        return arithmetic.each(f, blocks)
    flat = flatten(blocks)
    number = next(iter(flat.values())).shape[0]
    found = [
        flatten(f(unflatten({name: x[k, ...] for name, x in flat.items()}))) for k in range(number)
    ]
    stack: Any = arithmetic.xp.stack
    made = {}
    for name in list(found[0]):  # the parts of one array are released before the next is made
        made[name] = stack([part.pop(name) for part in found], axis=0)
    return unflatten(made)
