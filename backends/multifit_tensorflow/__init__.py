"""TensorFlow: training and inference, compiled by XLA."""

from __future__ import annotations

import logging
import os

from multifit.console.silence import is_verbose

# TensorFlow reads these at its import. The whole memory of a GPU is not ours to take.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
if not is_verbose():
    # The one silences TensorFlow and XLA but for a banner about oneDNN, which the other turns off;
    # in float64 nothing is slower for it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

from ._backend import TensorFlowBackend as TensorFlowBackend
from ._backend import limit_threads as limit_threads
from ._module import Module as Module


def backend() -> TensorFlowBackend:
    """Return the adapter (the entry point of ``multifit.backends``)."""
    limit_threads()
    return TensorFlowBackend()
