"""Locations of the systems named in the input file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import DataError
from ._ase_files import ENDINGS
from ._hdf5 import find_groups, is_hdf5
from ._lmdb import is_lmdb

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Location:
    """A system: its name and its place on disk.

    Attributes
    ----------
    name
        As the user wrote it.
    path
        Folder or file.
    kind
        Kind of system.
    group
        Group inside an HDF5 file.
    """

    name: str
    path: Path
    kind: Literal["folder", "hdf5", "lmdb", "atoms"]
    group: str = ""


def find(
    paths: Paths, base: Path | None = None, patterns: Sequence[str] | None = None
) -> list[Location]:
    """Return all systems at or below the given paths; see :func:`find_systems`."""
    entries = [paths] if isinstance(paths, str | Path) else list(paths)
    if not entries:
        raise DataError("no data systems are given; list at least one folder under 'systems'")
    return [found for entry in entries for found in _find_one(str(entry), base, patterns)]


def find_systems(
    paths: Paths, base: Path | None = None, patterns: Sequence[str] | None = None
) -> list[Path]:
    """Return the paths of all systems at or below the given ones, in a fixed order.

    A folder is searched with all its subfolders, alone or in a list: each one
    that contains a ``type.raw`` is a system, or an LMDB file if it contains a ``data.mdb``. So is
    each such group of an HDF5 file (``data.hdf5`` or ``data.hdf5#/group``), and each file of atoms
    (``.xyz``, ``.extxyz``, ``.traj``, ``.db`` or ``.json`` of ASE), if named itself.

    Parameters
    ----------
    paths
        A path or a list of paths.
    base
        Folder of the input file: relative paths are looked for there, then in the current folder.
    patterns
        Only these subfolders are systems, as of :meth:`pathlib.Path.rglob` (``rglob_patterns``).

    Raises
    ------
    DataError
        If a path does not exist, cannot be read or holds no system.
    """
    return [
        Path(f"{found.path}#{found.group}") if found.group else found.path
        for found in find(paths, base, patterns)
    ]


def _find_one(entry: str, base: Path | None, patterns: Sequence[str] | None) -> list[Location]:
    file, group = entry, ""
    if "#" in entry and not any(map(os.path.exists, _candidates(entry, base))):
        file, _, group = entry.partition("#")
    path = _locate(file, entry, base)
    if is_lmdb(path):
        return [Location(entry, path, "lmdb")]
    if path.is_dir():
        systems = [
            _below(entry, path, inner)
            for inner in (_folders(path, entry) if patterns is None else _matching(path, patterns))
        ]
        if not systems and patterns is not None:
            raise DataError(
                f"no folder in {entry} matches rglob_patterns {list(patterns)} and contains a "
                "type.raw"
            )
    elif path.suffix.lower() in ENDINGS:
        return [Location(entry, path, "atoms")]
    elif is_hdf5(path):
        groups = find_groups(path, group, entry)
        systems = [Location(f"{file}#{name.rstrip('/')}", path, "hdf5", name) for name in groups]
    else:
        raise DataError(
            f"{entry} is neither a folder, nor an HDF5 or LMDB file, nor a file of atoms "
            f"(*{', *'.join(ENDINGS)})"
        )
    if not systems:
        raise DataError(
            f"no system found in {entry}: no folder or group in it contains a type.raw "
            "(name HDF5 files and files of atoms, such as .xyz, themselves)"
        )
    return systems


def _below(entry: str, root: Path, inner: str) -> Location:
    """Return the system in a folder below another."""
    path = root / inner
    kind: Literal["lmdb", "folder"] = "lmdb" if is_lmdb(path) else "folder"
    return Location(os.path.join(entry, inner) if inner else entry, path, kind)


def _is_system(folder: Path) -> bool:
    return (folder / "type.raw").is_file() or is_lmdb(folder)


def _candidates(entry: str, base: Path | None) -> list[Path]:
    return [Path(entry)] if base is None else list(dict.fromkeys((base / entry, Path(entry))))


def _locate(file: str, entry: str, base: Path | None) -> Path:
    tried = _candidates(file, base)
    for path in tried:
        if os.path.exists(path):  # False, not an error, for names that no system allows
            return path
    places = " and as ".join(dict.fromkeys(os.path.abspath(path) for path in tried))
    advice = _advice(entry[:200])
    looked = "" if places == entry else f"; it was looked for as {places:.600}"
    raise DataError(f"{entry:.200} does not exist{looked}{advice}")


def _advice(entry: str) -> str:
    """Return what to do about a path that cannot be one of this system, or nothing."""
    if "\\" in entry:
        return f"; write / instead of \\: {entry.replace(chr(92), '/')}"
    if any(sign in entry for sign in "*?["):
        folder, _, pattern = entry.rpartition("/")
        return (
            f'; patterns belong into "rglob_patterns": ["{pattern}"] beside "systems": '
            f'"{folder or "."}", or list the folders themselves'
        )
    if entry.startswith("~") or "$" in entry:
        return "; ~ and variables are not replaced in an input: write the path in full"
    return ""


def _matching(root: Path, patterns: Sequence[str]) -> list[str]:
    """Return the system folders below root that match a pattern, relative to it and sorted."""
    found: set[str] = set()
    for pattern in patterns:
        try:
            folders = [path for path in root.rglob(pattern) if _is_system(path)]
        except (ValueError, NotImplementedError) as exc:
            raise DataError(
                f"rglob_patterns has {pattern!r}, which is no pattern of folders below another "
                f"({exc}); give one such as 'water*'"
            ) from exc
        found.update(os.path.relpath(path, root) for path in folders)
    return ["" if inner == "." else inner for inner in sorted(found)]


def _folders(root: Path, entry: str) -> list[str]:
    """Return the system folders below root, relative to it and sorted; root itself comes last."""

    def fail(exc: OSError) -> None:
        raise DataError(
            f"{exc.filename or entry} cannot be read ({exc.strerror}); check its permissions"
        ) from exc

    found: list[str] = []
    for folder, inner, _ in os.walk(root, onerror=fail):
        # Links to folders are considered but not followed, to avoid loops of links.
        found += [
            os.path.relpath(os.path.join(folder, name), root)
            for name in inner
            if _is_system(Path(folder, name))
        ]
        inner[:] = [name for name in inner if not name.startswith("set.")]
    return sorted(found) + ([""] if _is_system(root) else [])
