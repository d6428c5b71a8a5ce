"""The base of descriptors with embedding nets N_ab(s) of the radial part of the environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from .. import precision as prec
from ..backend import Backend
from ..neighbors.requirements import Requirements
from ..nn.activations import activation
from ..nn.groups import FEW
from ..nn.networks import Network, Seed, child_seed, embedding_network, init_network
from ..nn.networks import trainable_names as network_names
from ..rules import Ranges, Rule, require
from ..statistics import Sums
from ..support import ALL
from ..tree import Tree, numbered
from . import _statistics as stat
from ._environment import Environment
from ._planner import INNER, series_planner
from ._protocol import Planner
from ._rules import RADIAL_RANGES, RADIAL_RULES, RADIAL_TYPE_RULES

if TYPE_CHECKING:
    from ..neighbors.frame import Frame


@dataclass(frozen=True)
class RadialDescriptor:
    """Settings under the names of ``input.json``, and everything independent of the summed terms.

    A subclass adds ``name``, ``components``, its section and its block.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    backends: ClassVar[frozenset[str]] = ALL
    ranges: ClassVar[Ranges] = RADIAL_RANGES
    rules: ClassVar[tuple[Rule, ...]] = RADIAL_RULES
    components: ClassVar[int]  #: used rows of the environment: 4, or 1 for the radial part

    rcut: float
    rcut_smth: float
    sel: tuple[int, ...]
    neuron: tuple[int, ...] = (10, 20, 40)
    resnet_dt: bool = False
    trainable: bool = True
    type_one_side: bool = True
    exclude_types: tuple[tuple[int, int], ...] = ()
    env_protection: float = 0.0
    set_davg_zero: bool = False
    activation_function: str = "tanh"
    precision: str = prec.GLOBAL

    def __post_init__(self) -> None:
        """Refuse options out of range, and those that do not go together."""
        require(self, self.ranges, (*self.rules, *RADIAL_TYPE_RULES))
        activation(self.activation_function)
        prec.canonical(self.precision)

    @property
    def ntypes(self) -> int:
        """Number of atom types."""
        return len(self.sel)

    @property
    def nnei(self) -> int:
        """Number of neighbour slots of an atom, Σ sel."""
        return sum(self.sel)

    @property
    def environment(self) -> Environment:
        """The radial settings."""
        return Environment(self.rcut, self.rcut_smth, self.env_protection)

    def _network(self, precision: str) -> Network:
        return embedding_network(
            self.neuron,
            activation_function=self.activation_function,
            resnet_dt=self.resnet_dt,
            precision=precision,
            trainable=self.trainable,
        )

    @cached_property
    def network(self) -> Network:
        """The settings common to all embedding nets."""
        return self._network(prec.canonical(self.precision))

    @cached_property
    def double_network(self) -> Network:
        """The same in float64, for the few nodes of a series."""
        return self._network("float64")

    @property
    def n_networks(self) -> int:
        """One embedding net for each neighbour type, or for each pair of types."""
        return self.ntypes if self.type_one_side else self.ntypes**2

    def network_index(self, centre: int, neighbour: int) -> int:
        """Return the position of N_ab in the collection (and in a model file)."""
        return neighbour if self.type_one_side else centre + neighbour * self.ntypes

    @cached_property
    def excluded(self) -> frozenset[tuple[int, int]]:
        """The excluded pairs of types, in both orders."""
        return frozenset(p for a, b in self.exclude_types for p in ((a, b), (b, a)))

    @property
    def common_scale(self) -> bool:
        """True if the series of a net has one interval of R̃₀ for all types of centres.

        The number of series is then that of the nets. For a few types, separate intervals are
        shorter, and need fewer coefficients.
        """
        return self.type_one_side and self.ntypes > FEW

    @property
    def has_mixed_series(self) -> bool:
        """True if there are series for neighbours of many types in one table."""
        return False

    def requires(self) -> Requirements:
        """Return the required neighbours."""
        return Requirements(self.rcut, self.sel, inner=INNER * self.rcut)

    def init(self, seed: Seed) -> Tree:
        """Return random embedding nets, and neutral statistics (μ = 0, σ = 1)."""
        n = self.ntypes
        # DeePMD-kit numbers the seeds of the nets N_ab by a·ntypes + b, their places by
        # a + b·ntypes.
        order = (
            list(range(n))
            if self.type_one_side
            else [(place % n) * n + place // n for place in range(n * n)]
        )
        nets = [init_network(self.network, child_seed(seed, k)) for k in order]
        return {
            "embeddings": numbered(nets),
            "davg": np.zeros((n, n, self.components)),
            "dstd": np.ones((n, n, self.components)),
        }

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        for k in range(self.n_networks):
            yield from (f"embeddings.{k}.{name}" for name in network_names(self.network))

    def sums(self, frames: Sequence[Frame]) -> Sums:
        """Return the sums of R's radial and angular parts, (ntypes, 2)."""
        return stat.environment_sums(self, frames)

    def statistics(self, sums: Sums, protect: float) -> dict[str, np.ndarray]:
        """Return ``davg`` and ``dstd``, (ntypes, ntypes, components)."""
        davg, dstd = stat.environment_statistics(self, sums, protect)
        return {"davg": davg[:, :, : self.components], "dstd": dstd[:, :, : self.components]}

    def statistics_settings(self) -> dict[str, Any]:
        """Return the settings that statistics depend on."""
        return stat.settings_of(self)

    def nonzero_mean(self, params: Tree) -> int | None:
        """Return the first type with a mean ≠ 0 where the settings require 0, or None."""
        return stat.nonzero_mean(self, params)

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> Planner:
        """Return the planner of its Chebyshev series."""
        return series_planner(self, backend, embedding, enabled=enabled, train=train)

    def remap_types(
        self, params: Tree, other: Self, known: Tree, shared: Sequence[tuple[int, int]]
    ) -> Tree:
        """Return nets and statistics with those of another model for shared types.

        The scale of R depends on the centre alone, so a new neighbour type shares it.
        """
        nets = dict(params["embeddings"])
        found = {name: np.array(params[name]) for name in ("davg", "dstd")}
        for a_new, a_old in shared:
            for b_new, b_old in shared:
                here = str(self.network_index(a_new, b_new))
                nets[here] = known["embeddings"][str(other.network_index(a_old, b_old))]
            for name, value in found.items():
                value[a_new] = known[name][a_old, shared[0][1]]
        return {**params, "embeddings": nets, **found}

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        dim: int = self.dim_out  # type: ignore[attr-defined]
        yield "descriptor", f"{self.name}, {dim} numbers for each atom, {self.precision}"
        yield "cut-off", f"{self.rcut:g} Å, smooth from {self.rcut_smth:g} Å"
        sel = "  ".join(f"{name} {n}" for name, n in zip(type_map, self.sel, strict=True))
        yield "sel", f"{sel}  (the most neighbours that count)"
        per = "for each neighbour type" if self.type_one_side else "for each pair of types"
        widths = "-".join(map(str, self.neuron))
        nets = f"{self.n_networks} × {widths}, one {per}, {self.activation_function}"
        step = ", resnet_dt" if self.resnet_dt else ""
        yield "embedding nets", f"{nets}{step}{self._described()}"

    def _described(self) -> str:
        """Return the additions of ``multifit show`` to the line of the embedding nets."""
        return ""
