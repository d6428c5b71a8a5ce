"""Layers of one name share their parameters, within a net and between the nets of the types.

The tree of parameters has them once, in the first net; the others refer to it. With the names
``("a", "a", None)`` and two types it holds ``nets.0.layers.0``, ``nets.0.layers.2`` and
``nets.1.layers.2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, FileFormatError
from ..nn.networks import Layer, Network
from ..tree import Tree, flatten, numbered, numbered_values, tie, untie

#: For each layer the first one of its name, which may be itself; None for one without a name.
Owners = tuple[int | None, ...]


def layer_owners(network: Network, names: Sequence[str | None] | None) -> Owners:
    """Return which layer of the first net has the parameters of each layer.

    Parameters
    ----------
    names
        One for each layer, hidden and output, or None.

    Raises
    ------
    ConfigError
        If layers of one name differ.
    """
    layers = network.layers
    if names is None:
        return (None,) * len(layers)
    found: list[int | None] = []
    for k, name in enumerate(names):
        owner = None if name is None else list(names).index(name)
        if owner is not None:
            _require_alike(str(name), owner, layers[owner], k, layers[k])
        found.append(owner)
    return tuple(found)


def _require_alike(name: str, j: int, first: Layer, k: int, second: Layer) -> None:
    """Raise ConfigError unless two layers can have the same parameters."""
    if _shape(first) != _shape(second):
        raise ConfigError(
            f"layer_name calls the layers {j} and {k} both {name!r}, but they are "
            f"{_shape(first)} and {_shape(second)}; only layers that are alike can share parameters"
        )
    if first.trainable != second.trainable:
        raise ConfigError(
            f"layer_name calls the layers {j} and {k} both {name!r}, but trainable is "
            f"{first.trainable} and {second.trainable} for them; parameters that are shared are "
            "trained or not"
        )


def _shape(layer: Layer) -> str:
    step = " with a time step" if layer.timestep else ""
    return f"{layer.n_in}×{layer.n_out} {layer.activation}{step}"


def has_own(own: Owners, net: int, layer: int) -> bool:
    """Return whether the tree has this layer of this net, and not only its owner."""
    owner = own[layer]
    return owner is None or (net == 0 and owner == layer)


def network_params(nets: Tree, own: Owners, net: int) -> Tree:
    """Return all layers of a net, shared or not, for :func:`multifit.nn.networks.apply_network`.

    Parameters
    ----------
    nets
        The tree without repetitions.
    """
    mine, first = nets.get(str(net), {}).get("layers", {}), nets["0"]["layers"]
    return {
        "layers": numbered(
            [mine[str(k)] if j is None else first[str(j)] for k, j in enumerate(own)]
        )
    }


def _aliases(own: Owners, count: int) -> dict[str, str]:
    """Return the names of layers that are shared → those of their owners."""
    return {
        f"{net}.layers.{k}": f"0.layers.{owner}"
        for net in range(count)
        for k, owner in enumerate(own)
        if owner is not None and not has_own(own, net, k)
    }


def in_full(nets: Tree, own: Owners, count: int) -> Tree:
    """Return the tree in which every net has all its layers; shared arrays are the same objects."""
    return untie(nets, _aliases(own, count))


def without_repetitions(full: Tree, own: Owners) -> Tree:
    """Return the tree that has what is shared once."""
    return tie(full, _aliases(own, len(full)))


def require_equal(full: Tree, own: Owners, names: Sequence[Any], where: str) -> None:
    """Raise FileFormatError unless layers of one name are equal in a file that has all of them."""
    for net, tree in enumerate(numbered_values(full)):
        for k, layer in enumerate(numbered_values(tree["layers"])):
            if own[k] is None:
                continue
            first = flatten(full["0"]["layers"][str(own[k])])
            for key, value in layer.items():
                if not np.array_equal(value, first[key]):
                    raise FileFormatError(
                        f"{where}.{net}.layers.{k}.{key} differs from {where}.0.layers.{own[k]}."
                        f"{key}, but both layers are called {names[k]!r} and share parameters"
                    )
