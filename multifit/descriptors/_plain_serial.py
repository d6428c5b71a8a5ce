"""Descriptors whose model files are multifit's own: all settings, and all parameters by name."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np

from ..errors import FileFormatError
from ..files import check_version, mapping, parameter, required
from ..tree import Tree, flatten, unflatten

D = TypeVar("D")

VERSION = 1


def serialize(config: Any, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
    """Return the ``descriptor`` section of a model file."""
    head = {"@class": "Descriptor", "type": config.name, "@version": VERSION, "type_map": type_map}
    flat = {name.replace(".", "/"): np.asarray(x) for name, x in flatten(params).items()}
    return {**dataclasses.asdict(config), **head, "@variables": flat}


def deserialize(cls: type[D], node: dict[str, Any]) -> tuple[D, Tree]:
    """Return settings and parameters of a ``descriptor`` section.

    Raises
    ------
    FileFormatError
        If a parameter is missing or its shape does not match the settings, or a deviation that
        divides is not positive.
    """
    check_version(node, range(1, VERSION + 1), "descriptor")
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    given = {name: _plain(required(node, name, "descriptor")) for name in names}
    if "type_map" in given:
        given["type_map"] = given["type_map"] or ()
    config: Any = cls(**given)
    stored = mapping(node.get("@variables"), "descriptor.@variables")
    known = {"@variables": {name.replace("/", "."): x for name, x in stored.items()}}
    params = {
        name: parameter(known, name, np.shape(x), "descriptor", np.asarray(x).dtype)
        for name, x in flatten(config.init(0)).items()
    }
    if "dstd" in params and not (params["dstd"] > 0).all():
        raise FileFormatError(
            f"descriptor.dstd is {params['dstd'].min():g} for a type, but must be > 0: the "
            "environment is divided by it; restore the file from a copy"
        )
    return config, unflatten(params)


def _plain(value: Any) -> Any:
    return tuple(_plain(x) for x in value) if isinstance(value, list) else value
