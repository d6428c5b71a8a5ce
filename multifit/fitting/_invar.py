r"""The fitting of rotationally invariant atomic quantities.

.. math::

   y_i = F_{t(i)}(D_i, X_i) - [F_{t(i)}(0, X_i)] + b_{t(i)}, \qquad
   X_i = \big((Q-\mu_Q)/\sigma_Q,\; (P_i-\mu_P)/\sigma_P,\; c\big),

with Q the frame's and P the atom's parameters (``fparam``, ``aparam``) and c that of the model
(``case_embd``). The term in brackets is there where ``atom_ener`` gives b, so that an atom without
neighbours has y = b. y = 0 for excluded types. Source: the DeePMD-kit documentation, "Fit energy".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from .. import precision as prec
from ..errors import ConfigError
from ..nn.networks import Network, Seed, apply_network, child_seed, fitting_network, init_network
from ..nn.networks import trainable_names as network_names
from ..tree import Tree, numbered
from ._ranges import require_ranges
from ._rules import broken
from ._shared import Owners, has_own, in_full, layer_owners, network_params, without_repetitions

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
    trainable: tuple[bool, ...] | None = None  #: hidden layers and output; None for all
    activation_function: str = "tanh"
    precision: str = prec.GLOBAL
    mixed_types: bool = False
    exclude_types: tuple[int, ...] = ()
    dim_case_embd: int = 0
    atom_ener: tuple[float | None, ...] | None = None
    layer_name: tuple[str | None, ...] | None = None
    use_aparam_as_mask: bool = False
    tot_ener_zero: bool = False

    def __post_init__(self) -> None:
        """Refuse settings out of range, and those that contradict each other."""
        require_ranges(self)
        found = broken(self)
        if found is not None:
            raise ConfigError(" ".join(found))
        _check_types(self)
        _ = self.owners

    @property
    def dim_in(self) -> int:
        """Width of a net's input."""
        return self.dim_descrpt + sum(self.parameters.values()) + self.dim_case_embd

    @property
    def parameters(self) -> dict[str, int]:
        """How many numbers of ``fparam`` and ``aparam`` enter the nets, without those of none."""
        aparam = 0 if self.use_aparam_as_mask else self.numb_aparam
        sizes = {"fparam": self.numb_fparam, "aparam": aparam}
        return {kind: n for kind, n in sizes.items() if n}

    def leaves_out_vacuum(self, centre: int) -> bool:
        """Whether the output for D = 0 is subtracted for atoms of this type.

        With one net for all types it is for all, as in DeePMD-kit.
        """
        if self.atom_ener is None:
            return False
        return self.mixed_types or self.atom_ener[centre] is not None

    @property
    def n_networks(self) -> int:
        """One net for each type, or a single one that all share."""
        return 1 if self.mixed_types else self.ntypes

    def network_index(self, centre: int) -> int:
        """Return which net is that of atoms of this type."""
        return 0 if self.mixed_types else centre

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
            trainable=self.trainable or (),
        )

    @cached_property
    def owners(self) -> Owners:
        """Which layer of the first net has each layer's parameters; None for its own."""
        return layer_owners(self.network, self.layer_name)


def _check_types(config: Fitting) -> None:
    """Raise ConfigError if what is given for each type does not go with the other settings."""
    if config.tot_ener_zero and config.exclude_types:
        raise ConfigError(
            f"exclude_types is {list(config.exclude_types)}, but must be empty with tot_ener_zero: "
            "an energy is either 0 or less the mean; leave one of them out"
        )
    given = config.atom_ener
    if given is None:
        return
    if len(given) != config.ntypes:
        raise ConfigError(
            f"atom_ener has {len(given)} entries, but there are {config.ntypes} types; give a "
            "number or None for each"
        )
    for a in config.exclude_types:
        if given[a] is not None:
            raise ConfigError(
                f"atom_ener gives type {a} the energy {given[a]}, but exclude_types sets it to 0; "
                "leave one of them out"
            )


def energies(given: Sequence[float | None] | None) -> tuple[float | None, ...] | None:
    """Return ``atom_ener`` as settings have it: None if there is no energy in it."""
    # What is no number is left for the settings to refuse.
    numbers = () if given is None else given
    values = tuple(float(x) if isinstance(x, Real) else x for x in numbers)
    return values if any(x is not None for x in values) else None


