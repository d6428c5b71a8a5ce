r"""The descriptor se_e3_tebd: embedded angles between neighbours, one net for all types.

.. math::

   x_{jk} = \tilde{\mathbf R}_{ij} \cdot \tilde{\mathbf R}_{ik}, \quad
   D_i = \Big(\frac{1}{sel^2} \sum_{jk} x_{jk}\,G_{jk},\, t_a\Big),

with the angular part R̃ = R/σ of the environment matrix and rows G of a net of x and the embedded
types of the two neighbours (:mod:`._apply`). Types are not told apart in ``sel``. An empty slot,
and one of an excluded pair, has x = 0 and contributes nothing.

Source: DeePMD-kit documentation, "Descriptor se_e3_tebd".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ...backend import Arithmetic, Backend
from ...batching.types import Table
from ...neighbors.requirements import Requirements
from ...nn.networks import Seed, child_seed, init_network
from ...nn.networks import trainable_names as network_names
from ...rules import FLAG, Ranges, Rule
from ...tree import Tree
from .._planner import NoPlan
from .._protocol import Pullback
from .._rules import RADIAL_RULES
from .._types import type_table, with_types
from ..dpa1._base import TypedDescriptor
from ..dpa1._parameters import block_names, describe_types, init_block, remap_types
from ..dpa1._rules import TYPED_RANGES
from ._apply import angle_geometry, block

if TYPE_CHECKING:
    from ...sections import DescriptorSection

Array = Any


@dataclass(frozen=True)
class SeE3Tebd(TypedDescriptor):
    """The settings of se_e3_tebd, under the names of ``input.json``.

    The defaults are those of DeePMD-kit's class, which differ from those of ``input.json``.
    """

    name: ClassVar[str] = "se_e3_tebd"
    aliases: ClassVar[tuple[str, ...]] = ()
    ranges: ClassVar[Ranges] = {**TYPED_RANGES, "smooth": FLAG}
    rules: ClassVar[tuple[Rule, ...]] = RADIAL_RULES

    neuron: tuple[int, ...] = (2, 4, 8)
    set_davg_zero: bool = True
    smooth: bool = True

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] + self.tebd_dim * self.concat_output_tebd

    @property
    def fades(self) -> bool:
        """True if the factor of the types fades out at the cut-off."""
        return self.strips and self.smooth

    @classmethod
    def section(cls) -> type[DescriptorSection]:
        """Return the class of its section of ``input.json``."""
        from ._section import SeE3TebdSection  # pydantic takes a while to import

        return SeE3TebdSection

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        yield cls(
            *(3.6, 1.5, (30, 40)),
            neuron=(7, 7),
            tebd_dim=3,
            resnet_dt=True,
            exclude_types=((0, 1),),
            env_protection=0.1,
            activation_function="gelu",
            use_econf_tebd=True,
            use_tebd_bias=True,
            type_map=("O", "H"),
        )
        yield cls(
            *(3.6, 1.5, (70,), 2, (3, 4)),
            tebd_dim=2,
            tebd_input_mode="strip",
            set_davg_zero=False,
            concat_output_tebd=False,
        )

    def requires(self) -> Requirements:
        """Return the required neighbours."""
        return Requirements(self.rcut, (self.nnei,) * self.ntypes, total=self.nnei)

    def init(self, seed: Seed) -> Tree:
        """Return random networks, and neutral statistics (μ = 0, σ = 1).

        The seeds of the parts are those of DeePMD-kit's NumPy core.
        """
        return {
            **init_block(self, child_seed(seed, 0)),
            "type_embedding": init_network(self.type_network, child_seed(seed, 1)),
        }

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        yield from block_names(self)
        yield from (f"type_embedding.{name}" for name in network_names(self.type_network))

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> NoPlan:
        """Return a planner without plans: the net is evaluated at every pair of neighbours."""
        return NoPlan()

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Table],
        plan: Tree | None = None,
    ) -> Tree:
        """Return R̃ and the products x, and of the switch (``_apply.py``)."""
        return angle_geometry(xp, self, params, atype, counts, tables)

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return D (N, dim_out), and the pullback to pair vectors."""
        xp = arithmetic.xp
        table = type_table(xp, self, params)
        found = block(arithmetic, self, params, geometry, table)
        return with_types(xp, self, table, counts, geometry["kind"], found)

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
        """Return the networks of another model, with what it knows of the shared types."""
        return remap_types(self, params, other, known, shared)

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        yield "descriptor", f"{self.name}, {self.dim_out} numbers for each atom, {self.precision}"
        yield "cut-off", f"{self.rcut:g} Å, smooth from {self.rcut_smth:g} Å"
        yield "sel", f"{self.nnei}  (the most neighbours that count, of all types)"
        widths, step = "-".join(map(str, self.neuron)), ", resnet_dt" * self.resnet_dt
        yield "embedding net", f"{widths} for all types, {self.activation_function}{step}"
        yield from describe_types(self, "both neighbours", smooth=self.fades)
