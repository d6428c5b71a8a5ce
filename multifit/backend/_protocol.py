"""The protocol of a backend: everything that multifit requires of a framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..optim.adam import Kernel

Array = Any  #: an array of the framework that runs


class Arithmetic(Protocol):
    """The arithmetic of model evaluation: the Array API and a segment sum."""

    @property
    def xp(self) -> Any:
        """The Array-API namespace that the core computes with."""
        ...

    def segment_sum(self, x: Array, index: Array, n: int, /) -> Array:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        ...


@runtime_checkable
class Backend(Arithmetic, Protocol):
    """A framework that multifit runs on."""

    @property
    def name(self) -> str:
        """Name, as given to ``--backend``."""
        ...

    @property
    def can_train(self) -> bool:
        """True if the backend can differentiate."""
        ...

    @property
    def static_shapes(self) -> bool:
        """True if every new shape triggers a compilation, so that tables are padded."""
        ...

    @property
    def eager(self) -> bool:
        """True if a training step is executed operation by operation.

        Intermediate values can then be inspected, and arrays modified in place.
        """
        ...

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return the same values, of the same dtype, on this backend's device."""
        ...

    def as_input(self, x: np.ndarray, /) -> Array:
        """Return the values as inputs of functions from :meth:`compile`, e.g. by :meth:`asarray`.

        It may share the memory of x, which is not modified afterwards.
        """
        ...

    @property
    def on_cpu(self) -> bool:
        """True if arrays are in host memory."""
        ...

    def to_numpy(self, x: Array, /) -> np.ndarray:
        """Return the values as a NumPy array, cut from any gradient."""
        ...

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Turn ``f(params, *rest) → (scalar, aux)`` into one returning ((scalar, aux), gradient).

        ``params`` is a flat dict of arrays; the gradient is a dict with the same keys.
        """
        ...

    def compile(self, f: Callable[..., Any], /, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Return the same function of nested dicts of arrays, faster; f itself will do.

        The caller does not use the arguments whose places are in ``donate`` again: results may
        take their memory.
        """
        ...

    @property
    def adam(self) -> Kernel | None:
        """The framework's kernel for an update in place, if it is ``eager`` and has one."""
        ...

    def describe(self) -> dict[str, str]:
        """Return ``version``, ``devices`` and ``threads`` in use, for ``multifit backends``."""
        ...
