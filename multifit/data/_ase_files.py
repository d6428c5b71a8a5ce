"""Atoms from files that ASE reads: extended xyz, trajectories and databases.

Each format is opened by the one reader that belongs to its ending, which parses text, JSON and
plain numbers. ASE's guess of a format from the content is not used: some of its formats unpickle.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.request import pathname2url

from ..errors import DataError
from ._stored import open_regular, reading

#: Atoms and the names of their species, as the file has them.
Found = tuple[Any, tuple[str, ...]]

#: First bytes of a file, by its ending; that of JSON follows spaces.
_SIGNATURES = {".traj": b"- of Ulm", ".db": b"SQLite format 3\0", ".json": b"{"}

_DESCRIPTIONS = {
    ".traj": "a trajectory of ASE",
    ".db": "a database of ASE (SQLite)",
    ".json": "a database of ASE in JSON",
}

#: Of a species whose name is no element, for ASE.
_UNKNOWN = "X"


def read_atoms(name: str, path: Path) -> Iterator[Found]:
    """Yield the structures of a file.

    Parameters
    ----------
    name
        The path as the user wrote it.
    path
        The file.

    Raises
    ------
    DataError
        If ASE is missing, or the file cannot be understood.
    """
    try:
        import ase.io  # noqa: F401
    except ImportError as exc:
        raise DataError(
            f"{name}: reading it needs ASE, which is not installed; install it with: "
            "pip install ase"
        ) from exc
    with reading(name), open_regular(path, name) as file:
        start = file.read(64)
    ending = path.suffix.lower()
    signature = _SIGNATURES.get(ending)
    if signature is not None and not start.lstrip().startswith(signature):
        raise DataError(
            f"{name} is not {_DESCRIPTIONS[ending]}: it begins with other bytes; check the file, "
            "or rename it if it has another format"
        )
    number = -1
    try:
        for number, found in enumerate(_READERS.get(ending, _xyz)(path)):  # noqa: B007
            yield found
    except DataError:
        raise
    except Exception as exc:  # ASE's parsers can raise anything
        what = _DESCRIPTIONS.get(ending, "extended xyz").removesuffix(" of ASE")
        raise DataError(
            f"{name}: frame {number + 1} cannot be read as {what} ({_reason(exc)}); correct it"
        ) from exc


def _reason(exc: Exception) -> str:
    """Return the text of an exception in one line, or its type."""
    return " ".join(str(exc).split())[:200] or type(exc).__name__


def _symbols(atoms: Any) -> tuple[str, ...]:
    return tuple(atoms.get_chemical_symbols())


def _trajectory(path: Path) -> Iterator[Found]:
    from ase.io.trajectory import TrajectoryReader

    with TrajectoryReader(str(path)) as frames:
        for atoms in frames:
            yield atoms, _symbols(atoms)


def _rows(rows: Iterable[Any]) -> Iterator[Found]:
    """Yield the structures of a database, with their key-value pairs and data in ``info``."""
    for row in rows:
        atoms = row.toatoms()
        atoms.info = {**row.data, **row.key_value_pairs}
        yield atoms, _symbols(atoms)


def _sqlite(path: Path) -> Iterator[Found]:
    import sqlite3

    from ase.db.sqlite import SQLite3Database

    class ReadOnly(SQLite3Database):  # type: ignore[misc]  # ASE has no types
        """A database that is not changed: ASE's own would turn another file into one of its."""

        def _connect(self) -> Any:
            address = f"file:{pathname2url(str(path.absolute()))}?mode=ro"
            return sqlite3.connect(address, timeout=20, uri=True)

    yield from _rows(ReadOnly(str(path), create_indices=False, use_lock_file=False).select())


def _json(path: Path) -> Iterator[Found]:
    from ase.db.jsondb import JSONDatabase

    yield from _rows(JSONDatabase(str(path), use_lock_file=False).select())


def _xyz(path: Path) -> Iterator[Found]:
    """Yield the frames of an extended xyz file, whose species may have any names."""
    from ase.io.extxyz import read_xyz

    # A byte-order mark and the line ends of Windows are left out.
    with path.open(encoding="utf-8-sig") as file:
        head = file.readline()
        while head.strip():
            frame = [head, *itertools.islice(file, int(head) + 1)]
            cell: list[str] = []  # lattice vectors may follow the atoms
            while (head := file.readline()).lstrip().startswith("VEC"):
                cell.append(head)
            species = _species(frame)
            (atoms,) = read_xyz(StringIO("".join([*frame, *cell])), index=slice(0, 1))
            yield atoms, species or _symbols(atoms)
        # ASE ends at an empty line, too, but nothing that follows may be lost silently.
        rest = next((line for line in file if line.strip()), None)
        if rest is not None:
            raise ValueError(f"an empty line stands before {rest.strip()[:40]!r}")


def _species(frame: list[str]) -> tuple[str, ...]:
    """Return the names of the species of a frame, and hide from ASE those it does not know.

    Parameters
    ----------
    frame
        The lines of the frame; those of atoms are replaced.

    Returns
    -------
    species
        One name for each atom; empty if the file has numbers instead.
    """
    from ase.data import atomic_numbers
    from ase.io.extxyz import key_val_str_to_dict

    header = frame[1].strip() if len(frame) > 1 else ""
    columns = key_val_str_to_dict(header).get("Properties") if header else None
    place = _column(str(columns or "species:S:1:pos:R:3"))
    if place is None:
        return ()
    names = []
    for number, line in enumerate(frame[2:], start=2):
        words = line.split()
        if len(words) <= place:
            raise ValueError(f"the line of atom {number - 2} has no species")
        names.append(words[place])
        if words[place].capitalize() not in atomic_numbers:
            words[place] = _UNKNOWN
            frame[number] = " ".join(words) + "\n"
    return tuple(names)


def _column(properties: str) -> int | None:
    """Return the column of the species, counted from 0; None if there is none."""
    place, words = 0, properties.split(":")
    for name, _, count in zip(words[::3], words[1::3], words[2::3], strict=True):
        if name == "species":
            return place
        place += int(count)
    return None


_READERS: dict[str, Callable[[Path], Iterator[Found]]] = {
    ".traj": _trajectory,
    ".db": _sqlite,
    ".json": _json,
}

#: Endings of files of atoms.
ENDINGS = (".xyz", ".extxyz", *_READERS)
