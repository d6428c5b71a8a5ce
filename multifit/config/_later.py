"""Keys that are read and checked, but whose effect is not part of this version.

A row goes when the effect comes: then nothing else has to change here.
"""

from __future__ import annotations

from functools import reduce

from ._config import Config, sections
from ._draft import Problem, shown

#: Dotted paths of keys that must keep their default.
LATER: tuple[str, ...] = ()

#: Dotted path of a key → values that it must not have.
LATER_VALUES: dict[str, tuple[object, ...]] = {
    "validating.validation_metric": ("S:MAE", "S:RMSE"),
}


def problems(config: Config) -> list[Problem]:
    """Return a problem for every key that asks for what is not part of this version."""
    found = []
    for path in LATER:
        value, default = _value(config, path), _default(path)
        if value != default:
            found.append(
                Problem(
                    path,
                    f"is {shown(value)}, which is not available in this version: the key must be "
                    f"{shown(default)} or left out",
                )
            )
    for path, values in LATER_VALUES.items():
        value = _value(config, path)
        if value in values:
            found.append(
                Problem(path, f"is {shown(value)}, which is not available in this version")
            )
    return found


def _value(config: Config, path: str) -> object:
    return reduce(getattr, path.split("."), config)


def _default(path: str) -> object:
    section, _, key = path.rpartition(".")
    return sections()[section][0].model_fields[key].default
