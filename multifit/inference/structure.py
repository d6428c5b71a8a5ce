"""Structures to be evaluated: made from arrays, mappings, ASE's Atoms or data systems.

Types and shapes of the given arrays are checked here; values by the search for neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import real_types
from ..errors import DataError, did_you_mean
from ..fitting import Fitting
from ..models import Model
from ..neighbors.arguments import numbers, periodic

#: Keys of a mapping.
KEYS = ("coord", "types", "cell", "pbc", "fparam", "aparam")


@dataclass(frozen=True)
class Structure:
    """The atoms of one frame and the parameters that the model takes."""

    coord: np.ndarray  #: (natoms, 3) in Å
    cell: np.ndarray | None  #: (3, 3) in Å
    pbc: Sequence[bool]
    atype: np.ndarray  #: (natoms,); −1 is a virtual atom
    where: str  #: its name in error messages
    fparam: np.ndarray | None = None  #: (numb_fparam,)
    aparam: np.ndarray | None = None  #: (natoms, numb_aparam)


def structures(
    model: Model,
    coord: Any,
    types: Any,
    cell: Any = None,
    fparam: Any = None,
    aparam: Any = None,
    pbc: Any = None,
    where: str = "",
) -> list[Structure]:
    """Return frames of the same atoms, from the arrays of :meth:`multifit.Potential.predict`.

    Parameters
    ----------
    where
        Their name in error messages; ``frame k`` if not given.

    Raises
    ------
    DataError
        If shapes do not fit together, or an array does not hold numbers.
    """
    frames = _frames(coord)
    nframes, natoms, _ = frames.shape
    atype = type_indices(model.type_map, types)
    if atype.shape != (natoms,):
        raise DataError(f"types has the shape {atype.shape}, but coord has {natoms} atoms")
    cells = _cells(cell, nframes)
    flags = tuple(periodic(cell is not None if pbc is None else pbc).tolist())
    fparam, aparam = parameters(model.fitting, fparam, aparam, nframes, natoms)
    masked = model.fitting.use_aparam_as_mask and aparam is not None
    return [
        Structure(
            frames[k],
            cells[k],
            flags,
            real_types(atype, aparam[k]) if masked else atype,
            where or f"frame {k}",
            None if fparam is None else fparam[k],
            None if aparam is None else aparam[k],
        )
        for k in range(nframes)
    ]


def structure(model: Model, given: Any, where: str) -> Structure:
    """Return a structure in one of the forms of :meth:`multifit.Potential.predict_many`.

    Raises
    ------
    DataError
        If it is not a structure, or has other than one frame.
    """
    try:
        found = structures(model, **fields_of(given), where=where)
    except DataError as exc:
        raise DataError(f"{where}: {exc}") from exc
    if len(found) != 1:
        raise DataError(f"{where}: coord has {len(found)} frames; give each as a structure")
    return found[0]


def _frames(coord: Any) -> np.ndarray:
    """Return coordinates as (nframes, natoms, 3), with at least one frame and one atom."""
    x = numbers("coord", coord)
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3 or x.shape[2] != 3:
        raise DataError(
            f"coord has the shape {np.shape(coord)}, but must have (natoms, 3) or "
            "(nframes, natoms, 3)"
        )
    if 0 in x.shape:
        what = "no frames" if x.shape[0] == 0 else "no atoms"
        raise DataError(f"coord has the shape {np.shape(coord)}: there are {what}; give at least 1")
    return x


def _cells(cell: Any, nframes: int) -> list[np.ndarray | None]:
    """Return the cell (3, 3) of each frame, or None without a cell."""
    if cell is None:
        return [None] * nframes
    x = numbers("cell", cell)
    if x.shape in ((9,), (nframes, 9)):
        x = x.reshape(*x.shape[:-1], 3, 3)
    if x.shape == (3, 3):
        return [x] * nframes
    if x.shape != (nframes, 3, 3):
        raise DataError(
            f"cell has the shape {np.shape(cell)}, but must be (3, 3) or {nframes}×(3, 3)"
        )
    return list(x)


def type_indices(
    type_map: Sequence[str], types: Sequence[int] | Sequence[str] | np.ndarray
) -> np.ndarray:
    """Return types or element symbols as numbers, (natoms,) int64.

    Raises
    ------
    DataError
        If a type is outside ``type_map`` (which atom).
    """
    try:
        given = np.asarray(types)
    except ValueError:
        given = np.zeros(0, dtype=object)
    if given.size == 0 and given.dtype.kind == "f":  # an empty list
        given = given.astype(np.int64)
    if given.dtype.kind in "US" and given.ndim == 1:
        return _from_symbols(type_map, given)
    if given.dtype.kind not in "iu" or given.ndim != 1:
        raise DataError("types must be integers or element symbols, one for each atom")
    wrong = np.flatnonzero((given < -1) | (given >= len(type_map)))
    if wrong.size:
        raise DataError(
            f"atom {wrong[0]} has the type {given[wrong[0]]}, but the model has "
            f"{len(type_map)} types ({', '.join(type_map)})"
        )
    return given.astype(np.int64)


def _from_symbols(type_map: Sequence[str], symbols: np.ndarray) -> np.ndarray:
    index = {name: k for k, name in enumerate(type_map)}
    names, inverse = np.unique(symbols.astype(np.str_), return_inverse=True)
    unknown = [k for k, name in enumerate(names) if str(name) not in index]
    if unknown:
        atom = int(np.flatnonzero(np.isin(inverse, unknown))[0])
        name = str(symbols.astype(np.str_)[atom])
        raise DataError(
            f"atom {atom} is {name!r}, but the model knows "
            f"{', '.join(type_map)}{did_you_mean(name, index)}"
        )
    return np.array([index[str(name)] for name in names], dtype=np.int64)[inverse]


def parameters(
    fitting: Fitting,
    fparam: np.ndarray | None,
    aparam: np.ndarray | None,
    nframes: int,
    natoms: int,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return fparam (nframes, n) and aparam (nframes, natoms, n), or None if unused."""
    if fparam is None and fitting.default_fparam is not None:
        fparam = np.asarray(fitting.default_fparam)
    given = {"fparam": (fparam, fitting.numb_fparam), "aparam": (aparam, fitting.numb_aparam)}
    shapes = {"fparam": (nframes,), "aparam": (nframes, natoms)}
    found: dict[str, np.ndarray | None] = {}
    for name, (value, n) in given.items():
        found[name] = _checked(name, value, (*shapes[name], n))
    return found["fparam"], found["aparam"]


