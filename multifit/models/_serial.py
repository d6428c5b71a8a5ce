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
from ..errors import FileFormatError, UnsupportedError
from ..files import check_version
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
    node = content["model"]
    if "layer_name" in content and isinstance(node.get("fitting"), dict):
        node = {**node, "fitting": {**node["fitting"], "layer_name": content["layer_name"]}}
    model, params = deserialize(node)
    if content.get(GRID) is not None:
        model = replace(model, grid=dos.from_content(content[GRID]))
    return model, params


def _preset(node: dict[str, Any], fitting: fit.Fitting) -> Preset | None:
    preset = (node.get("preset_out_bias") or {}).get(fitting.var_name)
    if preset is None:
        return None
    rows = [None if x is None else np.asarray(x, dtype=np.float64).reshape(-1) for x in preset]
    if fitting.dim_out == 1:
        return tuple(None if row is None else float(row[0]) for row in rows)
    return tuple(None if row is None else tuple(row.tolist()) for row in rows)


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
    descriptor, descriptor_params = descriptors.deserialize(node["descriptor"])
    fitting, fitting_params = fit.deserialize(node["fitting"])
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
    type_map = tuple(node["type_map"])
    if not descriptor.ntypes == fitting.ntypes == len(type_map):
        raise FileFormatError(
            f"the file's model is inconsistent: type_map has {len(type_map)} elements, "
            f"sel {descriptor.ntypes} and the fitting net {fitting.ntypes} types"
        )
    bias = np.asarray(node["@variables"]["out_bias"], dtype=np.float64)
    model = Model(
        type_map=type_map,
        descriptor=descriptor,
        fitting=fitting,
        atom_exclude_types=tuple(node.get("atom_exclude_types", [])),
        pair_exclude_types=tuple((int(a), int(b)) for a, b in node.get("pair_exclude_types", [])),
        preset_out_bias=_preset(node, fitting),
    )
    return model, {
        "descriptor": descriptor_params,
        "fitting": fitting_params,
        "out_bias": bias.reshape(len(type_map), fitting.dim_out),
    }
