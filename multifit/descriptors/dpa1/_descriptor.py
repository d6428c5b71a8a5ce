r"""The descriptor se_atten (DPA-1): one embedding net for all types, and attention.

.. math::

   \tilde R_{ij} = (R_{ij} - \mu_a)/\sigma_a, \quad
   T_i = \frac{1}{sel}\sum_j \tilde R_{ij} \otimes G_j, \quad
   D_i = \big(T_i^{\mathsf T} T_i[:, {:}A],\, t_a\big),

where the rows G_j of the neighbours come from an embedding net of R̃₀ and the embedded types, and
``attn_layer`` layers of attention (:mod:`._forward`, :mod:`._attention`). Types are not told apart
in ``sel``: the nearest neighbours of all types count.

Source: Zhang et al., arXiv:2208.08236 (DPA-1); DeePMD-kit documentation, "Descriptor se_atten".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ... import precision as prec
from ...backend import Arithmetic, Backend
from ...batching.types import Table
from ...neighbors.requirements import Requirements
from ...nn.networks import Layer, Seed
from ...rules import Ranges, Rule
from ...tree import Tree
from .._planner import INNER, NoPlan
from .._protocol import Planner, Pullback
from .._types import type_table
from . import _fading as fading
from . import _parameters as own
from . import _series as series
from ._apply import apply
from ._base import TypedDescriptor
from ._examples import EXAMPLES
from ._geometry import geometry
from ._rules import RANGES, RULES

if TYPE_CHECKING:
    from ...sections import DescriptorSection

Array = Any

#: ε of the layer norm, where ``ln_eps`` is not given.
EPSILON = 1e-5


@dataclass(frozen=True)
class SeAtten(TypedDescriptor):
    """The settings of se_atten, under the names of ``input.json``.

    The defaults are those of DeePMD-kit's class, which differ from those of ``input.json``.
    """

    name: ClassVar[str] = "se_atten"
    aliases: ClassVar[tuple[str, ...]] = ("dpa1",)
    kind: ClassVar[str] = "dpa1"  #: the type in model files
    formats: ClassVar[frozenset[str]] = frozenset({"pt2", "stablehlo"})  #: of exports
    ranges: ClassVar[Ranges] = RANGES
    rules: ClassVar[tuple[Rule, ...]] = RULES

    axis_neuron: int = 8
    trainable_ln: bool = True
    ln_eps: float | None = None
    type_one_side: bool = False
    attn: int = 128
    attn_layer: int = 2
    attn_dotr: bool = True
    attn_mask: bool = False
    scaling_factor: float = 1.0
    normalize: bool = True
    temperature: float | None = None
    smooth_type_embedding: bool = True

    def _implied(self) -> dict[str, Any]:
        """Return the settings that follow from others."""
        return super()._implied() | {"ln_eps": EPSILON if self.ln_eps is None else self.ln_eps}

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] * self.axis_neuron + self.tebd_dim * self.concat_output_tebd

    @property
    def type_columns(self) -> tuple[tuple[int, int], ...]:
        """The columns of the descriptor with a vector of the atom's type."""
        start = self.neuron[-1] * self.axis_neuron
        return ((start, self.dim_out),) if self.concat_output_tebd else ()

    @property
    def is_smooth(self) -> bool:
        """True if attention and the factors of types fade out with the switch."""
        return self.smooth_type_embedding

    @property
    def is_ambiguous(self) -> bool:
        """True if empty slots have the type of the first atom of the frame, as in DeePMD-kit."""
        return not self.set_davg_zero and not (self.strips and self.is_smooth)

    @property
    def scale(self) -> float:
        """The factor of the logits, λ."""
        if self.temperature is not None:
            return self.temperature
        return float((self.attn * self.scaling_factor) ** -0.5)

    @property
    def epsilon(self) -> float:
        """The ε of the layer norm."""
        return float(self.ln_eps or 0.0)

    @property
    def directions(self) -> tuple[str, ...]:
        """The inputs of the rows of neighbours besides R̃: of ``switch`` and ``unit`` vectors."""
        by_switch = self.is_smooth and (self.strips or self.attn_layer > 0)
        by_unit = self.attn_dotr and self.attn_layer > 0
        return ("switch",) * by_switch + ("unit",) * by_unit

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the parameters that act on pairs."""
        return ("embeddings",) + ("attention",) * bool(self.attn_layer)

    @property
    def _types_width(self) -> int:
        """Numbers that tell the types of a pair."""
        return self.tebd_dim * (1 if self.type_one_side else 2)

    @cached_property
    def pairwise(self) -> series.Pairwise:
        """The settings of se_e2_a with a net for each pair of types, without attention."""
        kind = fading.OneNet if fading.is_fading(self) else series.Pairwise
        return series.pairwise(self, kind)

    @property
    def has_series(self) -> bool:
        """True if the embedding net is evaluated by series."""
        return fading.is_fading(self) or series.has_series(self)

    @cached_property
    def projections(self) -> tuple[Layer, Layer]:
        """The settings of the first and last layer of attention."""
        width, hidden = self.neuron[-1], self.attn
        same: dict[str, Any] = {
            "precision": prec.canonical(self.precision),
            "trainable": self.trainable,
        }
        return Layer(width, 3 * hidden, **same), Layer(hidden, width, **same)

    @classmethod
    def section(cls) -> type[DescriptorSection]:
        """Return the class of its section of ``input.json``."""
        from ._section import SeAttenSection  # pydantic takes a while to import

        return SeAttenSection

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        yield from (cls(**options) for options in EXAMPLES)

    def requires(self) -> Requirements:
        """Return the required neighbours."""
        each = (self.nnei,) * self.ntypes
        inner = INNER * self.rcut if self.has_series else 0.0
        return Requirements(self.rcut, each, inner=inner, total=self.nnei, first=self.is_ambiguous)

    def init(self, seed: Seed) -> Tree:
        """Return random networks, and neutral statistics (μ = 0, σ = 1)."""
        return own.init(self, seed)

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        return own.trainable_names(self)

    def pair_params(
        self, xp: Any, params: Tree, centres: Sequence[int], neighbours: Sequence[int]
    ) -> Tree:
        """Return the parameters of se_e2_a with nets for these pairs of types."""
        table = type_table(xp, self, params)
        return series.nets_of_pairs(xp, self, params, table, centres, neighbours)

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> Planner:
        """Return the planner of the series, if there are any (``_series.py``)."""
        if not self.has_series:
            return NoPlan()
        return series.planner(self, backend, embedding, enabled=enabled, train=train)

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Table],
        plan: Tree | None = None,
    ) -> Tree:
        """Return R̃, switches and unit vectors (``_geometry.py``), or moments of polynomials."""
        if plan is not None and tables and not fading.is_fading(self):
            return series.geometry(xp, self, params, atype, counts, tables, plan)
        made = geometry(xp, self, params, atype, counts, tables)
        if plan is not None and "rows" in made:
            made["fading"] = fading.moments(xp, made, tables, plan)
        return made

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return D (N, dim_out), and the pullback (``_apply.py``)."""
        return apply(arithmetic, self, params, counts, geometry, plan)

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
        return own.remap_types(self, params, other, known, shared)

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        return own.describe(self)