def _checked(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return parameters in the required shape, or None if the model has none."""
    n = shape[-1]
    if n == 0 and value is not None:
        raise DataError(f"{name} was given, but the model has numb_{name} = 0")
    if n == 0:
        return None
    if value is None:
        raise DataError(f"the model needs {name}, {n} numbers each; give {name}=")
    value = numbers(name, value)
    if not np.isfinite(value).all():
        bad = value[~np.isfinite(value)][0]
        raise DataError(f"{name} holds {bad}; give finite numbers")
    if value.size == np.prod(shape):
        return np.asarray(value.reshape(shape))
    if value.size == np.prod(shape[1:]):
        return np.broadcast_to(value.reshape(shape[1:]), shape)
    raise DataError(f"{name} has the shape {value.shape}, but must have {shape}")


def fields_of(structure: Any) -> Mapping[str, Any]:
    """Return a structure as a mapping with :data:`KEYS`.

    Parameters
    ----------
    structure
        Such a mapping, or an object with the ``positions``, ``symbols``, ``cell`` and ``pbc`` of
        ``ase.Atoms``.

    Raises
    ------
    DataError
        If it is neither.
    """
    if isinstance(structure, Mapping):
        for key in structure:
            if key not in KEYS:
                raise DataError(
                    f"unknown key {key!r}{did_you_mean(str(key), KEYS)}; known are "
                    f"{', '.join(KEYS)}"
                )
        lacking = [key for key in KEYS[:2] if key not in structure]
        if lacking:
            raise DataError(f"{lacking[0]} is missing; give {' and '.join(KEYS[:2])} at least")
        return structure
    if not (hasattr(structure, "positions") and hasattr(structure, "symbols")):
        raise DataError(
            f"a {type(structure).__name__} is no structure; give mappings with coord, types and "
            "cell, or ase.Atoms"
        )
    pbc = np.asarray(getattr(structure, "pbc", False))
    return {
        "coord": structure.positions,
        "types": [str(symbol) for symbol in structure.symbols],
        "cell": np.asarray(structure.cell) if pbc.any() else None,
        "pbc": pbc,
    }
