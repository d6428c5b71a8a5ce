"""PyTorch: training and inference on CPU or GPU."""

from __future__ import annotations

import os

# Threads that spin long between operations are ruinous on a busy machine, those that sleep at once
# double the time of small ones: GNU's OpenMP spins so often, some 30 µs. Set before the import.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from ._backend import TorchBackend as TorchBackend
from ._module import Module as Module


def backend() -> TorchBackend:
    """Return the adapter (the entry point of ``multifit.backends``)."""
    return TorchBackend()
