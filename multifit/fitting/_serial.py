"""Fitting nets in the form that DeePMD-kit's model files give them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import precision as prec
from .._serial_networks import (
    collection_params,
    collection_to_dict,
    network_to_dict,
)
from ..errors import FileFormatError, UnsupportedError
from ..files import check_version
from ..tree import Tree, in_order
from ._invar import Fitting

VERSION = 4

#: Options of DeePMD-kit that must be off in a model that we read: key → its values for "off".
_MUST_BE_OFF: dict[str, tuple[Any, ...]] = {
    "dim_case_embd": (0,),
    "tot_ener_zero": (False,),
    "layer_name": (None,),
    "use_aparam_as_mask": (False,),
    "spin": (None,),
    "atom_ener": (None, []),
}


def serialize(config: Fitting, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
    """Return the ``fitting`` section of a model file."""
    trainable = list(config.trainable) or [True] * (len(config.neuron) + 1)
    head = {
        "out_dim": config.dim_out,
        "neuron": list(config.neuron),
        "activation_function": config.activation_function,
        "resnet_dt": config.resnet_dt,
        "precision": prec.canonical(config.precision),
        "bias_out": True,
    }
    nets = [
        network_to_dict(config.network, net, "FittingNetwork", head)
        for net in in_order(params["nets"])
    ]
    ndim = 0 if config.mixed_types else 1
    return {
        "@class": "Fitting",
        "@version": VERSION,
        "var_name": config.var_name,
        "ntypes": config.ntypes,
        "dim_descrpt": config.dim_descrpt,
        "neuron": list(config.neuron),
        "resnet_dt": config.resnet_dt,
        "numb_fparam": config.numb_fparam,
        "numb_aparam": config.numb_aparam,
        "dim_case_embd": 0,
        "default_fparam": None if config.default_fparam is None else list(config.default_fparam),
        "rcond": config.rcond,
        "activation_function": config.activation_function,
        "precision": prec.canonical(config.precision),
        "mixed_types": config.mixed_types,
        "exclude_types": list(config.exclude_types),
        "nets": collection_to_dict(nets, config.ntypes, ndim, "fitting_network"),
        "@variables": {
            "bias_atom_e": params["bias_atom_e"],
            "case_embd": None,
            **{
                name: params.get(name)
                for name in ("fparam_avg", "fparam_inv_std", "aparam_avg", "aparam_inv_std")
            },
        },
        "type_map": type_map,
        "tot_ener_zero": False,
        "trainable": trainable,
        "layer_name": None,
        "use_aparam_as_mask": False,
        "spin": None,
        "type": "ener" if config.var_name == "energy" else "invar",
        "dim_out": config.dim_out,
        "atom_ener": None,
    }


def settings(node: dict[str, Any]) -> Fitting:
    """Return the settings that a ``fitting`` section describes."""
    check_version(node, range(1, VERSION + 1), "fitting")
    if node.get("type") not in ("ener", "invar"):
        raise UnsupportedError(
            f"the model's fitting net is of type {node.get('type')!r}; multifit reads 'ener'"
        )
    for key, off in _MUST_BE_OFF.items():
        if node.get(key, off[0]) not in off:
            raise UnsupportedError(
                f"the model's fitting net uses {key} = {node[key]!r}, "
                "which this version of multifit does not have"
            )
    trainable = node.get("trainable", True)
    flags = [trainable] * (len(node["neuron"]) + 1) if isinstance(trainable, bool) else trainable
    default_fparam = node.get("default_fparam")
    return Fitting(
        ntypes=node["ntypes"],
        dim_descrpt=node["dim_descrpt"],
        dim_out=node.get("dim_out", 1),
        var_name=node.get("var_name", "energy"),
        neuron=tuple(node["neuron"]),
        resnet_dt=node.get("resnet_dt", True),
        numb_fparam=node.get("numb_fparam", 0),
        numb_aparam=node.get("numb_aparam", 0),
        default_fparam=None if default_fparam is None else tuple(default_fparam),
        rcond=node.get("rcond"),
        trainable=tuple(bool(flag) for flag in flags),
        activation_function=node.get("activation_function", "tanh"),
        precision=prec.canonical(node.get("precision", "default")),
        mixed_types=node.get("mixed_types", True),
        exclude_types=tuple(node.get("exclude_types", [])),
    )


def deserialize(node: dict[str, Any]) -> tuple[Fitting, Tree]:
    """Return the settings and parameters that a ``fitting`` section holds.

    Raises
    ------
    FileFormatError
        If an array is missing or has another shape than its settings ask for.
    UnsupportedError
        If the net uses an option that multifit does not have.
    """
    config = settings(node)
    count = config.n_networks
    params: Tree = {"nets": collection_params(node["nets"], config.network, count, "fitting.nets")}
    variables = node["@variables"]
    wanted: dict[str, tuple[int, ...]] = {"bias_atom_e": (config.ntypes, config.dim_out)}
    for kind, n in (("fparam", config.numb_fparam), ("aparam", config.numb_aparam)):
        if n > 0:
            wanted |= {f"{kind}_avg": (n,), f"{kind}_inv_std": (n,)}
    for name, shape in wanted.items():
        value = variables.get(name)
        if value is None or np.size(value) != np.prod(shape):
            got = "nothing" if value is None else f"the shape {np.shape(value)}"
            raise FileFormatError(f"fitting.{name} must have the shape {shape}, but has {got}")
        params[name] = np.asarray(value, dtype=np.float64).reshape(shape)
    return config, params
