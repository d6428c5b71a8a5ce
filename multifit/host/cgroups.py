"""The control groups of this process: Linux limits the memory and the cores of jobs by them.

A group lies in a hierarchy of folders, and the limits of all groups above it apply as well. There
are two versions, and a machine may have both: in version 1, each controller (memory, cpu) has a
hierarchy of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

#: The file system of the machine; tests have others.
ROOT = Path("/")


class Group(NamedTuple):
    """A control group."""

    version: int
    folder: Path


def read(path: Path) -> str:
    """Return the text of a file of the system, "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """Return the number in a file of the system; None without one, such as ``max``."""
    text = read(path).strip()
    return int(text) if re.fullmatch(r"\d{1,30}", text) else None


def groups(controller: str, root: Path = ROOT) -> Iterator[Group]:
    """Yield the groups of this process, each followed by those above it.

    Parameters
    ----------
    controller
        ``"memory"`` or ``"cpu"``.
    root
        The folder that stands for ``/``.
    """
    paths = _paths(controller, read(root / "proc/self/cgroup"))
    for version, top, mounted in _mounts(controller, read(root / "proc/self/mountinfo")):
        if version not in paths:
            continue
        place = root / mounted.lstrip("/")
        folder = place / _below(paths[version], top)
        # A container may see the path of its group, but not the group: then its top is its own.
        while folder != place and not folder.is_dir():
            folder = folder.parent
        yield Group(version, folder)
        while folder != place:
            folder = folder.parent
            yield Group(version, folder)


def _paths(controller: str, text: str) -> dict[int, PurePosixPath]:
    """Return version → path of the process's group in its hierarchy."""
    found = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) < 3:
            continue
        if parts[:2] == ["0", ""]:
            found[2] = PurePosixPath(parts[2])
        elif controller in parts[1].split(","):
            found[1] = PurePosixPath(parts[2])
    return found


def _mounts(controller: str, text: str) -> Iterator[tuple[int, PurePosixPath, str]]:
    """Yield (version, group at the top, folder) of the mounted hierarchies."""
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        own, system = before.split(), after.split()
        if not dash or len(own) < 5 or len(system) < 3:
            continue
        top, place = PurePosixPath(_unescaped(own[3])), _unescaped(own[4])
        if system[0] == "cgroup2":
            yield 2, top, place
        elif system[0] == "cgroup" and controller in system[2].split(","):
            yield 1, top, place


def _unescaped(path: str) -> str:
    r"""Return a path in which spaces and the like were written as ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _below(path: PurePosixPath, top: PurePosixPath) -> PurePosixPath:
    """Return the part of a path below the top; nothing if it lies elsewhere."""
    if ".." in path.parts or not path.is_relative_to(top):
        return PurePosixPath()
    return path.relative_to(top)
