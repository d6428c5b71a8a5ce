"""The nested dict, with its arrays taken out and put back in.

Arrays are what lies under a key ``"@variables"``, at any depth; everything else is what JSON can
say. Each format stores an array in its own way (a dataset, a dict of text), and gives that as a
function here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multifit.errors import FileFormatError

VARIABLES = "@variables"
IS_VARIABLE = "@is_variable"  # marks DeePMD-kit's text form of an array
MAX_DEPTH = 100
DTYPES = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)

Array = NDArray[Any]


def detach(data: dict[str, Any], store: Callable[[Array], Any]) -> dict[str, Any]:
    """Return a copy of the dict in which each array is replaced by ``store(array)``.

    Parameters
    ----------
    data
        The nested dict. NumPy scalars become numbers, or arrays of no dimension where arrays lie.
    store
        Keeps one array, in native byte order, and returns what stands for it.

    Raises
    ------
    TypeError, ValueError
        If something has no place in a file, with the keys that lead to it.
    """
    if not isinstance(data, dict):
        raise TypeError(f"a model is a dict, not {type(data).__name__}")
    tree: dict[str, Any] = _detach(data, store, (), False)
    return tree


def _detach(node: Any, store: Callable[[Array], Any], keys: tuple[str, ...], inside: bool) -> Any:
    """Return the node without arrays; ``inside`` tells that it lies under ``"@variables"``."""
    if len(keys) > MAX_DEPTH:
        raise ValueError(f"{'.'.join(keys[:3])}... is nested deeper than {MAX_DEPTH}")
    if isinstance(node, dict):
        _check_keys(node, keys)
        return {
            key: _detach(value, store, (*keys, key), inside or key == VARIABLES)
            for key, value in node.items()
        }
    if isinstance(node, list | tuple):
        return [_detach(value, store, (*keys, str(i)), inside) for i, value in enumerate(node)]
    if node is None:
        return None
    if inside:
        return store(_storable(node, ".".join(keys)))
    return _plain(node, ".".join(keys))


def _check_keys(node: dict[Any, Any], keys: tuple[str, ...]) -> None:
    """Raise for keys that would be read back differently."""
    for key in node:
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r} under {'.'.join(keys) or 'the root'} is not text")
    if IS_VARIABLE in node:
        raise ValueError(f"the key {IS_VARIABLE} under {'.'.join(keys)} is reserved")


def _storable(value: Any, where: str) -> Array:
    """Return the value as an array of a dtype that every format keeps."""
    array = np.asarray(value)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.name not in DTYPES:
        raise TypeError(f"{where} is an array of {array.dtype}, which no file format here keeps")
    return native


def _plain(value: Any, where: str) -> str | bool | int | float:
    """Return the value as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        raise TypeError(f"{where} is an array; arrays must lie under a key {VARIABLES!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}, which JSON cannot hold; use None, or an array")
    if not isinstance(value, str | bool | int | float):
        raise TypeError(f"{where} is of type {type(value).__name__}, which JSON cannot hold")
    return value


def attach(tree: Any, path: Path, fetch: Callable[[Any, str], Array]) -> dict[str, Any]:
    """Return the nested dict of a file, with ``fetch(node, where)`` in place of each variable.

    Parameters
    ----------
    tree
        Content of the file's text.
    path
        The file, for the errors.
    fetch
        Returns the array for what stands for it; ``where`` is for its errors.
    """
    if not isinstance(tree, dict):
        raise FileFormatError(f"{path} holds no model: its text is not a mapping; check the file")

    def visit(node: Any, keys: tuple[str, ...], inside: bool) -> Any:
        if len(keys) > MAX_DEPTH:
            raise FileFormatError(
                f"{path} is nested too deeply at {'.'.join(keys[:3])}; it is not a model"
            )
        if isinstance(node, dict) and node.get(IS_VARIABLE):
            return fetch(node, ".".join(keys))
        if isinstance(node, dict):
            return {k: visit(v, (*keys, k), inside or k == VARIABLES) for k, v in node.items()}
        if isinstance(node, list):
            return [visit(value, (*keys, str(i)), inside) for i, value in enumerate(node)]
        if node is None:
            return None
        where = ".".join(keys)
        return fetch(node, where) if inside else _expected(node, where, path)

    model: dict[str, Any] = visit(tree, (), False)
    return model


def _expected(value: Any, where: str, path: Path) -> Any:
    """Return a value that is text, a boolean or a finite number."""
    if isinstance(value, float) and not math.isfinite(value):
        raise FileFormatError(f"{path}: {where} is {value}, not a finite number; correct it")
    if not isinstance(value, str | bool | int | float):
        raise FileFormatError(
            f"{path}: {where} is of type {type(value).__name__}, which no model holds; correct it"
        )
    return value
