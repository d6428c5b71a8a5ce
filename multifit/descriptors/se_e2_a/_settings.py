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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ... import precision as prec
from ...nn.networks import Network, Seed, child_seed, embedding_network, init_network
from ...nn.networks import trainable_names as network_names
from ...tree import Tree, numbered
from .._environment import Environment


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

    @cached_property
    def double_network(self) -> Network:
        """The same in float64, for the few points at which a series is made."""
        return embedding_network(
            self.neuron,
            activation_function=self.activation_function,
            resnet_dt=self.resnet_dt,
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
