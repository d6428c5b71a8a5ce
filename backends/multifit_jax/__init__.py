"""JAX: training and inference, compiled by XLA."""

from __future__ import annotations

from multifit.distributed import has_joined

from ._backend import JaxBackend as JaxBackend
from ._backend import start as start
from ._functions import functions as functions


def backend() -> JaxBackend:
    """Return the adapter (the entry point of ``multifit.backends``)."""
    if not has_joined():  # JAX has to know of other processes before it starts
        start()
    return JaxBackend()
