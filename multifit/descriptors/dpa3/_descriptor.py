r"""The descriptor dpa3 (DPA-3): messages between atoms, pairs and angles.

Features of nodes n_i (atoms), edges e_ij (pairs) and angles a_ijk (pairs of pairs) are updated in
``nlayers`` layers (:mod:`._forward`), from the embedded types, the distances and the cosines
(:mod:`._geometry`). The descriptor of an atom is n_i of the last layer. Types are not told apart in
``e_sel`` and ``a_sel``: the nearest neighbours of all types count.

Source: Zhang et al., arXiv:2506.01686 (DPA-3); DeePMD-kit documentation, "Descriptor DPA-3".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ... import precision as prec
from ...backend import Arithmetic, Backend
from ...batching.types import Table
from ...neighbors.requirements import Requirements
from ...nn.activations import activated, activation
from ...nn.networks import Seed
from ...rules import require
from ...statistics import Sums, no_sums
from ...support import ALL
from ...tree import Tree
from .. import _messages as messages
from .. import _statistics as stat
from .._environment import Environment
from .._pieces import InPieces, rows_in
from .._planner import NoPlan
from .._protocol import Pullback
from .._types import type_table
from . import _parameters as own
from ._examples import EXAMPLES
from ._forward import RepflowLayers
from ._geometry import PAIRS, pairs_of
from ._rules import RANGES, RULES, TYPE_RULES

if TYPE_CHECKING:
    from ...neighbors.frame import Frame
    from ...sections import AnyDescriptorSection

Array = Any

#: σ of the environment with ``skip_stat``.
SKIPPED = 0.3

#: Neighbours of an atom in angles that the size of a piece is chosen for.
TYPICAL = 36


@dataclass(frozen=True)
class Dpa3:
    """The settings of dpa3, under the names of ``input.json``, those of ``repflow`` first.

    The defaults are those of DeePMD-kit's class, which are those of ``input.json``, too.

    Attributes
    ----------
    ntypes
        Number of atom types.
    type_map
        Names of the elements, of which only ``use_econf_tebd`` makes use.
    skip_stat
        True sets ``fix_stat_std`` to 0.3, as in old inputs.
    optim_update, use_loc_mapping
        Ways of computing the same in DeePMD-kit; without effect here.
    """

    name: ClassVar[str] = "dpa3"
    aliases: ClassVar[tuple[str, ...]] = ()
    backends: ClassVar[frozenset[str]] = ALL

    ntypes: int
    n_dim: int = 128
    e_dim: int = 64
    a_dim: int = 64
    nlayers: int = 6
    e_rcut: float = 6.0
    e_rcut_smth: float = 5.0
    e_sel: int = 120
    a_rcut: float = 4.0
    a_rcut_smth: float = 3.5
    a_sel: int = 20
    a_compress_rate: int = 0
    a_compress_e_rate: int = 1
    a_compress_use_split: bool = False
    n_multi_edge_message: int = 1
    axis_neuron: int = 4
    update_angle: bool = True
    update_style: str = "res_residual"
    update_residual: float = 0.1
    update_residual_init: str = "const"
    fix_stat_std: float = 0.3
    skip_stat: bool = False
    optim_update: bool = True
    smooth_edge_update: bool = False
    edge_init_use_dist: bool = False
    use_exp_switch: bool = False
    use_dynamic_sel: bool = False
    sel_reduce_factor: float = 10.0
    sequential_update: bool = False
    concat_output_tebd: bool = False
    activation_function: str = "silu"
    precision: str = prec.GLOBAL
    exclude_types: tuple[tuple[int, int], ...] = ()
    env_protection: float = 0.0
    trainable: bool = True
    use_econf_tebd: bool = False
    use_tebd_bias: bool = False
    use_loc_mapping: bool = True
    type_map: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse options out of range, and those that do not go together."""
        if not self.use_econf_tebd:
            object.__setattr__(self, "type_map", ())
        if self.skip_stat is True:
            object.__setattr__(self, "fix_stat_std", SKIPPED)
            object.__setattr__(self, "skip_stat", False)
        require(self, RANGES, (*RULES, *TYPE_RULES))
        activation(self.activation_function)
        prec.canonical(self.precision)

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.n_dim * (1 + self.concat_output_tebd)

    @property
    def neuron(self) -> tuple[int, ...]:
        """Widths of embedding networks: there are none."""
        return ()

    @property
    def pair_width(self) -> int:
        """Numbers per pair in the widest array, that of angles."""
        angles = self.a_sel**2 * (self.e_dim + self.a_dim) // self.e_sel
        return max(self.n_dim, angles * self.update_angle)

    @property
    def tebd_dim(self) -> int:
        """Length of the embedding of a type."""
        return self.n_dim

    @property
    def sel(self) -> tuple[int, ...]:
        """Number of slots for neighbours."""
        return (self.e_sel,)

    @property
    def nnei(self) -> int:
        """Number of slots for neighbours."""
        return self.e_sel

    @property
    def set_davg_zero(self) -> bool:
        """True: the environment is not shifted."""
        return True

    @property
    def e_norm(self) -> float:
        """The number that sums over neighbours are divided by, or its root."""
        return self.e_sel / (self.sel_reduce_factor if self.use_dynamic_sel else 1.0)

    @property
    def a_norm(self) -> float:
        """The number whose root sums over angles are divided by."""
        return self.a_sel / (self.sel_reduce_factor if self.use_dynamic_sel else 1.0)

    @property
    def environment(self) -> Environment:
        """The radial settings of the statistics, which take the quintic switch always."""
        return Environment(self.e_rcut, self.e_rcut_smth, self.env_protection)

    @cached_property
    def excluded(self) -> frozenset[tuple[int, int]]:
        """The excluded pairs of types, in both orders."""
        return frozenset(p for a, b in self.exclude_types for p in ((a, b), (b, a)))

    @classmethod
    def section(cls) -> type[AnyDescriptorSection]:
        """Return the class of its section of ``input.json``."""
        from ._section import Dpa3Section  # pydantic takes a while to import

        return Dpa3Section

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        yield from (cls(**options) for options in EXAMPLES)

    def requires(self) -> Requirements:
        """Return the required neighbours."""
        return Requirements(
            self.e_rcut,
            (self.e_sel,) * self.ntypes,
            hops=self.nlayers,
            total=self.e_sel,
            ordered=True,
            shells=((self.a_rcut, self.a_sel),),
        )

    def init(self, seed: Seed) -> Tree:
        """Return random parameters, with μ = 0 and the constant σ."""
        return own.init(self, seed)

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        return own.trainable_names(self)

    def sums(self, frames: Sequence[Frame]) -> Sums:
        """Return the sums of R's radial and angular parts, (ntypes, 2), if σ is computed."""
        return no_sums(0) if self.fix_stat_std else stat.environment_sums(self, frames)

    def statistics(self, sums: Sums, protect: float) -> dict[str, np.ndarray]:
        """Return ``davg`` and ``dstd``, (ntypes, 4), from the sums unless σ is a constant."""
        if self.fix_stat_std:
            return own.constants(self)
        davg, dstd = stat.environment_statistics(self, sums, protect)
        return {"davg": davg[:, 0, :], "dstd": dstd[:, 0, :]}

    def statistics_settings(self) -> dict[str, Any]:
        """Return the settings that statistics depend on."""
        return {"fixed": self.fix_stat_std} if self.fix_stat_std else stat.settings_of(self)

    def nonzero_mean(self, params: Tree) -> int | None:
        """Return None: no setting requires a mean of 0."""
        return None

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> NoPlan:
        """Return a planner of predictions in pieces, which need less memory."""
        if train or not enabled:
            return NoPlan()
        angles = min(self.a_sel, TYPICAL) ** 2 * (self.e_dim + self.a_dim)
        pairs = min(self.e_sel, TYPICAL**2) * self.n_dim
        return InPieces(backend, max(pairs, angles * self.update_angle))

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Table],
        plan: Tree | None = None,
    ) -> Tree:
        """Return the pairs, and masks of those that take part."""
        return pairs_of(xp, self, params, atype, tables)

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return D (N, dim_out), and the pullback."""
        xp = arithmetic.xp
        types = xp.take(type_table(xp, self, params), geometry["centre"], axis=0)
        node = activated(xp, self.activation_function, types)
        known = {name: geometry[name] for name in PAIRS}
        rows = rows_in(plan, node.shape[0])
        d, pull = messages.apply(arithmetic, RepflowLayers(self), params, known, node, rows)

        def pullback(d_bar: Array) -> Array:
            return pull(xp.astype(d_bar[:, : self.n_dim], d.dtype, copy=False))["rij"]

        return (xp.concat([d, types], axis=1) if self.concat_output_tebd else d), pullback

    def serialize(self, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file."""
        from ._serial import serialize

        return serialize(self, params, type_map)

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section."""
        from ._serial import deserialize

        return deserialize(cls, node)

    def remap_types(
        self, params: Tree, other: Self, known: Tree, shared: Sequence[tuple[int, int]]
    ) -> Tree:
        """Return the layers of another model, with what it knows of the shared types."""
        return own.remap_types(self, params, other, known, shared)

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        return own.describe(self)
