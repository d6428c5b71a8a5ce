"""PyTorch: training and inference on CPU or GPU."""

from __future__ import annotations

import os

# Threads that spin between operations are ruinous on a busy machine; must be set before the import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ._backend import TorchBackend as TorchBackend
from ._module import Module as Module


def backend() -> TorchBackend:
    """Return the adapter (the entry point of ``multifit.backends``)."""
    return TorchBackend()
