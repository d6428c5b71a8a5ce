"""The free memory of a machine with Windows."""

from __future__ import annotations

import ctypes
import sys


class _Status(ctypes.Structure):
    """``MEMORYSTATUSEX`` of the Windows API."""

    _fields_ = [
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *((f"size{k}", ctypes.c_ulonglong) for k in range(7)),
    ]


def free_memory() -> int:
    """Return the free physical memory in bytes, 0 if Windows does not say."""
    status = _Status(length=ctypes.sizeof(_Status))
    if sys.platform == "win32":
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.size1)  # total, free, …
