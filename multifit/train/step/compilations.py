"""The shapes of batches that were compiled, on backends that compile each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...backend import Backend
from ...tree import walk

Signature = tuple[tuple[str, tuple[int, ...]], ...]


def signature(*trees: Mapping[str, Any]) -> Signature:
    """Return the name and the shape of every array, in one order whatever that of the trees."""
    return tuple(sorted((name, tuple(x.shape)) for tree in trees for name, x in walk(tree)))


@dataclass
class CompiledShapes:
    """The shapes of arrays that a compiled function was called with.

    Parameters
    ----------
    count
        True if a new one costs a compilation; else none is ever new.
    """

    count: bool
    _known: set[Signature] = field(default_factory=set)

    def is_new(self, *trees: Mapping[str, Any]) -> bool:
        """Return True if arrays of these shapes come for the first time, and remember them."""
        if not self.count:
            return False
        found = signature(*trees)
        new = found not in self._known
        self._known.add(found)
        return new


def announced(
    backend: Backend, step: Callable[..., Any], tell: Callable[[int], None]
) -> Callable[..., Any]:
    """Return the training step of :func:`multifit.train.step.step.train_step`, with a notice.

    Parameters
    ----------
    tell
        Is called with the number of atoms before a batch of a new shape is compiled.
    """
    shapes = CompiledShapes(backend.static_shapes)

    def watched(params: Any, frozen: Any, state: Any, batch: Any, label: Any, scalars: Any) -> Any:
        if shapes.is_new(batch, label):
            tell(atoms(backend, batch))
        return step(params, frozen, state, batch, label, scalars)

    return watched


def atoms(backend: Backend, batch: Mapping[str, Any]) -> int:
    """Return how many real atoms all frames of a batch have together."""
    return int(backend.to_numpy(batch["natoms"]).sum())
