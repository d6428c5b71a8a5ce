"""Refusing a framework in a forked child, where it would wait forever.

A fork copies the memory of a process, but only one of its threads. PyTorch, JAX and TensorFlow
then wait for threads that do not exist.
"""

from __future__ import annotations

import os
from typing import Protocol, runtime_checkable

from ..errors import BackendError
from ._protocol import Backend

#: Name of a backend → the process that first computed with it, or that process's parent.
_USED: dict[str, int] = {}


@runtime_checkable
class Forks(Protocol):
    """A backend that tells whether it works in forked children; others do not."""

    @property
    def forks(self) -> bool:
        """True if a child can compute after its parent has computed."""
        ...


def use(backend: Backend) -> None:
    """Note that this process computes with a backend.

    Raises
    ------
    BackendError
        If this is a forked child of a process that did, and the backend does not work here.
    """
    process = os.getpid()
    if _USED.setdefault(backend.name, process) == process:
        return
    if isinstance(backend, Forks) and backend.forks:
        return
    raise BackendError(
        f"{backend.name} cannot compute in a forked child of a process that has already used it: "
        "it would wait forever for threads that a fork does not copy; start the child with "
        'multiprocessing.get_context("spawn"), load the model only after the fork, or use the '
        "numpy backend"
    )
