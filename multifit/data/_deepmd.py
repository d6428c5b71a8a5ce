"""Read the contents of a DeePMD system, in a folder or an HDF5 group."""

from __future__ import annotations

from ..errors import DataError
from ._contents import Contents, FrameSet
from ._energies import own_energies
from ._folder import Folder
from ._labels import FRAME, LABELS, Label
from ._shapes import check_shape, infer_ndof
from ._types import seen_in_frames, seen_in_system, type_raw


def read_contents(folder: Folder) -> Contents:
    """Return the contents of a DeePMD system, with every file's header checked against the others.

    Raises
    ------
    DataError
        If something is missing, unreadable or inconsistent.
    """
    names = folder.names()
    types = type_raw(folder)
    elements = tuple(folder.words("type_map.raw")) if "type_map.raw" in names else None
    periodic = "nopbc" not in names
    sets = folder.sets()
    if not sets:
        raise DataError(f"{folder.name} has no frames: {_no_sets(folder.name, names)}")
    mixed = _is_mixed(folder, sets)
    if mixed and elements is None:
        raise DataError(
            f"{folder.name} has no type_map.raw, which a mixed_type system (one with "
            "real_atom_types.npy) needs; write the element names into it"
        )
    frames = tuple(_frame_set(folder, name, len(types), periodic, mixed) for name in sets)
    if sum(each.nframes for each in frames) == 0:
        raise DataError(f"{folder.name} has no frames: coord.npy is empty in {', '.join(sets)}")
    _check_same_labels(frames)
    ndof = infer_ndof(frames, len(types))
    seen = seen_in_frames(frames, len(types)) if mixed else seen_in_system(folder.name, types)
    pbc = (periodic, periodic, periodic)
    energies = own_energies(folder, ndof, frames)
    return Contents(folder.name, types, elements, seen, frames, pbc, mixed, ndof, energies)


def _no_sets(name: str, names: frozenset[str]) -> str:
    """Return what a folder without sets has instead, and what to do about it."""
    if "coord.raw" not in names:
        return "there is no folder set.000 (set.*) in it"
    kind = "LabeledSystem" if "energy.raw" in names else "System"
    return (
        "there are *.raw files in it, but no folder set.000 (set.*); convert them in Python: "
        f'import dpdata; dpdata.{kind}("{name}", fmt="deepmd/raw").to("deepmd/npy", "{name}")'
    )


def _is_mixed(folder: Folder, sets: list[str]) -> bool:
    having = ["real_atom_types.npy" in folder.names(name) for name in sets]
    if any(having) and not all(having):
        lacking = sets[having.index(False)]
        raise DataError(
            f"{folder.name}/{lacking} has no real_atom_types.npy, but {sets[having.index(True)]} "
            "has one; all sets of a system must be of mixed_type or none"
        )
    return all(having)


def _frame_set(folder: Folder, name: str, natoms: int, periodic: bool, mixed: bool) -> FrameSet:
    where = f"{folder.name}/{name}"
    names = folder.names(name)
    if "coord.npy" not in names:
        raise DataError(f"{where} has no coord.npy; every set needs the positions of its atoms")
    coord = folder.array(name, "coord.npy")
    nframes = 1 if len(coord.shape) == 1 else coord.shape[0] if coord.shape else 0
    arrays = {"coord": coord}
    if periodic:
        if "box.npy" not in names:
            raise DataError(
                f"{where} has no box.npy; write the cells (nframes, 9) into it, or, if the system "
                f"is not periodic, put an empty file named nopbc into {folder.name}"
            )
        arrays["cell"] = folder.array(name, "box.npy")
    for label in LABELS.values():
        stem = next((stem for stem in label.files if f"{stem}.npy" in names), None)
        if stem is not None:
            arrays[label.key] = folder.array(name, f"{stem}.npy")
    for key, stored in arrays.items():
        check_shape(stored, FRAME.get(key) or LABELS[key], nframes, natoms)
    types = folder.array(name, "real_atom_types.npy") if mixed else None
    if types is not None:
        check_shape(types, Label("types", (), ("natoms",)), nframes, natoms)
    return FrameSet(where, nframes, arrays, types)


def _check_same_labels(sets: tuple[FrameSet, ...]) -> None:
    for key in (*FRAME, *LABELS):
        having = [key in each.arrays for each in sets]
        if any(having) and not all(having):
            there = sets[having.index(True)].arrays[key].where
            raise DataError(
                f"{sets[having.index(False)].where} has no {key}, but {there} exists; give it for "
                "all sets of a system or for none"
            )
