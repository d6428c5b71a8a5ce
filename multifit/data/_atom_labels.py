"""The labels of one structure of ASE, under the names that the user gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import DataError
from ._labels import LABELS, WEIGHTS, Label, weights_of
from ._reading import STRESS, Reading
from ._stored import Array

#: How far a virial may be off −V·stress, relative to its largest element: texts are rounded.
AGREEMENT = 1e-2

#: eV/Å³ in other units of pressure.
_UNITS = {"GPa": 160.21766, "kbar": 1602.1766, "bar": 1602176.6, "atm": 1581225.1}

#: What ASE has for every structure, and what is no label.
_OWN = frozenset(
    (
        *("numbers", "positions", "tags", "momenta", "masses", "initial_magmoms"),
        *("initial_charges", "charges", "magmoms", "magmom", "dipole", "unique_id"),
    )
)

#: Labels that a model takes in, rather than fits.
_INPUTS = ("fparam", "aparam")


def labels_of(file: str, frame: int, atoms: Any, reading: Reading) -> dict[str, Array]:
    """Return the labels that a structure has; one whose weight is 0 counts as missing.

    Parameters
    ----------
    file, frame
        Name of the file and number of the frame, for messages.
    atoms
        The structure, of ASE.
    reading
        Names of the labels.
    """
    found: dict[str, Array] = {}
    for key, label in LABELS.items():
        if key == "virial":
            value = _virial(file, frame, atoms, reading)
        else:
            value = _value(atoms, reading.names(key), "natoms" in label.shape)
        if value is not None:
            found[key] = _checked(f"{file}: {key} of frame {frame}", label, len(atoms), value)
    for key in WEIGHTS.keys() & found.keys():
        if not (np.isfinite(found[key]) and found[key] >= 0):
            raise DataError(
                f"{file}: {key} of frame {frame} is {float(found[key]):g}, but must be a number ≥ 0"
            )
    fitted = found.keys() - WEIGHTS.keys() - set(_INPUTS)
    off = {key for key in fitted if any(found.get(w) == 0.0 for w in weights_of(key))}
    return {key: value for key, value in found.items() if key not in off}


def unread(atoms: Any, reading: Reading) -> dict[str, str]:
    """Return the names of numbers that are not read → the label that they may be, or ""."""
    taken = {name for key in (*LABELS, STRESS) for name in reading.names(key)}
    found = {}
    for name, value in _named(atoms):
        if name in taken or name in _OWN:
            continue
        try:
            size = np.asarray(value, dtype=np.float64).shape
        except (TypeError, ValueError):
            continue
        found[name] = _guess(name.lower(), size, len(atoms))
    return found


def _named(atoms: Any) -> Iterator[tuple[str, Any]]:
    if atoms.calc is not None:
        yield from atoms.calc.results.items()
    yield from atoms.info.items()
    yield from atoms.arrays.items()


def _guess(name: str, shape: tuple[int, ...], natoms: int) -> str:
    """Return the label that numbers of this name and shape probably are, or ""."""
    size = int(np.prod(shape))
    if "weight" in name:
        return ""
    if "forc" in name and shape == (natoms, 3):
        return "force"
    if "vir" in name and size in (6, 9):
        return "virial"
    if "stress" in name and size in (6, 9):
        return STRESS
    return "energy" if "ener" in name and shape == () else ""


def _value(atoms: Any, names: tuple[str, ...], per_atom: bool) -> Any:
    """Return the first value that a structure has under one of some names, or None."""
    # Results are read directly: the methods of Atoms would apply constraints to forces.
    results: Mapping[str, Any] = {} if atoms.calc is None else atoms.calc.results
    for name in names:
        value = results.get(name)
        if value is None:
            value = (atoms.arrays if per_atom else atoms.info).get(name)
            if value is not None and not per_atom:
                # ASE folds any nine numbers of a comment line into a matrix, by columns.
                value = np.ravel(value, order="F")
        if value is not None:
            return value
    return None


def _virial(file: str, frame: int, atoms: Any, reading: Reading) -> Array | None:
    """Return the virial (3, 3) in eV: as given, or −V·stress; both must agree."""
    virial, stress = (
        _tensor(f"{file}: {key} of frame {frame}", _value(atoms, reading.names(key), False))
        for key in ("virial", STRESS)
    )
    # Without three lattice vectors there is no volume that the stress could refer to.
    if stress is None or atoms.cell.rank < 3:
        return virial
    computed = -atoms.get_volume() * stress
    if virial is not None:
        _check_agreement(f"{file}, frame {frame}", virial, computed)
    return computed if virial is None else virial


def _tensor(where: str, value: Any) -> Array | None:
    """Return a matrix (3, 3) of nine numbers, or of six in the order xx, yy, zz, yz, xz, xy."""
    if value is None:
        return None
    numbers = _numbers(where, value)
    if numbers.shape == (3, 3):
        return numbers
    if numbers.size == 6:
        matrix: Array = numbers.ravel()[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
        return matrix
    if numbers.size != 9:
        raise DataError(f"{where} has {numbers.size} numbers, but 9 are expected (or 6: xx … xy)")
    # The order of rows and columns is that of extended xyz.
    return numbers.reshape(3, 3, order="F")


def _check_agreement(where: str, virial: Array, computed: Array) -> None:
    """Raise DataError if a virial is not −V·stress, with the likely reason."""
    if not (np.isfinite(virial).all() and np.isfinite(computed).all()):
        return  # told, with the place, when it is loaded
    scale = max(np.abs(virial).max(), np.abs(computed).max())
    if np.abs(virial - computed).max() <= AGREEMENT * scale:
        return
    row, column = np.unravel_index(np.abs(virial).argmax(), (3, 3))
    pair = "xyz"[row] + "xyz"[column]
    raise DataError(
        f"{where}: virial and stress do not agree: the virial is {virial[row, column]:.6g} eV "
        f"({pair}), but −V·stress is {computed[row, column]:.6g} eV{_reason(virial, computed)}; "
        "correct the file, or read only one of them: with "
        '"keys": {"virial": []} the virial is not read, with {"stress": []} the stress'
    )


def _reason(virial: Array, computed: Array) -> str:
    """Return why a virial and −V·stress differ, if it is a sign or a unit."""
    square = float((virial * virial).sum())
    ratio = float((virial * computed).sum()) / square if square else 0.0
    if not ratio or np.abs(computed - ratio * virial).max() > AGREEMENT * np.abs(computed).max():
        return ""
    sign = " of the opposite sign" if ratio < 0 else ""
    for unit, factor in _UNITS.items():
        if abs(abs(ratio) / factor - 1) < AGREEMENT:
            return (
                f", {abs(ratio):.5g} times as large{sign}: the stress seems to be in {unit}, but "
                "must be in eV/Å³"
            )
    if abs(ratio + 1) < AGREEMENT:
        return ", of the opposite sign (a stress is positive under tension, as in ASE)"
    return f", {abs(ratio):.5g} times as large{sign}"


def _checked(where: str, label: Label, natoms: int, value: Any) -> Array:
    array = _numbers(where, value)
    size = label.frame_size(natoms)
    if array.size != size and not (label.has_ndof and array.size and array.size % size == 0):
        few = f"a multiple of {size}" if label.has_ndof else str(size)
        raise DataError(f"{where} has {array.size} numbers, but {few} are expected")
    return array.reshape(()) if label.shape == () else array


def _numbers(where: str, value: Any) -> Array:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        shown = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
        raise DataError(f"{where} is {shown!r}, but numbers are expected") from exc
