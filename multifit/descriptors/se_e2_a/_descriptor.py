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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ... import precision as prec
from ...backend import Backend
from ...batching.types import Table
from ...neighbors.requirements import Requirements
from ...nn.networks import Network, Seed
from ...statistics import Sums
from ...support import ALL
from ...tree import Tree
from .. import _radial
from .. import _statistics as stat
from .._environment import Environment
from .._planner import INNER, SeriesPlanner, series_planner
from .._protocol import Features, Pullback
from . import _serial
from ._apply import apply
from ._geometry import geometry

if TYPE_CHECKING:
    from ...neighbors.frame import Frame
    from ._section import SeE2ASection

Array = Any


@dataclass(frozen=True)
class SeE2A:
    """The settings of se_e2_a, under the names of ``input.json``."""

    name: ClassVar[str] = "se_e2_a"
    aliases: ClassVar[tuple[str, ...]] = ("se_a",)
    backends: ClassVar[frozenset[str]] = ALL

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
        return _radial.environment(self)

    @cached_property
    def network(self) -> Network:
        """The settings that all embedding nets share."""
        return _radial.network(self)

    @cached_property
    def double_network(self) -> Network:
        """The same in float64, for the few points at which a series is made."""
        return _radial.network(self, double=True)

    @property
    def n_networks(self) -> int:
        """One embedding net for each neighbour type, or for each pair of types."""
        return _radial.number_of_networks(self)

    def network_index(self, centre: int, neighbour: int) -> int:
        """Return the position of N_ab in the collection (and in a model file)."""
        return _radial.network_index(self, centre, neighbour)

    @cached_property
    def excluded(self) -> frozenset[tuple[int, int]]:
        """The excluded pairs of types, in both orders."""
        return _radial.excluded(self)

    @classmethod
    def section(cls) -> type[SeE2ASection]:
        """Return the class of its section of ``input.json``."""
        from ._section import SeE2ASection  # pydantic takes a while

        return SeE2ASection

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        yield cls(3.6, 1.5, (30, 40), (3, 6), axis_neuron=2)
        yield cls(
            3.6,
            1.5,
            (30, 40),
            (3, 6),
            axis_neuron=3,
            resnet_dt=True,
            type_one_side=False,
            exclude_types=((0, 1),),
            env_protection=0.1,
            activation_function="gelu",
        )
        yield cls(3.6, 1.5, (30, 0), (4, 4), axis_neuron=2, activation_function="relu")

    def requires(self) -> Requirements:
        """Return which neighbours are needed."""
        return Requirements(self.rcut, self.sel, inner=INNER * self.rcut)

    def init(self, seed: Seed) -> Tree:
        """Return random embedding nets, and statistics that change nothing."""
        return _radial.init(self, seed, 4)

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the parameters that training may change."""
        return _radial.trainable_names(self)

    def sums(self, frames: Sequence[Frame]) -> Sums:
        """Return the sums of R's radial and angular parts, (ntypes, 2)."""
        return stat.environment_sums(self, frames)

    def statistics(self, sums: Sums, protect: float) -> dict[str, np.ndarray]:
        """Return ``davg`` and ``dstd``, (ntypes, ntypes, 4)."""
        davg, dstd = stat.environment_statistics(self, sums, protect)
        return {"davg": davg, "dstd": dstd}

    def statistics_settings(self) -> dict[str, Any]:
        """Return the settings that statistics depend on."""
        return stat.settings_of(self)

    def nonzero_mean(self, params: Tree) -> int | None:
        """Return the first type with a mean ≠ 0 where the settings ask for 0, or None."""
        return stat.nonzero_mean(self, params)

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> SeriesPlanner:
        """Return the planner of its Chebyshev series."""
        return series_planner(self, backend, embedding, enabled=enabled, train=train)

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Table],
        plan: Tree | None = None,
    ) -> Tree:
        """Return R̃ and, with a plan, the polynomials and their moments (``_geometry.py``)."""
        return geometry(xp, self, params, atype, counts, tables, plan)

    def apply(
        self,
        xp: Any,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Features, Pullback]:
        """Return D (n, M·axis_neuron) of each type of centres, and the pullback (``_apply.py``)."""
        return apply(xp, self, params, counts, geometry, plan)

    def serialize(self, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file."""
        return _serial.serialize(self, params, type_map)

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section."""
        config = cls(**_serial.options(node))
        return config, _serial.parameters(config, node)

    def remap_types(
        self, params: Tree, other: Self, known: Tree, shared: Sequence[tuple[int, int]]
    ) -> Tree:
        """Return parameters that are those of another model for the types that both know."""
        return _radial.remap_types(self, params, other, known, shared)

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        more = f", axis_neuron {self.axis_neuron}"
        return _radial.describe(self, self.name, self.dim_out, type_map, more)
