"""An array in text, in the form that DeePMD-kit gives it in YAML.

``{"@class": "np.ndarray", "@is_variable": true, "@version": 1, "dtype": "float64", "value": ...}``
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from multifit.errors import FileFormatError
from multifit.files._tree import DTYPES, MAX_DEPTH, Array
from multifit.files._version import check_version

_QUOTED = frozenset(["nan", "inf", "-inf"])


def array_to_text(array: Array, *, quote: bool) -> dict[str, Any]:
    """Return the array as a dict of lists, exact to the last bit.

    Parameters
    ----------
    array
        Any shape; float32 goes through float64, which holds each float32 exactly.
    quote
        True to write ``nan`` and ``inf`` as text, for JSON, which has no such numbers.
    """
    value = array.tolist()
    if quote and array.dtype.kind == "f" and not np.isfinite(array).all():
        value = _quoted(value)
    node = {
        "@class": "np.ndarray",
        "@is_variable": True,
        "@version": 1,
        "dtype": array.dtype.name,
        "value": value,
    }
    if array.size == 0:  # lists lose the shape (0, 3)
        node["shape"] = list(array.shape)
    return node


def _quoted(value: Any) -> Any:
    """Return nested lists of floats in which those that are not finite are text."""
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return value if math.isfinite(value) else str(value)


def array_from_text(node: Any, where: str, path: Path) -> Array:
    """Return the array that such a dict, or one bare number, stands for.

    Parameters
    ----------
    node
        Content of the file.
    where
        Its keys, for the error.
    path
        The file, for the error.
    """
    if isinstance(node, bool | int | float):
        node = {"@class": "np.ndarray", "dtype": np.asarray(node).dtype.name, "value": node}
    if not isinstance(node, dict) or node.get("@class") != "np.ndarray":
        raise FileFormatError(f"{path}: {where} is not an array; restore the file from a copy")
    check_version(node, range(1, 2), path)
    dtype, value = node.get("dtype"), node.get("value")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FileFormatError(
            f"{path}: {where} has the dtype {dtype!r}; known are {', '.join(sorted(DTYPES))}"
        )
    try:
        _check_items(value, np.dtype(dtype).kind, MAX_DEPTH)
        with np.errstate(over="raise"):
            array = np.array(value, dtype=dtype)
        return array.reshape(node["shape"]) if "shape" in node and array.size == 0 else array
    except (ValueError, TypeError, ArithmeticError) as error:
        raise FileFormatError(
            f"{path}: {where} is no array of {dtype} ({error}); restore the file from a copy"
        ) from error


def _check_items(value: Any, kind: str, depth: int) -> None:
    """Raise for values that NumPy would silently convert: 1.5 to an integer, text to a number."""
    if isinstance(value, list):
        if depth == 0:
            raise ValueError("it is nested too deeply")
        for item in value:
            _check_items(item, kind, depth - 1)
    elif isinstance(value, bool):
        if kind != "b":
            raise ValueError(f"it holds {value}")
    elif isinstance(value, int):
        if kind == "b":
            raise ValueError(f"it holds {value}")
    elif kind != "f" or not (isinstance(value, float) or value in _QUOTED):
        raise ValueError(f"it holds {value!r}")
