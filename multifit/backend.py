"""The contract with a framework, and how adapters are found.

An adapter is an object that satisfies :class:`Backend`, reachable through the entry-point group
``multifit.backends``; a third party adds one without touching this repository.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ._allocator import keep_freed_memory
from ._frameworks import INSTALL_HINT, is_installed, refusal, too_old
from ._frameworks import UnusableError as UnusableError
from .errors import BackendError, MultifitError, did_you_mean
from .optimizer import Kernel

Array = Any  #: an array of whichever framework runs

#: Other names under which people ask for a backend.
ALIASES = {"dp": "numpy", "np": "numpy", "pt": "torch", "pytorch": "torch", "tf": "tensorflow"} | {
    "pd": "paddle"
}

#: The adapters of this project, with the extra that installs their framework.
KNOWN = ("numpy", "torch", "jax", "paddle", "tensorflow")

#: Backends that can train, in the order in which they are tried: JAX is the fastest on a CPU.
TRAINING = ("jax", "torch", "tensorflow", "paddle")

ENTRY_POINTS = "multifit.backends"

log = logging.getLogger(__name__)


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

    @property
    def eager(self) -> bool:
        """Whether a training step is done operation by operation.

        Values can then be looked at within, and arrays be changed.
        """
        ...

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return the same values, of the same dtype, on this backend's device."""
        ...

    def as_input(self, x: np.ndarray, /) -> Array:
        """Return what functions from :meth:`compile` take for the values; :meth:`asarray` will do.

        It may share the memory of x, which nobody changes any more.
        """
        ...

    @property
    def on_cpu(self) -> bool:
        """Whether arrays are in the memory of the host."""
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
        aliases = ", ".join(f"{alias} = {meant}" for alias, meant in sorted(ALIASES.items()))
        raise BackendError(
            f"unknown backend {name!r}{did_you_mean(key, known)}; known are {', '.join(known)} "
            f"(also {aliases})"
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
    keep_freed_memory()
    began = time.monotonic()
    try:
        backend = point.load()()
    except MultifitError:  # of the adapter itself, which knows what is wrong
        raise
    except Exception as exc:  # a broken framework raises anything: AttributeError, OSError, …
        raise refusal(key, exc) from exc
    old = too_old(key)
    if old is not None:
        raise old
    if not isinstance(backend, Backend):
        raise BackendError(f"{point.value} does not satisfy multifit.backend.Backend")
    log.info("backend %s imported in %.1f s", key, time.monotonic() - began)
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
        If the name is unknown, or the framework is not installed, too old or broken at import
        (the version found, the version needed or the reason, and what to type).
    """
    if not isinstance(name, str):
        return name
    return _load(canonical_name(name))


def choose_training_backend(
    name: str | None, tell: Callable[[str], object] = warnings.warn
) -> Backend:
    """Return the named backend, or without a name the first usable one of :data:`TRAINING`.

    Parameters
    ----------
    name
        A name or an alias, or None.
    tell
        Is called with one sentence if an installed framework can not be used and the next one is.

    Raises
    ------
    BackendError
        If none can be used, or the named one can not.
    """
    if name:
        return get_backend(name)
    refused: list[UnusableError] = []
    for candidate in TRAINING:
        if candidate not in _entry_points() or not is_installed(candidate):
            continue
        try:
            backend = get_backend(candidate)
        except UnusableError as exc:
            refused.append(exc)
            continue
        if refused:
            tell(f"{_reasons(refused)}: going on with {candidate}")
        return backend
    if refused:
        raise BackendError(f"no backend can train: {_reasons(refused)}; {refused[0].remedy}")
    raise BackendError(
        f"no backend that can train is installed; {INSTALL_HINT.format(extra='jax')} installs one"
    )


def _reasons(refused: list[UnusableError]) -> str:
    return " and ".join(exc.reason for exc in refused)
