r"""The fitting of rotationally invariant atomic quantities.

.. math::

   y_i = F_{t(i)}\big([D_i,\; (Q-\mu_Q)/\sigma_Q,\; (P_i-\mu_P)/\sigma_P]\big) + b_{t(i)},

with Q the frame's and P the atom's parameters (``fparam``, ``aparam``), and y = 0 for excluded
types. Source: the DeePMD-kit documentation, "Fit energy".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import precision as prec
from ..networks import Network, Seed, apply_network, child_seed, fitting_network, init_network
from ..networks import trainable_names as network_names
from ..tree import Tree, numbered

Array = Any


@dataclass(frozen=True)
class Fitting:
    """The settings of a fitting net, under the names of ``input.json`` and of model files."""

    ntypes: int
    dim_descrpt: int
    dim_out: int = 1
    var_name: str = "energy"
    neuron: tuple[int, ...] = (120, 120, 120)
    resnet_dt: bool = True
    numb_fparam: int = 0
    numb_aparam: int = 0
    default_fparam: tuple[float, ...] | None = None
    rcond: float | None = None
    trainable: tuple[bool, ...] = ()
    activation_function: str = "tanh"
    precision: str = prec.GLOBAL
    mixed_types: bool = False
    exclude_types: tuple[int, ...] = ()

    @property
    def dim_in(self) -> int:
        """Width of a net's input."""
        return self.dim_descrpt + self.numb_fparam + self.numb_aparam

    @property
    def n_networks(self) -> int:
        """One net for each type, or a single one that all share."""
        return 1 if self.mixed_types else self.ntypes

    def network_name(self, centre: int) -> str:
        """Return the key of the net for atoms of this type."""
        return "0" if self.mixed_types else str(centre)

    @cached_property
    def network(self) -> Network:
        """The settings that all nets share."""
        return fitting_network(
            self.dim_in,
            self.dim_out,
            self.neuron,
            activation_function=self.activation_function,
            resnet_dt=self.resnet_dt,
            precision=prec.canonical(self.precision),
            trainable=self.trainable,
        )


def init(config: Fitting, seed: Seed) -> Tree:
    """Return random nets, a zero bias, and parameter statistics that change nothing."""
    nets = [init_network(config.network, child_seed(seed, k)) for k in range(config.n_networks)]
    params: Tree = {
        "nets": numbered(nets),
        "bias_atom_e": np.zeros((config.ntypes, config.dim_out)),
    }
    for kind, n in (("fparam", config.numb_fparam), ("aparam", config.numb_aparam)):
        if n > 0:
            params[f"{kind}_avg"] = np.zeros(n)
            params[f"{kind}_inv_std"] = np.ones(n)
    return params


def trainable_names(config: Fitting) -> Iterator[str]:
    """Yield the dotted names of the parameters that training may change."""
    for k in range(config.n_networks):
        yield from (f"nets.{k}.{name}" for name in network_names(config.network))


def _inputs(
    xp: Any, config: Fitting, params: Tree, d: Array, fparam: Array | None, aparam: Array | None
) -> Array:
    """Return the nets' input (n, dim_in): the descriptor and the normalized parameters."""
    parts = [prec.cast(xp, d, prec.canonical(config.precision))]
    for kind, value, n in (
        ("fparam", fparam, config.numb_fparam),
        ("aparam", aparam, config.numb_aparam),
    ):
        if n > 0:
            if value is None:
                raise ValueError(f"the fitting net has numb_{kind} = {n}, but no {kind} was given")
            scaled = (value - params[f"{kind}_avg"]) * params[f"{kind}_inv_std"]
            parts.append(xp.astype(scaled, parts[0].dtype, copy=False))
    return xp.concat(parts, axis=-1) if len(parts) > 1 else parts[0]


def fit(
    xp: Any,
    config: Fitting,
    params: Tree,
    centre: int,
    d: Array,
    fparam: Array | None = None,
    aparam: Array | None = None,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the outputs of the atoms of one type, and their pullback to the descriptor.

    Parameters
    ----------
    centre
        The type of the atoms.
    d
        Their descriptors, (n, dim_descrpt).
    fparam
        Parameters of each atom's frame, (n, numb_fparam).
    aparam
        Parameters of each atom, (n, numb_aparam).

    Returns
    -------
    y
        (n, dim_out), float64.
    pullback
        ȳ (n, dim_out) → D̄ (n, dim_descrpt).
    """
    if centre in config.exclude_types:
        zeros = xp.zeros((d.shape[0], config.dim_out), dtype=xp.float64)
        return zeros, lambda y_bar: xp.zeros_like(d)
    x = _inputs(xp, config, params, d, fparam, aparam)
    net = params["nets"][config.network_name(centre)]
    y, net_pullback = apply_network(xp, config.network, net, x)

    def pullback(y_bar: Array) -> Array:
        x_bar = net_pullback(xp.astype(y_bar, x.dtype, copy=False))
        return xp.astype(x_bar[:, : config.dim_descrpt], d.dtype, copy=False)

    return prec.cast(xp, y, prec.GLOBAL) + params["bias_atom_e"][centre, :], pullback