def init(config: Fitting, seed: Seed) -> Tree:
    """Return random nets, the bias of ``atom_ener``, and statistics that change nothing."""
    nets = [init_network(config.network, child_seed(seed, k)) for k in range(config.n_networks)]
    bias = [0.0 if x is None else x for x in config.atom_ener or (None,) * config.ntypes]
    params: Tree = {
        "nets": without_repetitions(numbered(nets), config.owners),
        "bias_atom_e": np.repeat(np.array(bias)[:, None], config.dim_out, axis=1),
    }
    for kind, n in config.parameters.items():
        params[f"{kind}_avg"] = np.zeros(n)
        params[f"{kind}_inv_std"] = np.ones(n)
    if config.dim_case_embd:
        params["case_embd"] = np.zeros(config.dim_case_embd)
    return params


def trainable_names(config: Fitting) -> Iterator[str]:
    """Yield the dotted names of the parameters that training may change."""
    for k in range(config.n_networks):
        for name in network_names(config.network):
            _, layer, _ = name.split(".")
            if has_own(config.owners, k, int(layer)):
                yield f"nets.{k}.{name}"


def take_nets(
    mine: Fitting, nets: Tree, theirs: Fitting, old: Tree, types: Sequence[tuple[int, int]]
) -> Tree:
    """Return the nets in which those of some types, and all that is shared, are from another model.

    Parameters
    ----------
    nets, old
        ``params["nets"]`` of the two models, whose layers are alike.
    types
        Pairs of a type here and the same one there.
    """
    if mine.mixed_types:
        return old
    full = in_full(nets, mine.owners, mine.n_networks)
    known = in_full(old, theirs.owners, theirs.n_networks)
    for new, there in types:
        full[str(new)] = known[str(there)]
    for k, owner in enumerate(mine.owners):
        if owner is not None:  # the first net's stands for all
            full["0"]["layers"][str(k)] = known["0"]["layers"][str(k)]
    return without_repetitions(full, mine.owners)


def _inputs(
    xp: Any, config: Fitting, params: Tree, d: Array, fparam: Array | None, aparam: Array | None
) -> Array:
    """Return the nets' input (n, dim_in): descriptor, normalized parameters, case."""
    parts = [prec.cast(xp, d, config.precision)]
    given = {"fparam": fparam, "aparam": aparam}
    for kind, n in config.parameters.items():
        value = given[kind]
        if value is None:
            raise ValueError(f"the fitting net has numb_{kind} = {n}, but no {kind} was given")
        scaled = (value - params[f"{kind}_avg"]) * params[f"{kind}_inv_std"]
        parts.append(prec.cast(xp, scaled, config.precision))
    if config.dim_case_embd:
        case = prec.cast(xp, params["case_embd"], config.precision)
        parts.append(xp.broadcast_to(case[None, :], (d.shape[0], config.dim_case_embd)))
    return xp.concat(parts, axis=-1) if len(parts) > 1 else parts[0]


def _in_vacuum(xp: Any, config: Fitting, x: Array) -> Array:
    """Return the inputs of atoms without neighbours, D = 0: one row if it is the same for all."""
    nd = config.dim_descrpt
    if config.dim_in == nd:
        return xp.zeros((1, nd), dtype=x.dtype)
    rest = x[:, nd:] if config.parameters else x[:1, nd:]
    return xp.concat([xp.zeros((rest.shape[0], nd), dtype=x.dtype), rest], axis=-1)


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
        Parameters of each atom, (n, numb_aparam); not used where they only tell real atoms.

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
    net = network_params(params["nets"], config.owners, config.network_index(centre))
    y, net_pullback = apply_network(xp, config.network, net, x)
    y = prec.cast(xp, y, prec.GLOBAL)
    if config.leaves_out_vacuum(centre):
        alone, _ = apply_network(xp, config.network, net, _in_vacuum(xp, config, x))
        y = y - prec.cast(xp, alone, prec.GLOBAL)

    def pullback(y_bar: Array) -> Array:
        x_bar = net_pullback(xp.astype(y_bar, x.dtype, copy=False))
        return xp.astype(x_bar[:, : config.dim_descrpt], d.dtype, copy=False)

    return y + params["bias_atom_e"][centre, :], pullback
