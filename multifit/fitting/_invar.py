r"""The fitting of rotationally invariant atomic quantities.

.. math::

   y_i = F_{t(i)}(D_i, X_i) - [F_{t(i)}(0, X_i)] + b_{t(i)}, \qquad
   X_i = \big((Q-\mu_Q)/\sigma_Q,\; (P_i-\mu_P)/\sigma_P,\; c\big),

with Q the frame's and P the atom's parameters (``fparam``, ``aparam``) and c that of the model
(``case_embd``). The term in brackets applies if ``atom_ener`` gives b, so that an atom without
neighbours has y = b. y = 0 for excluded types. Source: the DeePMD-kit documentation, "Fit energy".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import precision as prec
from ..backend import Rules
from ..nn.groups import groups, picked
from ..nn.networks import Seed, apply_network, child_seed, init_network
from ..nn.networks import trainable_names as network_names
from ..tree import Tree, numbered
from ._settings import Fitting
from ._shared import has_own, in_full, network_params, without_repetitions

Array = Any


def init(config: Fitting, seed: Seed) -> Tree:
    """Return random nets, the bias of ``atom_ener``, and neutral statistics."""
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
    """Yield the dotted names of the trainable parameters."""
    for k in range(config.n_networks):
        for name in network_names(config.network):
            _, layer, _ = name.split(".")
            if has_own(config.owners, k, int(layer)):
                yield f"nets.{k}.{name}"


def take_nets(
    mine: Fitting, nets: Tree, theirs: Fitting, old: Tree, types: Sequence[tuple[int, int]]
) -> Tree:
    """Return the nets with those of some types, and everything shared, from another model.

    Parameters
    ----------
    nets, old
        ``params["nets"]`` of the two models, with equal layers.
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
    precision = config.network.layers[0].precision
    parts = [prec.cast(xp, d, precision)]
    given = {"fparam": fparam, "aparam": aparam}
    for kind, n in config.parameters.items():
        value = given[kind]
        if value is None:
            raise ValueError(f"the fitting net has numb_{kind} = {n}, but no {kind} was given")
        scaled = (value - params[f"{kind}_avg"]) * params[f"{kind}_inv_std"]
        parts.append(prec.cast(xp, scaled, precision))
    if config.dim_case_embd:
        case = prec.cast(xp, params["case_embd"], precision)
        parts.append(xp.broadcast_to(case, (*d.shape[:-1], config.dim_case_embd)))
    return xp.concat(parts, axis=-1) if len(parts) > 1 else parts[0]


def _in_vacuum(xp: Any, config: Fitting, x: Array) -> Array:
    """Return the inputs of atoms without neighbours: one row if it is the same for all.

    D = 0, except for vectors of types.
    """
    nd = config.dim_descrpt
    rows = x if config.parameters else x[..., :1, :]
    parts, end = [], 0
    for start, stop in (*config.type_columns, (nd, x.shape[-1])):
        if start > end:
            parts.append(xp.zeros((*rows.shape[:-1], start - end), dtype=x.dtype))
        parts.append(rows[..., start:stop])
        end = stop
    return xp.concat(parts, axis=-1)


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
        Parameters of each atom, (n, numb_aparam); not used if they only mark real atoms.

    Returns
    -------
    y
        (n, dim_out), float64.
    pullback
        ȳ (n, dim_out) → D̄ (n, dim_descrpt).
    """
    return _of_types(xp, config, params, (centre,), d, fparam, aparam)


def fit_all(
    xp: Any,
    config: Fitting,
    params: Tree,
    counts: Mapping[int, int],
    d: Array,
    fparam: Array | None = None,
    aparam: Array | None = None,
    *,
    compiled: bool = False,
    rules: Rules | None = None,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the outputs of N atoms sorted by type, and their pullback, as :func:`fit` does.

    Parameters
    ----------
    counts
        Number of atoms of each present type, in order.
    compiled, rules
        As of :func:`multifit.nn.networks.apply_network`.
    """
    found = groups(counts, config.exclude_types)

    def rows(x: Array | None) -> list[Any]:
        return [None] * len(found.members) if x is None else found.gather(xp, x, rules)

    parts = zip(found.members, rows(d), rows(fparam), rows(aparam), strict=True)
    each = [
        _of_types(xp, config, params, group.kinds, x, fpar, apar, compiled, rules)
        for group, x, fpar, apar in parts
    ]

    def pullback(y_bar: Array) -> Array:
        bars = zip(each, found.gather(xp, y_bar, rules), strict=True)
        return found.flat(xp, [pull(bar) for (_, pull), bar in bars], rules)

    return found.flat(xp, [y for y, _ in each], rules), pullback


def _of_types(
    xp: Any,
    config: Fitting,
    params: Tree,
    kinds: tuple[int, ...],
    d: Array,
    fparam: Array | None,
    aparam: Array | None,
    compiled: bool = False,
    rules: Rules | None = None,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the outputs of one type, or of several (types, n, dim_out), and their pullback."""
    if kinds[0] in config.exclude_types:
        zeros = xp.zeros((d.shape[0], config.dim_out), dtype=xp.float64)
        return zeros, lambda y_bar: xp.zeros_like(d)
    x = _inputs(xp, config, params, d, fparam, aparam)
    indices = [0] if config.mixed_types else list(kinds)
    net = network_params(xp, params["nets"], config.owners, indices)
    y, net_pullback = apply_network(xp, config.network, net, x, compiled, rules)
    y = prec.cast(xp, y, prec.GLOBAL)
    left_out = [float(config.leaves_out_vacuum(kind)) for kind in kinds]
    if any(left_out):
        given = _in_vacuum(xp, config, x)
        alone, _ = apply_network(xp, config.network, net, given, compiled)
        alone = prec.cast(xp, alone, prec.GLOBAL)
        if not all(left_out):
            alone = alone * xp.asarray(left_out, dtype=xp.float64)[:, None, None]
        y = y - alone
    bias = picked(xp, params["bias_atom_e"], kinds)

    def pullback(y_bar: Array) -> Array:
        last = config.network.layers[-1].precision
        x_bar = net_pullback(prec.cast(xp, y_bar, last))
        return xp.astype(x_bar[..., : config.dim_descrpt], d.dtype, copy=False)

    return y + (bias if len(kinds) == 1 else bias[:, None, :]), pullback
