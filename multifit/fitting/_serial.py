"""Fitting nets in the form of DeePMD-kit's model files."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from .. import precision as prec
from ..errors import FileFormatError, UnsupportedError
from ..files import check_version, items, mapping, parameter, required
from ..nn.serial import collection_params, collection_to_dict, network_to_dict
from ..outputs import OUTPUTS
from ..tree import Tree, numbered_values
from ._settings import Fitting, output_precision, settings
from ._shared import in_full, require_equal, without_repetitions

VERSION = 4

#: ``var_name`` → the type of the fitting net in files; any other is an ``invar``.
TYPES = {row.name: row.type for row in OUTPUTS.values()}


def _nets(config: Fitting, params: Tree) -> dict[str, Any]:
    """Return the nets, each with all its layers."""
    head = {
        "out_dim": config.dim_out,
        "neuron": list(config.neuron),
        "activation_function": config.activation_function,
        "resnet_dt": config.resnet_dt,
        "precision": prec.canonical(config.precision),
        "bias_out": True,
    }
    full = in_full(params["nets"], config.owners, config.n_networks)
    nets = [
        network_to_dict(config.network, net, "FittingNetwork", head)
        for net in numbered_values(full)
    ]
    ndim = 0 if config.mixed_types else 1
    return collection_to_dict(nets, config.ntypes, ndim, "fitting_network")


def _variables(config: Fitting, params: Tree) -> dict[str, Any]:
    """Return the arrays besides the nets, None for those that the settings do not need."""
    names = ("case_embd", "fparam_avg", "fparam_inv_std", "aparam_avg", "aparam_inv_std")
    found = {"bias_atom_e": params["bias_atom_e"]} | {name: params.get(name) for name in names}
    if config.use_aparam_as_mask:  # DeePMD-kit has them, though nothing uses them
        found |= {"aparam_avg": np.zeros(1), "aparam_inv_std": np.ones(1)}
    return found


def _list(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)


def _type(config: Fitting) -> str:
    """Return the type of the fitting net in files: ``invar`` for several energies."""
    several = config.var_name == "energy" and config.dim_out > 1
    return "invar" if several else TYPES.get(config.var_name, "invar")


def serialize(config: Fitting, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
    """Return the ``fitting`` section of a model file."""
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
        "dim_case_embd": config.dim_case_embd,
        "default_fparam": _list(config.default_fparam),
        "rcond": config.rcond,
        "activation_function": config.activation_function,
        "precision": prec.canonical(config.precision),
        "mixed_types": config.mixed_types,
        "exclude_types": list(config.exclude_types),
        "nets": _nets(config, params),
        "@variables": _variables(config, params),
        "type_map": type_map,
        "tot_ener_zero": config.tot_ener_zero,
        "trainable": list(config.trainable or ()) or [True] * (len(config.neuron) + 1),
        "layer_name": _list(config.layer_name),
        "use_aparam_as_mask": config.use_aparam_as_mask,
        "spin": None,
        "type": _type(config),
        "dim_out": config.dim_out,
        "atom_ener": _list(config.atom_ener),
    } | ({"type_columns": [list(x) for x in config.type_columns]} if config.type_columns else {})


def _var_name(node: dict[str, Any]) -> str:
    """Return the ``var_name`` of a ``fitting`` section, from either of two keys."""
    kind = node["type"]
    known = {kind: name for name, kind in TYPES.items()}
    name: str = node.get("var_name", known.get(kind, "energy"))
    if name != known.get(kind, name):
        raise FileFormatError(
            f"fitting.var_name is {name!r}, but a fitting net of type {kind!r} gives "
            f"{known[kind]!r}; restore the file from a copy"
        )
    return name


def _dim_out(node: dict[str, Any]) -> Any:
    """Return the number of components of a ``fitting`` section, from one of several keys.

    It is required for densities of states.
    """
    kind = node["type"]
    if kind == "dos" and "dim_out" not in node:
        raise FileFormatError(
            "fitting.dim_out is missing, the number of points of the density of states; restore "
            "the file from a copy"
        )
    found = node.get("dim_out", 1)
    if kind == "ener" and found != 1:
        raise FileFormatError(
            f"fitting.dim_out is {found!r}, but a fitting net of type 'ener' gives 1 component; "
            "restore the file from a copy"
        )
    for k, net in enumerate(_networks(node)):
        if isinstance(net, dict) and net.get("out_dim", found) != found:
            raise FileFormatError(
                f"fitting.dim_out is {found!r}, but fitting.nets.{k} gives {net['out_dim']!r} "
                "components; restore the file from a copy"
            )
    return found


def _output_precision(node: dict[str, Any]) -> str | None:
    """Return the precision of the output layer if it is another than that of the net.

    Files have it in the layer.
    """
    for net in _networks(node):
        layers = net.get("layers") if isinstance(net, dict) else None
        last = layers[-1] if isinstance(layers, list | tuple) and layers else None
        given = last.get("precision") if isinstance(last, dict) else None
        if isinstance(given, str) and node.get("precision") is not None:
            return output_precision(node["precision"], given)
    return None


def _networks(node: dict[str, Any]) -> tuple[Any, ...]:
    nets = mapping(required(node, "nets", "fitting"), "fitting.nets")
    return items(required(nets, "networks", "fitting.nets"), "fitting.nets.networks")


def _plain(value: Any) -> Any:
    """Return a list of a file as a tuple."""
    return items(value, "") if isinstance(value, list) else value


def _read_settings(node: dict[str, Any]) -> Fitting:
    """Return the settings of a ``fitting`` section."""
    check_version(node, range(1, VERSION + 1), "fitting")
    kinds: tuple[Any, ...] = (*TYPES.values(), "invar")
    if node.get("type") not in kinds:
        raise UnsupportedError(
            f"the model's fitting net is of type {node.get('type')!r}; multifit reads "
            f"{' and '.join(map(repr, TYPES.values()))}"
        )
    if node.get("spin") is not None:
        raise UnsupportedError("the model's fitting net uses spin, which multifit does not have")
    names = ({field.name for field in fields(Fitting)} & node.keys()) - {"output_precision"}
    wanted = ("ntypes", "dim_descrpt", "neuron", *names)
    options = {name: _plain(required(node, name, "fitting")) for name in wanted}
    for name in ("neuron", "exclude_types", "default_fparam", "atom_ener", "layer_name"):
        if name == "neuron" or options.get(name) is not None:
            items(options[name], f"fitting.{name}")
    for span in items(options.get("type_columns", ()), "fitting.type_columns"):
        items(span, "fitting.type_columns")
    options |= {"var_name": _var_name(node), "dim_out": _dim_out(node)}
    options["output_precision"] = _output_precision(node)
    return settings(**{"mixed_types": True, **options})


def deserialize(node: dict[str, Any]) -> tuple[Fitting, Tree]:
    """Return the settings and parameters of a ``fitting`` section.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings, or layers that share
        their parameters differ.
    UnsupportedError
        If the net uses an option that multifit does not have.
    """
    config = _read_settings(node)
    where = "fitting.nets"
    nets = collection_params(node["nets"], config.network, config.n_networks, where)
    if config.layer_name is not None:
        require_equal(nets, config.owners, config.layer_name, where)
    params: Tree = {"nets": without_repetitions(nets, config.owners)}
    wanted: dict[str, tuple[int, ...]] = {"bias_atom_e": (config.ntypes, config.dim_out)}
    for kind, n in config.parameters.items():
        wanted |= {f"{kind}_avg": (n,), f"{kind}_inv_std": (n,)}
    if config.dim_case_embd:
        wanted["case_embd"] = (config.dim_case_embd,)
    found = {name: parameter(node, name, shape, "fitting") for name, shape in wanted.items()}
    return config, params | found
