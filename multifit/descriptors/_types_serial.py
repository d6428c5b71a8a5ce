"""The type embedding in the form of DeePMD-kit's model files."""

from __future__ import annotations

from typing import Any

from .. import precision as prec
from ..errors import UnsupportedError
from ..files import check_version, items, mapping, required
from ..nn.activations import is_same
from ..nn.networks import Network
from ..nn.serial import collection_params, network_to_dict
from ..tree import Tree
from ._types import LINEAR, EmbedsTypes, type_layer


def types_to_dict(config: EmbedsTypes, params: Tree, type_map: list[str] | None) -> dict[str, Any]:
    """Return the type embedding in the form of model files."""
    head = {
        "neuron": [config.tebd_dim],
        "activation_function": LINEAR,
        "resnet_dt": False,
        "precision": prec.canonical(config.precision),
    }
    given = {**head, "bias": config.use_tebd_bias}
    net = network_to_dict(Network((type_layer(config),)), params, "EmbeddingNetwork", given)
    net["layers"][0]["activation_function"] = LINEAR
    return {
        "@class": "TypeEmbedNet",
        "@version": 2,
        "ntypes": config.ntypes,
        **head,
        "trainable": config.trainable,
        "padding": True,
        "use_econf_tebd": config.use_econf_tebd,
        "use_tebd_bias": config.use_tebd_bias,
        "type_map": type_map,
        "embedding": net,
    }


def types_params(config: EmbedsTypes, value: Any, where: str) -> Tree:
    """Return the parameters of a type embedding.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings.
    UnsupportedError
        If it is not a single linear layer.
    """
    node = mapping(value, where)
    check_version(node, range(1, 3), where)
    neuron = items(node.get("neuron", [config.tebd_dim]), f"{where}.neuron")
    linear = is_same(str(node.get("activation_function", LINEAR)), LINEAR.lower())
    if neuron != (config.tebd_dim,) or not linear:
        raise UnsupportedError(
            "the model's type embedding is not a single linear layer as wide as the descriptor "
            "needs, as that of DeePMD-kit's TensorFlow backend may be; multifit reads models with "
            "such a layer"
        )
    nets = {"networks": [required(node, "embedding", where)]}
    network = Network((type_layer(config),))
    return collection_params(nets, network, 1, where)["0"]  # type: ignore[no-any-return]
