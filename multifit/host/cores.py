"""The cores that this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from . import cgroups


class Cores(NamedTuple):
    """Cores that a process may use."""

    number: int
    reason: str  #: what limits it, for messages


def usable(root: Path | None = None) -> Cores:
    """Return the physical cores that this process may use, at least 1.

    Two threads on one core (hyper-threading) share its arithmetic units: matrix products gain
    nothing, and other work on the core slows down.

    Parameters
    ----------
    root
        The folder that stands for ``/``.
    """
    root = cgroups.ROOT if root is None else root
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
    else:
        allowed = set(range(os.cpu_count() or 1))
    found = [Cores(_physical(allowed, root), "cores"), *_quotas(root)]
    return min(found, key=lambda cores: cores.number)


def _physical(allowed: Iterable[int], root: Path) -> int:
    """Return the number of cores that logical CPUs belong to; each has its own if unknown."""
    cores = set()
    for cpu in allowed:
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        cores.add(cgroups.read(folder / "thread_siblings_list").strip() or str(cpu))
    return max(1, len(cores))


def _quotas(root: Path) -> Iterator[Cores]:
    """Yield the cores whose time the control groups of this process grant, rounded down."""
    for version, folder in cgroups.groups("cpu", root):
        if version == 2:
            words = cgroups.read(folder / "cpu.max").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [cgroups.read(folder / name).strip() for name in names]
        try:
            quota, period = (float(word) for word in words)
        except ValueError:  # "max", or no such file
            continue
        if quota > 0 and period > 0 and math.isfinite(quota / period):  # version 1: −1 is no limit
            yield Cores(max(1, int(quota / period)), f"quota of the control group {folder}")
