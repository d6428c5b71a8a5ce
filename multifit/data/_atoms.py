"""From structures of ASE to systems, held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ._ase_files import read_atoms
from ._atom_labels import labels_of, unread
from ._contents import Contents, FrameSet
from ._labels import FRAME, LABELS, WEIGHTS
from ._reading import Reading
from ._shapes import infer_ndof
from ._stored import Array, in_memory

#: What the frames of a system share: elements, periodicity, and names of labels.
_Group = tuple[tuple[str, ...], tuple[bool, bool, bool], frozenset[str]]


@dataclass(frozen=True, eq=False)
class _Frame:
    number: int
    symbols: tuple[str, ...]
    pbc: tuple[bool, bool, bool]
    arrays: Mapping[str, Array]

    @property
    def group(self) -> _Group:
        """Properties shared by all frames of its system."""
        return self.symbols, self.pbc, frozenset(self.arrays.keys() - WEIGHTS.keys())


def read_file(name: str, path: Path, reading: Reading) -> list[Contents]:
    """Return one system for each sequence of elements, periodicity and set of labels in a file.

    Parameters
    ----------
    name
        The path as the user wrote it.
    path
        An extended xyz file, or a trajectory or database of ASE.
    reading
        Names of labels and species.

    Raises
    ------
    DataError
        If ASE is missing, or the file cannot be understood.
    """
    groups: dict[_Group, list[_Frame]] = {}
    elements: dict[str, int] = {}
    others: dict[str, str] = {}
    for frame, names in _frames(name, path, reading):
        groups.setdefault(frame.group, []).append(frame)
        others |= names
        for symbol in frame.symbols:
            elements.setdefault(symbol, len(elements))
    if not groups:
        raise DataError(f"{name} has no frames; it must hold at least one")
    labels: dict[tuple[object, ...], set[str]] = {}
    for symbols, pbc, keys in groups:
        labels.setdefault((symbols, pbc), set()).update(keys)
    return [
        _contents(
            _name(name, group, labels[group[:2]], len(labels) > 1),
            *(name, frames, tuple(elements), others),
        )
        for group, frames in groups.items()
    ]


def _frames(name: str, path: Path, reading: Reading) -> Iterator[tuple[_Frame, dict[str, str]]]:
    """Yield frames, and the names of numbers that are not read."""
    elements: dict[str, str] = {}
    for number, (atoms, species) in enumerate(read_atoms(name, path)):
        if len(atoms) == 0:
            raise DataError(f"{name}: frame {number} has no atoms; remove it")
        pbc = tuple(bool(flag) for flag in atoms.pbc)
        arrays: dict[str, Array] = {"coord": atoms.positions}
        if any(pbc):
            arrays["cell"] = _cell(atoms)
        arrays |= labels_of(name, number, atoms, reading)
        for each in set(species) - elements.keys():
            elements[each] = _element(each, reading)
        symbols = tuple(elements[each] for each in species)
        frame = _Frame(number, symbols, (pbc[0], pbc[1], pbc[2]), arrays)
        yield frame, unread(atoms, reading)


def _element(species: str, reading: Reading) -> str:
    """Return the given element of a species, or the symbol that it is in any case of letters."""
    from ase.data import atomic_numbers

    symbol = species.capitalize()
    if species in reading.species or symbol not in atomic_numbers:
        return reading.element(species)
    return symbol


def _cell(atoms: Any) -> Array:
    """Return the cell (3, 3), in which directions that do not repeat may have had no vector."""
    given: Array = atoms.cell.array
    kept = np.any(given, axis=1, keepdims=True) | np.asarray(atoms.pbc)[:, None]
    return np.where(kept, given, atoms.cell.complete().array)


def _name(file: str, group: _Group, known: Set[str], several: bool) -> str:
    """Return the name of a system, with what sets it apart from the others of its file.

    Parameters
    ----------
    known
        Labels of all frames of the same atoms.
    several
        True if the file has frames of other atoms.
    """
    symbols, pbc, labels = group
    about = []
    if several:
        about.append("".join(f"{s}{symbols.count(s)}" for s in dict.fromkeys(symbols)))
        if not all(pbc):
            about.append("pbc " + "".join("FT"[flag] for flag in pbc))
    if lacking := [key for key in LABELS if key in known - labels]:
        about.append(f"without {' and '.join(lacking)}")
    return f"{file} ({', '.join(about)})" if about else file


def _contents(
    name: str,
    file: str,
    group: Sequence[_Frame],
    names: tuple[str, ...],
    others: Mapping[str, str],
) -> Contents:
    first = group[0]
    arrays = {}
    for key in (*FRAME, *LABELS):
        having = [frame for frame in group if key in frame.arrays]
        if having:
            _check_shapes(file, key, having)
            # Of labels, only a weight may be missing from some frames.
            rows = [frame.arrays.get(key, np.ones(())) for frame in group]
            arrays[key] = in_memory(file, np.stack(rows))
    sets = (FrameSet(file, len(group), arrays, numbers=np.array([f.number for f in group])),)
    types = np.array([names.index(symbol) for symbol in first.symbols], dtype=np.int64)
    seen = {
        int(number): f"{file}, frame {first.number}, atom {int(atom)}"
        for number, atom in zip(*np.unique(types, return_index=True), strict=True)
    }
    return Contents(
        *(name, types, names, seen, sets, first.pbc),
        ndof=infer_ndof(sets, len(types)),
        source=file,
        unread=dict(others),
    )


def _check_shapes(file: str, key: str, frames: Sequence[_Frame]) -> None:
    shape = frames[0].arrays[key].shape
    for frame in frames:
        if frame.arrays[key].shape != shape:
            raise DataError(
                f"{file}: {key} of frame {frame.number} has shape {frame.arrays[key].shape}, but "
                f"of frame {frames[0].number} {shape}; they must agree"
            )
