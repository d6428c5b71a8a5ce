"""Settings that all tests share."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

# Compiling is most of what the tests on JAX and TensorFlow do; must be set before their import.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("MULTIFIT_XLA", "0")
# Models of a few atoms have no work for two threads, which then wait for it busily.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

# A process that imports TensorFlow first may crash when it imports Paddle.
if importlib.util.find_spec("paddle") and importlib.util.find_spec("tensorflow"):
    import multifit_paddle  # noqa: F401

import array_api_strict
import pytest
from _backends import INSTALLED, STRICT_FLAGS, StrictBackend
from hypothesis import settings

# Few examples, and always the same: a failure must be there again when somebody looks.
settings.register_profile("quick", max_examples=20, deadline=None, derandomize=True)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def backends() -> tuple[str, ...]:
    """Return the names of the backends whose framework is installed."""
    return ("numpy", *INSTALLED)


@pytest.fixture
def strict() -> Iterator[StrictBackend]:
    """Return a backend that refuses whatever the Array API standard does not promise."""
    array_api_strict.set_array_api_strict_flags(**STRICT_FLAGS)
    yield StrictBackend()
    array_api_strict.reset_array_api_strict_flags()
