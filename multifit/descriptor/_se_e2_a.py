r"""The descriptor se_e2_a: embedded radial functions contracted with the environment matrix.

.. math::

   \tilde R_{ij} = (R_{ij} - \mu_a)/\sigma_a, \quad
   T_i = \frac{1}{\sum sel}\sum_j \tilde R_{ij} \otimes N_{ab}(\tilde R_{ij,0}), \quad
   D_i = T_i^\top T_i[:, {:}m].

=============  ================================================
symbol         variable, shape
=============  ================================================
R̃              ``rows``, (n, 4, k)
N(R̃₀) = G      ``g``, (n, k, M)
T              ``t``, (n, 4, M)
D              the result, (n, M·axis_neuron)
μ, σ           ``davg``, ``dstd``, (ntypes, ntypes, 4)
=============  ================================================

Source: Zhang et al., NeurIPS 2018; DeePMD-kit documentation, "Descriptor se_e2_a".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import precision as prec
from ..networks import Network, Seed, apply_network, child_seed, embedding_network, init_network
from ..networks import trainable_names as network_names
from ..tree import Tree, numbered
from ._direct import direct
from ._environment import Environment, environment
from ._spectral import spectral

Array = Any


@dataclass(frozen=True)
class SeE2A:
    """The settings of se_e2_a, under the names of ``input.json``."""

    rcut: float
    rcut_smth: float
    sel: tuple[int, ...]
    neuron: tuple[int, ...] = (10, 20, 40)
    axis_neuron: int = 4
    resnet_dt: bool = False
    trainable: bool = True
    type_one_side: bool = True
    exclude_types: tuple[tuple[int, int], ...] = ()
    env_protection: float = 0.0
    set_davg_zero: bool = False
    activation_function: str = "tanh"
    precision: str = prec.GLOBAL

    @property
    def ntypes(self) -> int:
        """Number of atom types."""
        return len(self.sel)

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] * self.axis_neuron

    @property
    def nnei(self) -> int:
        """Number of neighbour slots of an atom, Σ sel."""
        return sum(self.sel)

    @property
    def environment(self) -> Environment:
        """The radial settings."""
        return Environment(self.rcut, self.rcut_smth, self.env_protection)

    @cached_property
    def network(self) -> Network:
        """The settings that all embedding nets share."""
        return embedding_network(
            self.neuron,
            activation_function=self.activation_function,
            resnet_dt=self.resnet_dt,
            precision=prec.canonical(self.precision),
            trainable=self.trainable,
        )

    @property
    def n_networks(self) -> int:
        """One embedding net for each neighbour type, or for each pair of types."""
        return self.ntypes if self.type_one_side else self.ntypes**2

    def network_index(self, centre: int, neighbour: int) -> int:
        """Position of N_ab in the collection (and in a model file)."""
        return neighbour if self.type_one_side else centre + neighbour * self.ntypes

    @cached_property
    def excluded(self) -> frozenset[tuple[int, int]]:
        """The excluded pairs of types, in both orders."""
        return frozenset(p for a, b in self.exclude_types for p in ((a, b), (b, a)))


def init(config: SeE2A, seed: Seed) -> Tree:
    """Return random embedding nets, and statistics that change nothing (μ = 0, σ = 1)."""
    n = config.ntypes
    # DeePMD-kit numbers the seeds of the nets N_ab by a·ntypes + b, their places by a + b·ntypes.
    if config.type_one_side:
        order = list(range(n))
    else:
        order = [(place % n) * n + place // n for place in range(n * n)]
    nets = [init_network(config.network, child_seed(seed, k)) for k in order]
    return {
        "embeddings": numbered(nets),
        "davg": np.zeros((n, n, 4)),
        "dstd": np.ones((n, n, 4)),
    }


def trainable_names(config: SeE2A) -> Iterator[str]:
    """Yield the dotted names of the parameters that training may change."""
    for k in range(config.n_networks):
        yield from (f"embeddings.{k}.{name}" for name in network_names(config.network))


def _block(
    xp: Any,
    config: SeE2A,
    params: Tree,
    centre: int,
    neighbour: int,
    pairs: Tree,
    basis: dict[str, Array] | None,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return Σ_j R̃ ⊗ G (n, 4, M) over one table of pairs, and T̄ → ∂/∂r (n, 3, k)."""
    davg = params["davg"][centre, neighbour, :][None, :, None]
    dstd = params["dstd"][centre, neighbour, :][None, :, None]
    net = params["embeddings"][str(config.network_index(centre, neighbour))]
    mask = pairs["mask"]
    raw, env_pullback = environment(xp, config.environment, pairs["rij"], mask)
    rows = (raw - davg) / dstd
    excluded = (centre, neighbour) in config.excluded
    if excluded:
        rows = rows * (1.0 - mask)[:, None, :]
    precision = prec.canonical(config.precision)
    if basis is None:
        t, embed_pullback = direct(xp, config.network, net, prec.cast(xp, rows, precision))
    else:
        scale = (davg[0, 0, 0], dstd[0, 0, 0])
        t, embed_pullback = spectral(xp, config.network, net, basis, scale, raw[:, 0, :], rows)

    def pullback(t_bar: Array) -> Array:
        if excluded:
            return xp.zeros_like(pairs["rij"])
        rows_bar = xp.astype(embed_pullback(t_bar), raw.dtype, copy=False)
        return env_pullback(rows_bar / dstd)

    return t, pullback


