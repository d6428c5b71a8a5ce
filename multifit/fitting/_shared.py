"""Layers with the same name share their parameters, within a net and between nets of types.

The tree of parameters has them once, in the first net; the others refer to it. With the names
``("a", "a", None)`` and two types it holds ``nets.0.layers.0``, ``nets.0.layers.2`` and
``nets.1.layers.2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..nn.groups import net_of, nets_of
from ..nn.networks import Layer, Network
from ..tree import Tree, flatten, numbered, numbered_values, tie, untie

#: For each layer the first one of its name, which may be itself; None for one without a name.
Owners = tuple[int | None, ...]


def layer_owners(count: int, names: Sequence[str | None] | None) -> Owners:
    """Return the layer of the first net with the parameters of each layer.

    Parameters
    ----------
    count
        Number of layers, hidden and output.
    names
        One for each layer, or None.
    """
    given: list[str | None] = [None] * count if names is None else list(names)
    return tuple(None if name is None else given.index(name) for name in given)


def layer_conflict(network: Network, names: Sequence[str | None] | None) -> str | None:
    """Return the sentence about layers with the same name that cannot share parameters, or None.

    It continues after the name of the option, ``layer_name``.
    """
    layers = network.layers
    for k, j in enumerate(layer_owners(len(layers), names)):
        if j is None or names is None:
            continue
        first, second = layers[j], layers[k]
        both = f"calls the layers {j} and {k} both {names[k]!r}, but"
        if _shape(first) != _shape(second):
            return (
                f"{both} they are {_shape(first)} and {_shape(second)}; only layers that are alike "
                "can share parameters"
            )
        if first.precision != second.precision:
            return (
                f"{both} they are in {first.precision} and {second.precision}; only layers that "
                "are alike can share parameters"
            )
        if first.trainable != second.trainable:
            return (
                f"{both} trainable is {first.trainable} and {second.trainable} for them; "
                "parameters that are shared are trained or not"
            )
    return None


def _shape(layer: Layer) -> str:
    step = " with a time step" if layer.timestep else ""
    return f"{layer.n_in}×{layer.n_out} {layer.activation}{step}"


def has_own(own: Owners, net: int, layer: int) -> bool:
    """Return True if the tree has the parameters of this layer of this net, not of its owner."""
    owner = own[layer]
    return owner is None or (net == 0 and owner == layer)


def network_params(xp: Any, nets: Tree, own: Owners, indices: Sequence[int]) -> Tree:
    """Return all layers of some nets, shared or not, for :func:`.networks.apply_network`.

    Parameters
    ----------
    nets
        The tree without repetitions.
    indices
        One net, or several; those then have an axis for nets, but for layers shared by all.
    """
    single = len(indices) == 1
    mine = net_of(xp, nets, indices[0]) if single else nets_of(xp, nets, indices)
    if all(owner is None for owner in own):
        return mine
    first = net_of(xp, nets, 0)["layers"]
    layers = [mine["layers"][str(k)] if j is None else first[str(j)] for k, j in enumerate(own)]
    return {"layers": numbered(layers)}


def _aliases(own: Owners, count: int) -> dict[str, str]:
    """Return the mapping from names of shared layers to those of their owners."""
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
    """Return the tree with shared arrays only once."""
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
