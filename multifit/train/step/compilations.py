"""The compiled shapes of batches, on backends that compile for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...backend import Backend
from ...tree import map_leaves, walk

Signature = tuple[tuple[str, tuple[int, ...]], ...]


def signature(*trees: Mapping[str, Any]) -> Signature:
    """Return the name and the shape of every array, in an order independent of the trees'."""
    return tuple(sorted((name, tuple(x.shape)) for tree in trees for name, x in walk(tree)))


@dataclass
class CompiledShapes:
    """The shapes of arrays passed to a compiled function.

    Parameters
    ----------
    count
        True if a new one costs a compilation; otherwise none counts as new.
    """

    count: bool
    _known: set[Signature] = field(default_factory=set)

    def is_new(self, *trees: Mapping[str, Any]) -> bool:
        """Return True if arrays of these shapes are new, and remember them."""
        if not self.count:
            return False
        found = signature(*trees)
        new = found not in self._known
        self._known.add(found)
        return new


def announced(
    backend: Backend,
    step: Callable[..., Any],
    tell: Callable[[int], None],
    patient: Callable[..., Any],
) -> Callable[..., Any]:
    """Return the training step of :func:`multifit.train.step.step.train_step`, with a notice.

    Parameters
    ----------
    tell
        Called with the number of atoms before a batch of a new shape is compiled.
    patient
        f(step, *args): calls a step that compiles, so that signals can end it.
    """
    shapes = CompiledShapes(backend.static_shapes)

    def copied(x: Any) -> Any:
        return backend.asarray(np.array(backend.to_numpy(x)))

    def watched(params: Any, frozen: Any, state: Any, batch: Any, label: Any, scalars: Any) -> Any:
        if shapes.is_new(batch, label):
            tell(atoms(backend, batch))
            # A step that is abandoned must not change what is saved meanwhile.
            own, moments = (map_leaves(copied, x) for x in (params, state))
            return patient(step, own, frozen, moments, batch, label, scalars)
        return step(params, frozen, state, batch, label, scalars)

    return watched


def atoms(backend: Backend, batch: Mapping[str, Any]) -> int:
    """Return the number of real atoms in all frames of a batch."""
    return int(backend.to_numpy(batch["natoms"]).sum())