def _empty_slot(xp: Any, config: SeE2A, params: Tree, centre: int, neighbour: int) -> Array:
    """Return R̃ ⊗ G (4, M) of a slot without a neighbour."""
    davg = params["davg"][centre, neighbour, :]
    dstd = params["dstd"][centre, neighbour, :]
    net = params["embeddings"][str(config.network_index(centre, neighbour))]
    row = prec.cast(xp, -davg / dstd, prec.canonical(config.precision))
    g, _ = apply_network(xp, config.network, net, xp.reshape(row[:1], (1, 1)))
    return row[:, None] * g


def describe(
    xp: Any,
    config: SeE2A,
    params: Tree,
    centre: int,
    n: int,
    tables: Tree,
    basis: dict[str, Array] | None = None,
) -> tuple[Array, Callable[[Array], dict[str, Array]]]:
    """Return the descriptors of the atoms of one type, and their pullback.

    Parameters
    ----------
    centre
        The type of the atoms.
    n
        How many they are.
    tables
        For each neighbour type that occurs, under its number: ``rij`` (n, 3, k) in Å and ``mask``
        (n, k); k ≤ sel. Slots that a table lacks count as empty.
    basis
        From :func:`multifit.descriptor.chebyshev_basis`, as arrays of xp: the embedding nets are
        then evaluated at its nodes and interpolated; without it, at every pair.

    Returns
    -------
    D
        (n, M·axis_neuron).
    pullback
        D̄ → {neighbour type: ∂/∂r_ij (n, 3, k)}.
    """
    t: Array = None
    pullbacks = {}
    for b in range(config.ntypes):
        stored = 0
        if str(b) in tables:
            table = tables[str(b)]
            stored = table["mask"].shape[1]
            part, pullbacks[str(b)] = _block(xp, config, params, centre, b, table, basis)
            t = part if t is None else t + part
        missing = config.sel[b] - stored
        if missing > 0:
            part = float(missing) * _empty_slot(xp, config, params, centre, b)[None, :, :]
            t = part if t is None else t + part
    m, width = config.axis_neuron, config.neuron[-1]
    # Where no atom has a neighbour, t is one row that all share.
    t = xp.broadcast_to(t * (1.0 / config.nnei), (n, 4, width))
    head = t[:, :, :m]
    d = xp.reshape(xp.matmul(xp.matrix_transpose(t), head), (n, width * m))

    def pullback(d_bar: Array) -> dict[str, Array]:
        d_bar = xp.reshape(d_bar, (n, width, m))
        t_bar = xp.matmul(head, xp.matrix_transpose(d_bar))
        t_bar = xp.concat([t_bar[:, :, :m] + xp.matmul(t, d_bar), t_bar[:, :, m:]], axis=2)
        t_bar = t_bar * (1.0 / config.nnei)
        return {b: pull(t_bar) for b, pull in pullbacks.items()}

    return d, pullback
