"""JSON text: strict, and with arrays as nested lists."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from multifit.errors import FileFormatError
from multifit.files._text import array_from_text, array_to_text
from multifit.files._tree import attach, detach


def encode(data: dict[str, Any]) -> tuple[bytes]:
    """Return the dict as one JSON document of ASCII characters; infinities in arrays are quoted."""
    tree = detach(data, lambda array: array_to_text(array, quote=True))
    return (dump(tree).encode("ascii") + b"\n",)


def decode(content: bytes, path: Path) -> dict[str, Any]:
    """Return the dict of a JSON file."""
    tree = load(content, path)
    if {"base_code", "program"} <= tree.keys():
        raise FileFormatError(
            f"{path} is a frozen Paddle model; convert it with `dp convert-backend {path} "
            f"{path.with_suffix('.dp')}`"
        )
    return attach(tree, path, lambda node, where: array_from_text(node, where, path))


def dump(tree: dict[str, Any]) -> str:
    """Return the tree as compact JSON; each float as the shortest text that gives it back."""
    return json.dumps(tree, separators=(",", ":"), allow_nan=False)


def load(content: bytes, path: Path) -> dict[str, Any]:
    """Return the tree of JSON text without duplicate keys and numbers that are not finite."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        node = dict(pairs)
        if len(node) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise FileFormatError(f"{path} has the key {twice!r} twice in one place; remove one")
        return node

    def refuse(constant: str) -> NoReturn:
        raise FileFormatError(f"{path} holds the number {constant}; a model has finite numbers")

    def finite(text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else refuse(text)

    try:
        tree = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=unique,
            parse_constant=refuse,
            parse_float=finite,
        )
    except FileFormatError:
        raise
    except RecursionError as error:
        raise FileFormatError(f"{path} is nested too deeply; it is not a model") from error
    except (ValueError, MemoryError) as error:
        raise FileFormatError(
            f"{path} does not hold valid JSON ({error or 'out of memory'}); restore it from a copy"
        ) from error
    if not isinstance(tree, dict):
        raise FileFormatError(f"{path} holds no model: its text is not a mapping; check the file")
    return tree
