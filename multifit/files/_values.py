"""The values of a model file, checked before they are used.

A file may be damaged or hostile. So no value is used before its kind is known, and no array before
it has the shape that the settings ask for: settings alone never make anything large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from multifit.errors import FileFormatError
from multifit.files._tree import VARIABLES, Array

_FLOATS = frozenset(["float16", "float32", "float64"])
_RESTORE = "restore the file from a copy"


def mapping(value: Any, where: str) -> dict[str, Any]:
    """Return a section of a file.

    Parameters
    ----------
    value
        Content of the file.
    where
        Its keys, for the error.

    Raises
    ------
    FileFormatError
        If it is not a mapping.
    """
    if not isinstance(value, dict):
        raise FileFormatError(f"{where} is {_shown(value)}, but must be a section; {_RESTORE}")
    return value


def items(value: Any, where: str) -> tuple[Any, ...]:
    """Return the elements of a list, and those of lists in it, as tuples.

    Raises
    ------
    FileFormatError
        If it is not a list.
    """
    if not isinstance(value, list | tuple):
        raise FileFormatError(f"{where} is {_shown(value)}, but must be a list; {_RESTORE}")
    return tuple(items(x, where) if isinstance(x, list | tuple) else x for x in value)


def required(node: Mapping[str, Any], key: str, where: str) -> Any:
    """Return the value of a key that a section must have.

    Raises
    ------
    FileFormatError
        If it lacks the key.
    """
    if key not in node:
        raise FileFormatError(f"{where}.{key} is missing; {_RESTORE}")
    return node[key]


def number(value: Any) -> Any:
    """Return a number as a float, and anything else as it is, for the range check to refuse."""
    plain = isinstance(value, Real) and not isinstance(value, bool)
    return float(value) if plain and abs(value) < 1e300 else value


def parameter(
    node: Mapping[str, Any],
    name: str,
    shape: tuple[int, ...],
    where: str,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Return one array of a section, in the shape and dtype that its settings ask for.

    Parameters
    ----------
    node
        The section, with its arrays under ``"@variables"``.
    name
        Name of the array.
    shape
        Its shape; the file may have axes of length 1 besides.
    where
        The keys of the section, for errors.
    dtype
        Of the result.

    Raises
    ------
    FileFormatError
        If it is missing, has another shape, or holds anything but finite floats.
    """
    value = mapping(node.get(VARIABLES), f"{where}.{VARIABLES}").get(name)
    if value is None or isinstance(value, dict | list):
        raise FileFormatError(f"{where}.{name} is missing; {_RESTORE}")
    array = np.asarray(value)
    if not _is_shape(array.shape, shape):
        raise FileFormatError(
            f"{where}.{name} has the shape {array.shape}, but its settings ask for {shape}"
        )
    if array.dtype.name not in _FLOATS:
        raise FileFormatError(
            f"{where}.{name} holds values of type {array.dtype}, but a parameter has "
            f"floating-point numbers; {_RESTORE}"
        )
    with np.errstate(over="ignore"):
        array = array.reshape(shape).astype(dtype)
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(int(k) for k in wrong[0])
        raise FileFormatError(
            f"{where}.{name} is {array[place]} at {list(place)}, but a parameter is finite; use "
            "the model or checkpoint before it"
        )
    return array


def _is_shape(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return True if two shapes differ in axes of length 1 at most."""
    return math.prod(found) == math.prod(wanted) and (
        0 in wanted or [n for n in found if n != 1] == [n for n in wanted if n != 1]
    )


def _shown(value: Any) -> str:
    """Return a value for a message."""
    return "missing" if value is None else f"{' '.join(repr(value).split()):.60}"
