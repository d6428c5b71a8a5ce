"""Paddle, imported so that it keeps quiet and bears what else is in the process."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

_CPU = Path("/proc/cpuinfo")


def verbose() -> bool:
    """Return whether ``$MULTIFIT_VERBOSE`` asks for what frameworks have to say."""
    return os.environ.get("MULTIFIT_VERBOSE", "0") not in ("", "0")


def _set_environment() -> None:
    """Set what Paddle and its libraries read when they are loaded, unless the user did."""
    # Threads that spin between operations are ruinous on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not verbose():
        os.environ.setdefault("GLOG_minloglevel", "2")  # errors only
    # The wheels bring an old MKL, which takes its slow path on AMD's processors unless told.
    if _CPU.exists() and "AuthenticAMD" in _CPU.read_text(encoding="utf-8", errors="replace"):
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")


@contextlib.contextmanager
def _own_symbols() -> Iterator[None]:
    """Let libraries that are loaded meanwhile prefer their own symbols, beside TensorFlow.

    Both bring protobuf and more; Paddle, loaded second, would call TensorFlow's and crash.
    """
    if "tensorflow" not in sys.modules or not hasattr(os, "RTLD_DEEPBIND"):
        yield
        return
    before = sys.getdlopenflags()
    sys.setdlopenflags(before | os.RTLD_DEEPBIND)
    try:
        yield
    finally:
        sys.setdlopenflags(before)


@contextlib.contextmanager
def _unchanged_logging() -> Iterator[None]:
    """Take back what an import does to the root logger; Paddle makes all libraries say more."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


_set_environment()
with _own_symbols(), _unchanged_logging(), warnings.catch_warnings():
    if not verbose():
        warnings.simplefilter("ignore")
    import paddle as paddle

# Paddle's handlers print a C++ trace at SIGTERM, where multifit writes a checkpoint.
paddle.disable_signal_handler()
