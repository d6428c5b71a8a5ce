"""The parameters in a ``descriptor`` section of se_atten or se_atten_v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import FileFormatError, UnsupportedError
from ...files import check_version, items, mapping, parameter, required
from ...nn.serial import layer_params
from ...precision import numpy_dtype
from ...tree import Tree, numbered
from .._types_serial import types_params
from ._typed_serial import nets_params, statistics_params

if TYPE_CHECKING:
    from ._descriptor import SeAtten


def parameters(config: SeAtten, node: dict[str, Any]) -> Tree:
    """Return the parameters of a ``descriptor`` section.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings.
    UnsupportedError
        If the type embedding is not a single linear layer, or statistics differ between slots.
    """
    where = "descriptor"
    params: Tree = {
        **nets_params(config, node, where),
        "type_embedding": types_params(
            config, required(node, "type_embedding", where), f"{where}.type_embedding"
        ),
        **statistics_params(config, node, where),
    }
    if config.attn_layer:
        params["attention"] = _attention(config, required(node, "attention_layers", where))
    return params


def _attention(config: SeAtten, value: Any) -> Tree:
    where = "descriptor.attention_layers"
    node = mapping(value, where)
    check_version(node, range(1, 2), where)
    layers = items(required(node, "attention_layers", where), where)
    if len(layers) != config.attn_layer:
        raise FileFormatError(
            f"{where} holds {len(layers)} layers, but attn_layer is {config.attn_layer}; restore "
            "the file from a copy"
        )
    return numbered([_layer(config, one, f"{where}.{k}") for k, one in enumerate(layers)])


def _layer(config: SeAtten, value: Any, where: str) -> Tree:
    node = mapping(value, where)
    inner = mapping(required(node, "attention_layer", where), f"{where}.attention_layer")
    if inner.get("num_heads", 1) != 1 or inner.get("do_mask"):
        raise UnsupportedError(
            "the model's attention has several heads or a mask; multifit reads models without"
        )
    if inner.get("smooth", config.is_smooth) != config.is_smooth:
        raise FileFormatError(
            f"{where}.attention_layer.smooth is {inner['smooth']!r}, but smooth_type_embedding is "
            f"{config.is_smooth}; restore the file from a copy"
        )
    into, out = config.projections
    norm = mapping(required(node, "attn_layer_norm", where), f"{where}.attn_layer_norm")
    check_version(norm, range(1, 2), f"{where}.attn_layer_norm")
    shape, dtype = (config.neuron[-1],), numpy_dtype(config.precision)
    return {
        "in_proj": layer_params(required(inner, "in_proj", where), into, f"{where}.in_proj"),
        "out_proj": layer_params(required(inner, "out_proj", where), out, f"{where}.out_proj"),
        "norm": {
            name: parameter(norm, name, shape, f"{where}.attn_layer_norm", dtype)
            for name in ("w", "b")
        },
    }
