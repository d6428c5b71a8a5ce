"""The memory that this process may still take, and what limits it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError
from . import cgroups
from .sizes import as_bytes

#: The user's limit, as a number of MB or a text such as ``2 GB``.
VARIABLE = "MULTIFIT_MEMORY"

#: Part of the memory of a machine that counts as free if the system does not say how much is.
FREE_PART = 2

#: Free memory of a machine about which nothing is known, in bytes.
UNKNOWN = 4 << 30

#: Limits beyond it are none: version 1 of control groups writes 2⁶³ − 4096.
NO_LIMIT = 1 << 60


class Limit(NamedTuple):
    """Memory that a process may take besides what it has."""

    nbytes: int
    reason: str  #: for messages


def available(
    root: Path | None = None, environ: Mapping[str, str] | None = None, mates: int = 1
) -> Limit:
    """Return the smallest of the limits that the machine, the job and the shell set.

    The user's own, :func:`wanted`, is not among them.

    Parameters
    ----------
    root
        The folder that stands for ``/``.
    environ
        The environment variables.
    mates
        Number of processes of the run on this host, this one included: each gets its share of what
        machine and job leave. The limits of the shell are those of each process.
    """
    root = cgroups.ROOT if root is None else root
    environ = os.environ if environ is None else environ
    parts = [share(limit, mates) for limit in (_free(root), *_groups(root))]
    limits = [*parts, *_shell(root), *_slurm(root, environ, mates)]
    return min(limits, key=lambda limit: limit.nbytes)


def share(limit: Limit, mates: int) -> Limit:
    """Return the share of one of the processes on a host."""
    return Limit(limit.nbytes // mates, shared(limit.reason, mates))


def shared(reason: str, mates: int) -> str:
    """Return the reason of a limit that processes on a host share."""
    return reason if mates == 1 else f"{reason}, shared by {mates} processes of this host"


def wanted(environ: Mapping[str, str] | None = None) -> int | None:
    """Return the bytes of ``$MULTIFIT_MEMORY``, None if it is not set.

    Raises
    ------
    ConfigError
        If it is no size.
    """
    given = (os.environ if environ is None else environ).get(VARIABLE, "").strip()
    if not given:
        return None
    try:
        return as_bytes(given)
    except ValueError:
        raise ConfigError(
            f"{VARIABLE} is {given!r}, but must be a number of MB or a size such as '2 GB'"
        ) from None


def _free(root: Path) -> Limit:
    """Return the free memory of the machine, with the part of its caches that it can drop."""
    free = _kilobytes(root / "proc/meminfo", "MemAvailable")
    if free is not None:
        return Limit(free, "free memory")
    if sys.platform == "win32":
        from ._windows import free_memory

        return Limit(free_memory() or UNKNOWN, "free memory")
    try:  # macOS
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return Limit(UNKNOWN, "free memory is unknown")
    return Limit(total // FREE_PART, "half of the machine's memory")


def _groups(root: Path) -> Iterator[Limit]:
    """Yield what the control groups of this process leave."""
    for version, folder in cgroups.groups("memory", root):
        if version == 2:
            limits = [cgroups.number(folder / f"memory.{name}") for name in ("max", "high")]
            used, prefix = cgroups.number(folder / "memory.current"), ""
        else:
            limits = [cgroups.number(folder / "memory.limit_in_bytes")]
            used, prefix = cgroups.number(folder / "memory.usage_in_bytes"), "total_"
        real = [limit for limit in limits if limit is not None and limit < NO_LIMIT]
        if real:
            used = max(0, (used or 0) - _cached_files(folder / "memory.stat", prefix))
            yield Limit(max(0, min(real) - used), f"limit of the job, control group {folder}")


def _cached_files(stat: Path, prefix: str) -> int:
    """Return the bytes of cached files, which the system drops when memory is needed."""
    names = {f"{prefix}active_file", f"{prefix}inactive_file"}
    rows = (line.split() for line in cgroups.read(stat).splitlines())
    return sum(int(row[1]) for row in rows if len(row) == 2 and row[0] in names and _digits(row[1]))


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _shell(root: Path) -> Iterator[Limit]:
    """Yield what the limits of the shell (``ulimit``) leave."""
    if sys.platform == "win32":
        return
    import resource

    kinds = (("RLIMIT_AS", "VmSize", "ulimit -v"), ("RLIMIT_DATA", "VmData", "ulimit -d"))
    for name, used, command in kinds:
        limit = resource.getrlimit(getattr(resource, name))[0]
        if limit != resource.RLIM_INFINITY and limit < NO_LIMIT:
            taken = _kilobytes(root / "proc/self/status", used) or 0
            yield Limit(max(0, limit - taken), command)


def _slurm(root: Path, environ: Mapping[str, str], mates: int) -> Iterator[Limit]:
    """Yield what the request of a Slurm job leaves: not every cluster enforces it by a group."""
    node = _number(environ, "SLURM_MEM_PER_NODE")
    core, cores = _number(environ, "SLURM_MEM_PER_CPU"), _number(environ, "SLURM_CPUS_ON_NODE")
    taken = _kilobytes(root / "proc/self/status", "VmRSS") or 0
    for megabytes, name in ((node, "NODE"), (core * cores, "CPU")):
        if megabytes:  # 0 is all memory of the node
            reason = f"request of the job, SLURM_MEM_PER_{name}"
            yield Limit(max(0, (megabytes << 20) // mates - taken), shared(reason, mates))


def _number(environ: Mapping[str, str], name: str) -> int:
    """Return a number of the environment, 0 without one."""
    text = environ.get(name, "").strip().removesuffix("M")
    return int(text) if _digits(text) else 0


def _kilobytes(path: Path, name: str) -> int | None:
    """Return the bytes of a row such as ``MemAvailable:  1234 kB``, None if there is none."""
    for line in cgroups.read(path).splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if key == name and words and _digits(words[0]):
            return int(words[0]) * 1024
    return None
