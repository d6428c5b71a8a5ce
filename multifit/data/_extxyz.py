"""Extended xyz files, read through ASE and held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ._contents import Contents, FrameSet
from ._labels import FRAME, LABELS, Label
from ._shapes import infer_ndof
from ._stored import Array, in_memory, reading


@dataclass(frozen=True, eq=False)
class _Frame:
    number: int
    symbols: tuple[str, ...]
    pbc: tuple[bool, bool, bool]
    arrays: Mapping[str, Array]


def read_extxyz(name: str, path: Path) -> list[Contents]:
    """Return one system for each sequence of elements and each periodicity in the file.

    Energy, forces and stress are taken from the results declared in the file, or from ``energy``,
    ``force(s)`` and ``virial`` (which overrides −V·stress); other labels have their usual names.

    Parameters
    ----------
    name
        The path as the user wrote it.
    path
        The file.

    Raises
    ------
    DataError
        If ASE is missing, the file cannot be understood, or a label is given for only some of
        the frames of a system.
    """
    groups: dict[Any, list[_Frame]] = {}
    elements: dict[str, int] = {}
    for frame in _frames(name, path):
        groups.setdefault((frame.symbols, frame.pbc), []).append(frame)
        for symbol in frame.symbols:
            elements.setdefault(symbol, len(elements))
    if not groups:
        raise DataError(f"{name} has no frames; it must hold at least one")
    names = tuple(elements)
    return [
        _contents(name if len(groups) == 1 else f"{name} ({_formula(g)})", name, g, names)
        for g in groups.values()
    ]


def _formula(group: list[_Frame]) -> str:
    symbols = group[0].symbols
    text = "".join(f"{s}{symbols.count(s)}" for s in dict.fromkeys(symbols))
    return text if all(group[0].pbc) else text + ", pbc " + "".join("FT"[p] for p in group[0].pbc)


def _frames(name: str, path: Path) -> Iterator[_Frame]:
    try:
        from ase.io import iread
    except ImportError as exc:
        raise DataError(
            f"{name}: reading xyz files needs ASE, which is not installed; "
            "install it with: pip install ase"
        ) from exc
    number = -1
    try:
        with reading(name):
            path.open("rb").close()
        for number, atoms in enumerate(iread(str(path), index=":", format="extxyz")):
            yield _frame(name, number, atoms)
    except DataError:
        raise
    except Exception as exc:  # ASE's parser can raise anything
        raise DataError(
            f"{name}: frame {number + 1} cannot be read as extended xyz ({exc}); correct it"
        ) from exc


def _frame(name: str, number: int, atoms: Any) -> _Frame:
    if len(atoms) == 0:
        raise DataError(f"{name}: frame {number} has no atoms; remove it")
    pbc = tuple(bool(flag) for flag in atoms.pbc)
    # Results are read directly: the methods of Atoms would apply constraints to forces.
    results = {} if atoms.calc is None else atoms.calc.results
    arrays: dict[str, Any] = {"coord": atoms.positions}
    if any(pbc):
        # Directions that do not repeat may have no lattice vector; any independent one will do.
        arrays["cell"] = np.where(
            np.any(atoms.cell.array, axis=1, keepdims=True) | np.array(pbc)[:, None],
            atoms.cell.array,
            atoms.cell.complete().array,
        )
    for key, label in LABELS.items():
        value = _value(key, label, atoms, results)
        if value is not None:
            arrays[key] = _checked(f"{name}: {key} of frame {number}", label, len(atoms), value)
    return _Frame(number, tuple(atoms.get_chemical_symbols()), (pbc[0], pbc[1], pbc[2]), arrays)


def _value(key: str, label: Label, atoms: Any, results: Mapping[str, Any]) -> Any:
    if key == "energy":
        return results.get("energy", atoms.info.get("energy"))
    if key == "force":
        found = (results.get("forces"), *(atoms.arrays.get(n) for n in ("forces", "force")))
        return next((value for value in found if value is not None), None)
    if key == "virial":
        return _virial(atoms, results)
    source = atoms.arrays if "natoms" in label.shape else atoms.info
    value = next((source[stem] for stem in label.files if stem in source), None)
    # ASE folds any nine numbers of a comment line into a matrix, by columns.
    return value if value is None or source is atoms.arrays else np.ravel(value, order="F")


def _virial(atoms: Any, results: Mapping[str, Any]) -> Any:
    if "virial" in atoms.info:
        return atoms.info["virial"]
    stress = results.get("stress", atoms.info.get("stress"))
    # Without three lattice vectors there is no volume that the stress could refer to.
    if stress is None or atoms.cell.rank < 3:
        return None
    stress = np.asarray(stress, dtype=np.float64)
    if stress.size == 6:
        xx, yy, zz, yz, xz, xy = stress.ravel()
        stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return -atoms.get_volume() * stress


def _checked(where: str, label: Label, natoms: int, value: Any) -> Array:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise DataError(f"{where} is {value!r}, but numbers are expected") from exc
    size = label.frame_size(natoms)
    if array.size != size and not (label.has_ndof and array.size and array.size % size == 0):
        few = f"a multiple of {size}" if label.has_ndof else str(size)
        raise DataError(f"{where} has {array.size} numbers, but {few} are expected")
    return array


def _contents(name: str, file: str, group: list[_Frame], names: tuple[str, ...]) -> Contents:
    first = group[0]
    arrays = {}
    for key in (*FRAME, *LABELS):
        _check_same(file, key, group)
        if key in first.arrays:
            arrays[key] = in_memory(file, np.stack([frame.arrays[key] for frame in group]))
    sets = (FrameSet(file, len(group), arrays, numbers=np.array([f.number for f in group])),)
    types = np.array([names.index(symbol) for symbol in first.symbols], dtype=np.int64)
    seen = {
        int(number): f"{file}, frame {first.number}, atom {int(atom)}"
        for number, atom in zip(*np.unique(types, return_index=True), strict=True)
    }
    return Contents(name, types, names, seen, sets, first.pbc, ndof=infer_ndof(sets, len(types)))


def _check_same(file: str, key: str, group: list[_Frame]) -> None:
    having = [frame for frame in group if key in frame.arrays]
    lacking = [frame for frame in group if key not in frame.arrays]
    if having and lacking:
        raise DataError(
            f"{file}: frame {lacking[0].number} has no {key}, but frame {having[0].number} with "
            "the same atoms has; give it for all or move the others into a file of their own"
        )
    for frame in having:
        if frame.arrays[key].shape != having[0].arrays[key].shape:
            raise DataError(
                f"{file}: {key} of frame {frame.number} has shape {frame.arrays[key].shape}, but "
                f"of frame {having[0].number} {having[0].arrays[key].shape}; they must agree"
            )
