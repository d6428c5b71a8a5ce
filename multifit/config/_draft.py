"""The input during conversion to settings: plain values, original keys, and problems."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError

#: Depth of nested sections or lists beyond that of any valid input.
MAX_DEPTH = 32

#: Maximum number of values; YAML's references can stand for far more than is visible.
MAX_VALUES = 1_000_000

#: The section whose key ``list`` holds sections of the same kinds.
DESCRIPTOR = "model.descriptor"

_SHOWN = 60  #: characters of a value that an error repeats


@dataclass(frozen=True)
class Problem:
    """A problem with one key: its dotted path, and the rest of the sentence."""

    path: str
    says: str


@dataclass
class Draft:
    """An input during conversion; the steps change it in place.

    Attributes
    ----------
    data
        The input as nested dicts; lists are tuples.
    names
        Dotted path of a key → its name in the file, if different.
    problems
        Problems, in the order in which they were found.
    """

    data: dict[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def section(self, path: str) -> dict[str, Any] | None:
        """Return the section of a dotted path ("" for all), or None if absent."""
        found: Any = self.data
        for key in path.split(".") if path else ():
            name, _, index = key.partition("[")
            found = found.get(name) if isinstance(found, dict) else None
            if index:
                found = found[int(index[:-1])]
        return found if isinstance(found, dict) else None

    def places(self, path: str) -> list[str]:
        """Return the dotted paths of a section: of ``model.descriptor`` those of its parts, too."""
        parts = (self.section(DESCRIPTOR) or {}).get("list") if path == DESCRIPTOR else None
        several = range(len(parts)) if isinstance(parts, tuple) else ()
        return [path, *(f"{DESCRIPTOR}.list[{k}]" for k in several)]

    def move(self, section: str, key: str, to: str, new: str) -> None:
        """Move an existing key to another section or name; a taken name is a problem."""
        source, target = self.section(section), self.section(to)
        if source is None or target is None or key not in source:
            return
        value = source.pop(key)
        old_path, new_path = f"{section}.{key}".lstrip("."), f"{to}.{new}"
        if new in target:
            other = self.names.get(new_path, new_path)
            self.problems.append(
                Problem(old_path, f"is given beside {other}, but both mean the same: keep one")
            )
            return
        target[new] = value
        self.names[new_path] = old_path

    def name(self, path: str) -> str:
        """Return the name of a path in the file, or the path itself."""
        return self.names.get(path, path)


def draft(data: object, where: str) -> Draft:
    """Return a draft of an input without its comments, keys that start with ``_`` or ``//``.

    Raises
    ------
    ConfigError
        If the input is not an object, holds values unknown to JSON, or is too deep or too large.
    """
    if not isinstance(data, dict):
        raise ConfigError(
            f"{where} holds {shown(data)}, but must hold an object with the sections model, "
            "learning_rate and training"
        )
    plain = _plain(data, where, "", 0, [0])
    assert isinstance(plain, dict)
    return Draft(plain)


def _plain(value: Any, where: str, path: str, depth: int, count: list[int]) -> Any:
    """Return a copy with tuples for lists and without comments; ``count`` counts the values."""
    count[0] += 1
    if depth > MAX_DEPTH:
        raise ConfigError(
            f"{where} is nested more than {MAX_DEPTH} levels deep, but must not be: look at "
            f"{shorten(path)}"
        )
    if count[0] > MAX_VALUES:
        raise ConfigError(f"{where} holds more than {MAX_VALUES} values, but must hold fewer")
    if isinstance(value, dict):
        copy = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ConfigError(
                    f"{shorten(path) or 'the top'} in {where} has the key {shown(key)}, but keys "
                    "must be texts"
                )
            if not _is_comment(key, path):
                copy[key] = _plain(inner, where, join(path, key), depth + 1, count)
        return copy
    if isinstance(value, list | tuple):
        return tuple(
            _plain(inner, where, join(path, i), depth + 1, count) for i, inner in enumerate(value)
        )
    if value is None or isinstance(value, str | int | float):
        return value
    raise ConfigError(
        f"{shorten(path)} in {where} is {shown(value)}, but must be one of the values that JSON has"
    )


def _is_comment(key: str, path: str) -> bool:
    return key.startswith(("_", "//")) or (not path and key == "$schema")


def general(path: str) -> str:
    """Return the dotted path of what the input reference describes, for a path in an input.

    A part of a descriptor is described as a descriptor.
    """
    return re.sub(rf"^{re.escape(DESCRIPTOR)}\.list\[\d+\]", DESCRIPTOR, path)


def join(path: str, key: str | int) -> str:
    """Return the dotted path of a key or of an entry of a list."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    word = key if re.fullmatch(r"[\w/-]{1,60}", key) else shown(key)
    return f"{path}.{word}" if path else word


def shorten(text: str, limit: int = 4 * _SHOWN) -> str:
    """Return the text on one line, its end replaced by dots where it is too long."""
    line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode("utf-8")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def shown(value: object) -> str:
    """Return a short form of a value in the syntax of the file, for errors."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {math.ceil(value.bit_length() * math.log10(2))} digits"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return f"a value of type {type(value).__name__}"
    return shorten(text, _SHOWN)
