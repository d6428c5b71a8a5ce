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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ...backend import Arithmetic
from ...batching.types import MIXED
from ...files import required
from ...neighbors.requirements import Requirements
from ...nn.stacking import rules_of
from ...rules import WIDTH, Ranges, Rule
from ...tree import Tree
from .. import _radial_serial as serial
from .._protocol import Pullback
from .._radial import RadialDescriptor
from .._rules import AXIS_RULES, RADIAL_RANGES
from ._apply import apply
from ._geometry import geometry
from ._mixed_geometry import mixed_geometry

if TYPE_CHECKING:
    from ...sections import RadialSection

Array = Any

#: Version of the file format.
VERSION = 2

#: Neighbours of more types than this are in one table, as tables for each would be mostly empty.
MANY = 8

#: The most nets that have series then.
MOST_NETS = 2000


@dataclass(frozen=True)
class SeE2A(RadialDescriptor):
    """The settings of se_e2_a, under the names of ``input.json``."""

    name: ClassVar[str] = "se_e2_a"
    aliases: ClassVar[tuple[str, ...]] = ("se_a",)
    ranges: ClassVar[Ranges] = {**RADIAL_RANGES, "axis_neuron": WIDTH}
    rules: ClassVar[tuple[Rule, ...]] = AXIS_RULES
    components: ClassVar[int] = 4

    axis_neuron: int = 4

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] * self.axis_neuron

    @property
    def has_mixed_series(self) -> bool:
        """True unless there are so many nets that their nodes would be more than the pairs."""
        return self.n_networks <= MOST_NETS

    def requires(self) -> Requirements:
        """Return the required neighbours: those of many types in one table."""
        needs = super().requires()
        return replace(needs, mixed_above=MANY, two_sided=not self.type_one_side)

    @classmethod
    def section(cls) -> type[RadialSection]:
        """Return the class of its section of ``input.json``."""
        from ._section import SeE2ASection  # pydantic takes a while to import

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

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Any],
        plan: Tree | None = None,
    ) -> Tree:
        """Return R̃ and, with a plan, the polynomials and their moments (``_geometry.py``)."""
        if MIXED in tables:
            return mixed_geometry(xp, self, params, atype, counts, tables[MIXED], plan)
        return geometry(xp, self, params, atype, counts, tables, plan)

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return D (N, M·axis_neuron), and the pullback (``_apply.py``)."""
        rules = rules_of(arithmetic, params["embeddings"])
        return apply(arithmetic.xp, self, params, counts, geometry, plan, rules)

    def serialize(self, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file."""
        return {
            "@class": "Descriptor",
            "type": self.name,
            "@version": VERSION,
            "axis_neuron": self.axis_neuron,
            "type_map": type_map,
            **serial.serialize(self, params),
        }

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section."""
        axis_neuron = required(node, "axis_neuron", "descriptor")
        config = cls(**serial.options(node, VERSION), axis_neuron=axis_neuron)
        return config, serial.parameters(config, node)

    def _described(self) -> str:
        """Return the additions of ``multifit show`` to the line of the embedding nets."""
        return f", axis_neuron {self.axis_neuron}"
