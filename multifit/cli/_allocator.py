"""Keeping freed memory, so that the next step need not request it from the system again."""

from __future__ import annotations

import ctypes
import functools

from ..host import allocator

#: Parameters of glibc's ``mallopt``, from its <malloc.h>.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8

#: Bytes that may be idle before they are released, and that are requested at once.
_IDLE, _AT_ONCE = (1 << 31) - 1, 64 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Keep freed memory of large arrays in this process; return True on success.

    This is a setting of the whole process, so only programs that own their process call it, such
    as the command line, before a framework is imported. glibc maps each array of more than 32 MB
    anew, and the system clears its pages one by one: a quarter of the time of a training step of
    192 water atoms on JAX. It has an effect only with glibc, and for threads that do not have an
    arena yet; ``MULTIFIT_KEEP_MEMORY=0`` disables it.
    """
    if not allocator.wanted():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    # Threads would use separate arenas, to which this does not apply.
    wanted = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _IDLE, _TOP_PAD: _AT_ONCE, _ARENA_MAX: 1}
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted.items())
