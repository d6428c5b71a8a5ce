"""Paddle: training and inference on CPU or GPU."""

from __future__ import annotations

from ._backend import PaddleBackend as PaddleBackend
from ._layer import Layer as Layer


def backend() -> PaddleBackend:
    """Return the adapter (the entry point of ``multifit.backends``)."""
    return PaddleBackend()
