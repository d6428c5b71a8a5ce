"""Models in the form of DeePMD-kit's model files.

DeePMD-kit's NumPy core opens no file whose fitting net has ``layer_name``. It is therefore off in
the file, and stored beside the model under its own name: all layers are written, so DeePMD-kit
gives the same results without sharing layers. The grid of a density of states, unknown to
DeePMD-kit, is also stored beside the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .. import descriptors, dos
from .. import fitting as fit
from ..errors import ConfigError, FileFormatError, UnsupportedError
from ..files import check_version, items, mapping, number, parameter
from ..outputs import OUTPUTS
from ..tree import Tree
from ._settings import Model, Preset

VERSION = 2

#: Key of the grid of a density of states in a model file.
GRID = "dos_grid"


def serialize(model: Model, params: Tree) -> dict[str, Any]:
    """Return the ``model`` section of a model file."""
    types = list(model.type_map)
    preset = model.preset_out_bias
    bias = np.asarray(params["out_bias"])
    return {
        "@class": "Model",
        "@version": VERSION,
        "type": "standard",
        "type_map": types,
        "atom_exclude_types": list(model.atom_exclude_types),
        "pair_exclude_types": [list(pair) for pair in model.pair_exclude_types],
        "rcond": model.fitting.rcond,
        "preset_out_bias": None if preset is None else {model.output.name: _plain(preset)},
        # DeePMD-kit's TensorFlow backend multiplies energies by out_std, the others ignore it.
        "@variables": {"out_bias": bias[None, :, :], "out_std": np.ones_like(bias)[None, :, :]},
        "descriptor": model.descriptor.serialize(params["descriptor"], types),
        "fitting": fit.serialize(model.fitting, params["fitting"], types),
    }


def _plain(preset: Preset) -> list[Any]:
    """Return a preset in the form of files."""
    return [list(x) if isinstance(x, tuple) else x for x in preset]


def to_content(model: Model, params: Tree) -> dict[str, Any]:
    """Return ``{"model": …}`` of a model file, and the data stored beside it."""
    node = serialize(model, params)
    fitting = node["fitting"]
    names = fitting["layer_name"]
    content = {"model": {**node, "fitting": {**fitting, "layer_name": None}}}
    if names is not None:
        content["layer_name"] = names
    if model.grid is not None:
        content[GRID] = dos.to_content(model.grid)
    return content


def from_content(content: Mapping[str, Any]) -> tuple[Model, Tree]:
    """Return the settings and parameters in a model file.

    Raises
    ------
    FileFormatError, UnsupportedError
        As :func:`deserialize`.
    """
    node = mapping(content["model"], "model")
    if "layer_name" in content and isinstance(node.get("fitting"), dict):
        node = {**node, "fitting": {**node["fitting"], "layer_name": content["layer_name"]}}
    model, params = deserialize(node)
    if content.get(GRID) is not None:
        model = replace(model, grid=dos.from_content(content[GRID]))
    return model, params


def _preset(node: dict[str, Any], fitting: fit.Fitting) -> Preset | None:
    where = "model.preset_out_bias"
    given = mapping(node.get("preset_out_bias") or {}, where).get(fitting.var_name)
    if given is None:
        return None
    rows = items(given, f"{where}.{fitting.var_name}")
    if fitting.dim_out == 1:  # files of DeePMD-kit have lists of one number
        rows = tuple(row[0] if isinstance(row, tuple) and len(row) == 1 else row for row in rows)
    return tuple(tuple(map(number, x)) if isinstance(x, tuple) else number(x) for x in rows)


def deserialize(node: dict[str, Any]) -> tuple[Model, Tree]:
    """Return the settings and parameters in a ``model`` section.

    ``out_std`` is ignored: an output is the sum of the nets and the bias.

    Raises
    ------
    FileFormatError
        If a part is missing or an array has the wrong shape.
    UnsupportedError
        If multifit does not have this kind of model.
    """
    if node.get("type", "standard") != "standard":
        raise UnsupportedError(
            f"the file holds a model of type {node.get('type')!r}; multifit reads 'standard'"
        )
    check_version(node, range(1, VERSION + 1), "model")
    missing = [key for key in ("type_map", "descriptor", "fitting") if key not in node]
    if missing:
        raise FileFormatError(f"the file's model lacks {', '.join(missing)}")
    descriptor, descriptor_params = descriptors.deserialize(
        mapping(node["descriptor"], "descriptor")
    )
    fitting, fitting_params = fit.deserialize(mapping(node["fitting"], "fitting"))
    if fitting.var_name not in OUTPUTS:
        raise UnsupportedError(
            f"the file's model fits {fitting.var_name!r}; multifit reads models of "
            f"{' and '.join(map(repr, OUTPUTS))}"
        )
    output = OUTPUTS[fitting.var_name]
    if not output.components and fitting.dim_out != 1:
        raise UnsupportedError(
            f"the file's model has {fitting.dim_out} {output.plural}; multifit reads models of one"
        )
    lists: dict[str, Any] = {
        key: items(node.get(key, []), f"model.{key}")
        for key in ("type_map", "atom_exclude_types", "pair_exclude_types")
    }
    preset = _preset(node, fitting)
    try:
        model = Model(descriptor=descriptor, fitting=fitting, preset_out_bias=preset, **lists)
    except ConfigError as exc:
        raise FileFormatError(f"the file's model is inconsistent: {exc}") from exc
    shape = (model.ntypes, fitting.dim_out)
    return model, {
        "descriptor": descriptor_params,
        "fitting": fitting_params,
        "out_bias": parameter(node, "out_bias", shape, "model"),
    }
