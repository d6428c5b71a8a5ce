"""The JSON Schema of ``input.json``, for editors and for ``multifit schema``."""

from __future__ import annotations

from typing import Any

from ._aliases import ALIASES, DEFAULT_TYPES, TYPE_ALIASES
from ._config import Config, sections
from ._unsupported import ANYTHING, KEYS


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of an input, with the descriptions of all keys.

    Aliases are marked as deprecated; keys that start with ``_`` or ``//`` are comments. Inputs in
    the style of earlier versions of DeePMD-kit are read, but not part of the schema.
    """
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "multifit input"
    schema["properties"]["$schema"] = {"type": "string"}
    definitions = schema["$defs"]
    for path, classes in sections().items():
        for cls in classes:
            _complete(definitions.get(cls.__name__, schema), path)
    for path in DEFAULT_TYPES:
        parent, _, key = path.rpartition(".")
        (cls,) = sections()[parent]
        _allow_missing_type(definitions.get(cls.__name__, schema)["properties"][key])
    return schema


def _complete(section: dict[str, Any], path: str) -> None:
    """Add comments, aliases and accepted keys without effect to the schema of a section."""
    properties = section["properties"]
    known = {a: k for a, k in ALIASES.get(path, {}).items() if k in properties}
    for alias, key in known.items():
        about = {"description": f"Another name of {key}.", "deprecated": True}
        properties[alias] = {**properties[key], **about}
        if key in section.get("required", ()):
            section["required"].remove(key)
    if path in TYPE_ALIASES:
        kind = properties["type"]
        own = kind.pop("const")
        kind["enum"] = [own, *(a for a, meant in TYPE_ALIASES[path].items() if meant == own)]
    for dotted, harmless in KEYS.items():
        parent, _, key = dotted.rpartition(".")
        if parent == path and harmless:
            about = {"description": "Accepted for DeePMD-kit's sake, without effect."}
            values = {} if harmless is ANYTHING else {"enum": [_json(h) for h in harmless]}
            properties[key] = about | values
    section["patternProperties"] = {"^(_|//)": {}}


def _allow_missing_type(section: dict[str, Any]) -> None:
    """Turn "exactly one of the types" into "any": a default type needs no ``type`` key."""
    section["anyOf"] = section.pop("oneOf")
    section.pop("discriminator", None)


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
