"""The contract with a framework, and how adapters are found.

An adapter is an object that satisfies :class:`Backend`, reachable through the entry-point group
``multifit.backends``; a third party adds one without touching this repository.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .errors import BackendError, did_you_mean

Array = Any  #: an array of whichever framework runs

#: What to type to get a backend that is not installed.
INSTALL_HINT = 'pip install "multifit[{extra}]"'

#: Other names under which people ask for a backend.
ALIASES = {"dp": "numpy", "np": "numpy", "pt": "torch", "pytorch": "torch", "tf": "tensorflow"} | {
    "pd": "paddle"
}

#: The adapters of this project, with the extra that installs their framework.
KNOWN = ("numpy", "torch", "jax", "paddle", "tensorflow")

ENTRY_POINTS = "multifit.backends"


class Arithmetic(Protocol):
    """What a model is evaluated with: the Array API, and the one function that it lacks."""

    @property
    def xp(self) -> Any:
        """The Array-API namespace that the core computes with."""
        ...

    def segment_sum(self, x: Array, index: Array, n: int, /) -> Array:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        ...


@runtime_checkable
class Backend(Arithmetic, Protocol):
    """What multifit asks of a framework."""

    @property
    def name(self) -> str:
        """What ``--backend`` takes."""
        ...

    @property
    def can_train(self) -> bool:
        """Whether :meth:`value_and_grad` exists."""
        ...

    @property
    def static_shapes(self) -> bool:
        """Whether a new shape costs a compilation, so that tables are padded."""
        ...

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return the same values, of the same dtype, on this backend's device."""
        ...

    def to_numpy(self, x: Array, /) -> np.ndarray:
        """Return the values as a NumPy array, cut from any gradient."""
        ...

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Turn ``f(params, *rest) → (scalar, aux)`` into one returning ((scalar, aux), gradient).

        ``params`` is a flat dict of arrays; the gradient is a dict with the same keys.
        """
        ...

    def compile(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the same function of nested dicts of arrays, faster; f itself will do."""
        ...

    def describe(self) -> dict[str, str]:
        """Return the framework's version and devices, for ``multifit backends``."""
        ...


@functools.cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {p.name: p for p in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def available() -> tuple[str, ...]:
    """Return the names of the registered adapters, importable or not."""
    return tuple(_entry_points())


def canonical_name(name: str) -> str:
    """Return the registered name for a name or alias (``pt`` → ``torch``).

    Raises
    ------
    BackendError
        If no adapter of that name exists.
    """
    key = ALIASES.get(name.lower(), name.lower())
    if key not in _entry_points() and key not in KNOWN:
        known = sorted({*_entry_points(), *KNOWN})
        raise BackendError(
            f"unknown backend {name!r}{did_you_mean(key, known)}; known are {', '.join(known)}"
        )
    return key


@functools.cache
def _load(key: str) -> Backend:
    point = _entry_points().get(key)
    if point is None:
        raise BackendError(
            f"this version of multifit has no adapter for backend {key!r} yet; "
            f"registered are {', '.join(sorted(_entry_points()))}"
        )
    try:
        factory = point.load()
        backend = factory()
    except ImportError as exc:
        hint = INSTALL_HINT.format(extra=key)
        raise BackendError(
            f"backend {key!r} can not be imported ({exc}); install it with: {hint}"
        ) from exc
    if not isinstance(backend, Backend):
        raise BackendError(f"{point.value} does not satisfy multifit.backend.Backend")
    return backend


def get_backend(name: str | Backend = "numpy") -> Backend:
    """Return the adapter of that name, importing its framework.

    Parameters
    ----------
    name
        ``numpy``, ``torch``, ``jax``, a third party's name, an alias such as ``pt``, or an adapter.

    Raises
    ------
    BackendError
        If the name is unknown or the framework is not installed (with what installs it).
    """
    if not isinstance(name, str):
        return name
    return _load(canonical_name(name))


def choose_training_backend(name: str | None) -> Backend:
    """Return the named backend, or without a name the first installed one that can train.

    JAX comes first: it is the fastest on a CPU.

    Raises
    ------
    BackendError
        If none is installed, or the named one is not.
    """
    if name:
        return get_backend(name)
    for candidate in ("jax", "torch"):
        if importlib.util.find_spec(candidate) is not None:
            return get_backend(candidate)
    raise BackendError(
        f"no backend that can train is installed; {INSTALL_HINT.format(extra='jax')} installs one"
    )
