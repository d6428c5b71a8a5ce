"""The input reference of the documentation, written from the models."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Iterator

from pydantic.fields import FieldInfo

from ..sections import Section, words_of
from ._aliases import aliases_of
from ._config import sections
from ._draft import shown
from ._errors import types_of
from ._unsupported import ANYTHING, KEYS, TEXTS, TYPES

_HEAD = "| key | value | default | meaning |\n| --- | --- | --- | --- |"
_INTRO = """\
# Input reference

An input is a JSON or YAML file with the sections below. Keys, defaults and aliases are those of
DeePMD-kit's `input.json`. Keys that start with `_` or `//` are comments.
"""


def markdown() -> str:
    """Return the reference page: for each section its keys, values, defaults and meanings."""
    parts = [_INTRO]
    for path, classes in sections().items():
        parts.append(f"## {f'`{path}`' if path else 'The sections'}\n")
        parts.extend(_section(path, classes))
    parts.extend(_limits())
    return "\n".join(parts)


def _section(path: str, classes: tuple[type[Section], ...]) -> Iterator[str]:
    """Yield the tables of a section: one, or the common keys and those of each type."""
    if len(classes) == 1:
        yield f"{_text(classes[0])}\n"
        yield _table(path, classes[0].model_fields.items())
        return
    first = classes[0].model_fields
    common = [k for k in first if all(k in cls.model_fields for cls in classes)]
    same = [k for k in common if k != "type" and _all_same(k, classes)]
    yield "Keys of all types:\n"
    yield _table(path, ((k, first[k]) for k in same))
    for cls, kind in zip(classes, types_of(path), strict=True):
        own = ((k, f) for k, f in cls.model_fields.items() if k not in same)
        yield f'### `{path}` with `"type": "{kind}"`\n'
        yield f"{_text(cls)}\n"
        yield _table(path, own)


def _all_same(key: str, classes: tuple[type[Section], ...]) -> bool:
    return (
        len({(c.model_fields[key].description, c.model_fields[key].default) for c in classes}) == 1
    )


def _text(cls: type[Section]) -> str:
    return inspect.cleandoc(cls.__doc__ or "").replace("``", "`")


def _table(path: str, fields: Iterable[tuple[str, FieldInfo]]) -> str:
    rows = (_row(path, key, field) for key, field in fields)
    return "\n".join((_HEAD, *rows)) + "\n"


def _row(path: str, key: str, field: FieldInfo) -> str:
    others = aliases_of(path, key)
    name = f"`{key}`" + (f" (also {', '.join(f'`{a}`' for a in others)})" if others else "")
    cells = (name, _value(path, key, field), _default(field), field.description or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(path: str, key: str, field: FieldInfo) -> str:
    inner = f"{path}.{key}".lstrip(".")
    if inner in sections():
        return f"an object, see `{inner}`"
    if key == "type":
        return " or ".join(f'`"{v}"`' for v in typing.get_args(field.annotation))
    return words_of(field)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "all defaults" if field.default_factory is not None else f"`{shown(field.default)}`"


def _limits() -> Iterator[str]:
    """Yield the unsupported options of DeePMD-kit."""
    yield "## Unsupported options of DeePMD-kit\n"
    yield (
        "These keys are errors, except with the accepted values, which turn an option off or have "
        "no effect. The keys for compilation do not change what a backend compiles.\n"
    )
    yield "| key | accepted values |\n| --- | --- |"
    for path, harmless in KEYS.items():
        accepted = "any" if harmless is ANYTHING else ", ".join(f"`{shown(h)}`" for h in harmless)
        yield f"| `{path}` | {accepted or 'none'} |"
    for path, kinds in TYPES.items():
        yield f"| `{path}.type` | not {', '.join(f'`{k}`' for k in sorted(kinds))} |"
    for path, starts in TEXTS.items():
        given = ", ".join(f"`{shown(start + '…')}`" for start in starts)
        yield f"| `{path}` | not {given} |"
    yield ""
