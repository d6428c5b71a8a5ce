"""Memory of freed arrays, which the C library keeps for the next ones or returns to the system."""

from __future__ import annotations

import functools
import os
import sys

import numpy as np

#: ``0`` leaves the C library as it is.
VARIABLE = "MULTIFIT_KEEP_MEMORY"

#: glibc adapts to freed arrays of up to 32 MB (its ``DEFAULT_MMAP_THRESHOLD_MAX``, with a header).
_LARGEST = (32 << 20) - (64 << 10)


def wanted() -> bool:
    """Return True if freed memory may be kept: on Linux, unless ``$MULTIFIT_KEEP_MEMORY`` is 0."""
    return sys.platform.startswith("linux") and os.environ.get(VARIABLE) != "0"


@functools.cache
def expect_large_arrays() -> None:
    """Let glibc keep up to 64 MB of freed memory, as it does in a program with large arrays.

    glibc returns a freed array to the system if none as large was freed before, and the next one
    costs a page fault for every 4 kB: a third of the time of a prediction for 192 atoms. It adapts
    when a larger one is freed, here one of 32 MB that is never written to, so that it takes no
    memory. No setting of the process is changed; other C libraries do not care.
    """
    if not wanted():
        return
    try:
        np.empty(_LARGEST, dtype=np.uint8)
    except MemoryError:  # a limit on addresses: all remains as it was
        return
