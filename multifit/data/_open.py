"""Opening of all systems named in the input file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError, DataError
from ._ase_files import ENDINGS
from ._atoms import read_file
from ._contents import Contents
from ._deepmd import read_contents
from ._elements import check_species, union_of_elements
from ._find import Location, Paths, find
from ._folder import DiskFolder
from ._hdf5 import HdfFolder
from ._labels import LABELS
from ._lmdb import Grouping, read_lmdb
from ._reading import Reading
from ._system import System, make_system


def open_systems(
    paths: Paths,
    type_map: Sequence[str] | None = None,
    *,
    base: Path | None = None,
    require: Iterable[str] = (),
    reading: Reading | None = None,
    patterns: Sequence[str] | None = None,
    grouping: Grouping | None = None,
) -> list[System]:
    """Return all systems at or below the given paths, checked as far as headers allow.

    Nothing but headers and atom types is read; frames stay on disk (files of atoms, such as xyz,
    are held in memory, and of LMDB files every frame is looked at once).

    Parameters
    ----------
    paths
        A path or a list of paths; see :func:`find_systems`.
    type_map
        The model's element names; None takes those of all systems in order of appearance, or
        ``Type_0``, ``Type_1``, … if no system has names.
    base
        Folder in which relative paths are searched before the current one.
    require
        Keys of :data:`LABELS` that every system must have.
    reading
        Names of labels and elements in the data, if they are not the usual ones.
    patterns
        Patterns of the folders that are systems; see :func:`find_systems`.
    grouping
        How the frames of an LMDB file are arranged in systems.

    Raises
    ------
    DataError
        If a system is missing, unreadable or inconsistent.

    Examples
    --------
    >>> systems = open_systems("data/water", ["O", "H"])  # doctest: +SKIP
    >>> systems[0].load(np.array([0, 5]), ["energy", "force"])["force"].shape  # doctest: +SKIP
    (2, 192, 3)
    """
    names_in_data = Reading() if reading is None else reading
    places = find(paths, base, patterns)
    if names_in_data.keys and not any(found.kind == "atoms" for found in places):
        raise DataError(
            f"keys gives names of labels in files of atoms (*{', *'.join(ENDINGS)}), but "
            f"{places[0].name} is no such file; leave keys out: the files in folders have fixed "
            "names"
        )
    arranged = Grouping() if grouping is None else grouping
    _check_grouping(places, arranged)
    parts = [_read(found, names_in_data, arranged) for found in places]
    contents = [each for part in parts for each in part]
    where = [
        f"{found.path.resolve()}#{found.group}#{k}"
        for found, part in zip(places, parts, strict=True)
        for k in range(len(part))
    ]
    if type_map is None:
        for each in contents:
            if each.source:
                check_species(each, tuple(names_in_data.species.values()))
    names = union_of_elements(contents) if type_map is None else tuple(type_map)
    systems = [
        replace(make_system(each, names), place=place)
        for each, place in zip(contents, where, strict=True)
    ]
    _check_labels(systems, require)
    return systems


def _check_labels(systems: Sequence[System], require: Iterable[str]) -> None:
    """Raise DataError if a system lacks a label."""
    for key in require:
        for system in systems:
            if key not in system.labels:
                files = " or ".join(f"{stem}.npy" for stem in LABELS[key].files)
                raise DataError(
                    f"{system.name} has no {key}, which this run needs; put {files} into each of "
                    "its sets or leave the system out"
                )


def _check_grouping(places: Sequence[Location], grouping: Grouping) -> None:
    """Raise ConfigError if a rule is for LMDB files, but the data are others."""
    files = [found for found in places if found.kind == "lmdb"]
    if grouping.mix and len(files) < len(places):
        other = next(found for found in places if found.kind != "lmdb")
        raise ConfigError(
            f"batch_size is 'mix:N', which is for LMDB files only, but {other.name} is none; give "
            "'max:N'"
        )
    if grouping.has_blocks and files and len(places) > 1:
        raise ConfigError(
            "auto_prob has blocks, which are ranges of the frame_system_ids of one LMDB file or of "
            f"systems that are none, but {files[0].name} is one of {len(places)} data sets; merge "
            "them into one file"
        )


def _read(found: Location, reading: Reading, grouping: Grouping) -> list[Contents]:
    match found.kind:
        case "folder":
            contents = [read_contents(DiskFolder(found.name, found.path))]
        case "hdf5":
            contents = [read_contents(HdfFolder(found.name, found.path, found.group))]
        case "lmdb":
            contents = read_lmdb(found.name, found.path, grouping)
        case "atoms":
            return read_file(found.name, found.path, reading)
    return [_renamed(each, reading) for each in contents]


def _renamed(contents: Contents, reading: Reading) -> Contents:
    """Return contents with the elements of its species."""
    if contents.elements is None or not reading.species:
        return contents
    return replace(contents, elements=tuple(map(reading.element, contents.elements)))
