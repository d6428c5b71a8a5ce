"""Reading an input file: JSON, or YAML where PyYAML is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ConfigError

_YAML = (".yaml", ".yml")


def read(path: Path) -> object:
    """Return the content of the file, as plain Python values.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not JSON (or YAML), gives a key twice or holds a NaN.
    """
    text = _text(path)
    if path.suffix.lower() in _YAML:
        from ._yaml import read_yaml

        return read_yaml(text, str(path))
    return read_json(text, str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"the input file {path} does not exist") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder, but must be an input file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is no text in UTF-8 (byte {error.start}), but an input file must be"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"the input file {path} cannot be read: {reason}") from None


def read_json(text: str, where: str) -> object:
    """Return the value of a JSON text.

    Parameters
    ----------
    text
        The text.
    where
        Name in errors.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        if twice.startswith("_"):  # comments may share a name
            return found
        raise ConfigError(f"{where} gives the key {twice!r} twice in one section, but must once")

    def not_a_number(literal: str) -> NoReturn:
        raise ConfigError(f"{where} holds {literal}, but numbers must be finite")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=not_a_number)
    except ConfigError:  # which is a ValueError
        raise
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{where} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
            f"{_hint(text, error.pos)}"
        ) from None
    except RecursionError:
        raise ConfigError(f"{where} is nested too deep") from None
    except ValueError:  # an integer of thousands of digits
        raise ConfigError(f"{where} holds an integer that is too long to be read") from None


def _hint(text: str, at: int) -> str:
    """Return the most common cause of an error at this place of a JSON text."""
    if not text.strip():
        return " (the file is empty)"
    rest = text[at:].lstrip()
    if rest.startswith(("#", "//", "/*")):
        return ' (JSON has no comments; a key that starts with "_" serves as one)'
    if rest.startswith(("}", "]")) or text[:at].rstrip().endswith(","):
        return " (JSON has no comma after the last entry)"
    if rest.startswith("'"):
        return ' (texts have double quotes: ")'
    return ""
