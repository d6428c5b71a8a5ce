"""What tells this host from others: processes that have it in common share memory and cores."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path


def boot() -> str:
    """Return the identity of the running system, empty if it tells none (elsewhere than Linux)."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def identity() -> str:
    """Return a text that all processes of this host have in common, and those of others do not.

    Containers have names of their own, but the same running system, whose memory they share.
    """
    return boot() or platform.node()
