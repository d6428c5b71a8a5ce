"""Paddle, imported so that it is fast, quiet and compatible with other frameworks."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from multifit.console.silence import is_verbose
from multifit.host import threads

_CPU = Path("/proc/cpuinfo")


def _set_environment() -> None:
    """Set what Paddle and its libraries read when they are loaded, unless the user did."""
    # Threads that spin long between operations are ruinous on a busy machine, and those that sleep
    # at once are hardly better than none: 1 ms.
    os.environ.setdefault("KMP_BLOCKTIME", "1")
    # By default Paddle multiplies matrices on one core; it needs both variables.
    number = str(threads.number())
    os.environ.setdefault("OMP_NUM_THREADS", number)
    os.environ.setdefault("FLAGS_paddle_num_threads", number)
    # The wheels include an old MKL, which takes its slow path on AMD's processors by default.
    if _CPU.exists() and "AuthenticAMD" in _CPU.read_text(encoding="utf-8", errors="replace"):
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
    if not is_verbose():
        os.environ.setdefault("GLOG_minloglevel", "2")  # errors only


@contextlib.contextmanager
def _own_symbols() -> Iterator[None]:
    """Make libraries loaded meanwhile prefer their own symbols, beside TensorFlow.

    Both bring protobuf and more; Paddle, if loaded second, would call TensorFlow's and crash.
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
def _same_logging() -> Iterator[None]:
    """Undo the effect of an import on the root logger: Paddle makes all libraries more verbose."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide messages of an import about threads and ccache, unless verbose."""
    if is_verbose():
        yield
        return
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


_set_environment()
with _own_symbols(), _same_logging(), _quiet():
    import paddle as paddle

# Paddle's handlers print a C++ trace at SIGTERM, where multifit writes a checkpoint.
paddle.disable_signal_handler()
