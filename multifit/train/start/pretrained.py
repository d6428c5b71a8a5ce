"""Settings of a model's file in place of the input's (``--use-pretrain-script``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ... import files
from ...errors import ConfigError
from ...inference.model_file import SCRIPT
from .changes import changes

#: Sections that fine-tuning takes from the file; the first and the last are in every file.
SECTIONS = ("descriptor", "type_embedding", "fitting_net")

#: Their keys that stay as in the input.
KEPT = "trainable"

#: Keys whose lists refer to types by their places in ``type_map``.
BY_TYPE = ("sel", "exclude_types", "atom_ener")


def with_settings_of(data: Any, path: Path, whole: bool) -> tuple[Any, list[str]]:
    """Return an input with the settings of a model, and notes about what they replace.

    Parameters
    ----------
    data
        The input, as read. Its ``model`` may be empty but for ``type_map``.
    path
        The file of the model.
    whole
        True for all settings of the model, False for its descriptor and fitting net: then
        ``type_map`` and ``trainable`` stay.

    Raises
    ------
    ConfigError
        If the file has no settings, those of several models, or lists types in another order.
    FileFormatError
        If the file is damaged.
    """
    theirs = _script(path)
    if not isinstance(data, Mapping) or not isinstance(data.get("model", {}), Mapping):
        return data, []  # which is refused as any other input
    mine = dict(data.get("model", {}))
    if whole:
        return {**data, "model": theirs}, _notes(mine, theirs, path)
    if mine.get("type_map", theirs.get("type_map")) != theirs.get("type_map"):
        _require_no_order(theirs, path)
    taken: dict[str, Any] = {}
    for name in SECTIONS:
        if theirs.get(name) is None:
            continue
        own = mine.get(name)
        kept = {KEPT: own[KEPT]} if isinstance(own, Mapping) and KEPT in own else {}
        taken[name] = _section(theirs[name], kept)
    if "type_map" in theirs:
        mine.setdefault("type_map", theirs["type_map"])
    return {**data, "model": {**mine, **taken}}, _notes(mine, taken, path)


def _section(theirs: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section with the kept keys of the input; those of a hybrid are in its parts."""
    found = {key: value for key, value in theirs.items() if key != KEPT}
    if "list" in found:
        return found | {"list": [_section(part, kept) for part in found["list"]]}
    return found | dict(kept)


def _script(path: Path) -> dict[str, Any]:
    """Return the section ``model`` of the input that a file was made from."""
    content = files.read(path).get(SCRIPT)
    found = json.loads(content) if isinstance(content, str) else content
    if isinstance(found, dict) and "model_dict" in found:
        raise ConfigError(
            f"{path} was made from an input with several models, of which --use-pretrain-script "
            "cannot choose one: copy the settings into the input"
        )
    given = found if isinstance(found, dict) else {}
    if not all(isinstance(given.get(name), dict) for name in (SECTIONS[0], SECTIONS[-1])):
        raise ConfigError(
            f"{path} does not tell the settings of its model ({SCRIPT}), which "
            "--use-pretrain-script needs: copy them into the input"
        )
    return dict(given)


def _require_no_order(theirs: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError if settings depend on the order of types."""
    for name in SECTIONS:
        for key, value in _entries(theirs.get(name) or {}, f"model.{name}"):
            listed = isinstance(value, list) and len(value) > (key.endswith(".sel"))
            if listed and key.rpartition(".")[2] in BY_TYPE:
                raise ConfigError(
                    f"{key} of {path} lists types in the order of its type_map "
                    f"{json.dumps(theirs.get('type_map'))}: give this type_map in the input, or "
                    "copy the settings for your own instead of --use-pretrain-script"
                )


def _entries(section: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a section, and of those in its list."""
    for key, value in section.items():
        yield f"{name}.{key}", value
    for k, part in enumerate(section.get("list") or ()):
        yield from _entries(part, f"{name}.list[{k}]")


def _notes(mine: Mapping[str, Any], taken: Mapping[str, Any], path: Path) -> list[str]:
    """Return a note about settings of the input that others replace."""
    found = list(changes(mine, taken, "model."))
    if not found:
        return []
    return [f"the settings of {path} replace the input's: {', '.join(map(str, found))}"]
