"""Discovery of adapters: entry points of the group ``multifit.backends``."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import logging
import time
import warnings
from collections.abc import Callable
from typing import Generic, Protocol, TypeGuard

from ..errors import BackendError, MultifitError, did_you_mean
from ._protocol import Backend
from ._versions import INSTALL_HINT, UnusableError, is_installed, refusal, too_old

#: Alternative names of backends.
ALIASES = {"dp": "numpy", "np": "numpy", "pt": "torch", "pytorch": "torch", "tf": "tensorflow"} | {
    "pd": "paddle"
}

#: The adapters of this project, with the extra that installs their framework.
KNOWN = ("numpy", "torch", "jax", "paddle", "tensorflow")

#: Backends that can train, in order of preference: JAX is the fastest on a CPU.
TRAINING = ("jax", "torch", "tensorflow", "paddle")

ENTRY_POINTS = "multifit.backends"

log = logging.getLogger(__name__)


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
    began = time.monotonic()
    try:
        backend: Backend = point.load()()
    except MultifitError:  # of the adapter itself, with its own message
        raise
    except Exception as exc:  # a broken framework can raise anything: AttributeError, OSError, …
        raise refusal(key, exc) from exc
    old = too_old(key)
    if old is not None:
        raise old
    if not _conforms(backend):
        raise BackendError(f"{point.value} does not satisfy multifit.backend.Backend")
    log.info("backend %s imported in %.1f s", key, time.monotonic() - began)
    return backend


def _conforms(backend: object) -> TypeGuard[Backend]:
    """Return True if an object has everything of :class:`Backend`.

    ``isinstance`` would evaluate its properties (before Python 3.12), for which JAX starts its
    devices: several processes of one run have to meet before that.
    """
    parts = (each for each in Backend.__mro__ if each not in (Protocol, Generic, object))
    names = {name for each in parts for name in vars(each) if not name.startswith("_")}
    missing = object()
    return all(inspect.getattr_static(backend, name, missing) is not missing for name in names)


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
        Called with one sentence if an installed framework cannot be used and the next one is.

    Raises
    ------
    BackendError
        If none can be used, or the named one cannot.
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
