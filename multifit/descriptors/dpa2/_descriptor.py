r"""The descriptor dpa2 (DPA-2): messages between atoms and pairs.

.. math::

   x_i = D_i^{(1)} W\,[+\, t_a W'], \qquad g_i = \text{layers}(\phi(x))_i, \qquad
   D_i = (g_i\,[, t_a]),

where D⁽¹⁾ is the descriptor of a first block, ``repinit``: se_atten without attention, and on
request se_e3_tebd beside it. The second block, ``repformer``, passes messages among the features of
atoms and of their pairs, within a shorter cutoff (:mod:`._forward`). Each has its own number of
neighbours and tables of its own; types are not told apart in these numbers.

Source: Zhang et al., npj Comput. Mater. 10, 293 (2024) (DPA-2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ... import precision as prec
from ...backend import Arithmetic, Backend
from ...neighbors.requirements import Requirements, together
from ...nn.networks import Layer, Network, Seed
from ...rules import require
from ...support import ALL
from ...tree import Tree
from .._protocol import Planner, Pullback
from .._statistics import part_sums
from .._types import type_layer
from ..dpa1 import SeAtten
from ..dpa1._base import TypedDescriptor
from ..se_e3_tebd import SeE3Tebd
from . import _parameters as own
from ._apply import apply
from ._describe import describe
from ._examples import EXAMPLES
from ._geometry import geometry
from ._planner import Dpa2Planner
from ._rules import RANGES, RULES, TYPE_RULES
from ._settings import Repformer, Repinit

if TYPE_CHECKING:
    from ...neighbors.frame import Frame
    from ...sections import AnyDescriptorSection

Array = Any

#: Neighbours of an atom in messages and angles that the size of a piece is chosen for.
TYPICAL = 40


@dataclass(frozen=True)
class Dpa2:
    """The settings of dpa2, under the names of ``input.json``.

    The defaults are those of DeePMD-kit's class, which are those of ``input.json``, too.

    Attributes
    ----------
    repinit, repformer
        Of the two blocks; a mapping of the options will do.
    ntypes
        Number of atom types.
    type_map
        Names of the elements, of which only ``use_econf_tebd`` makes use.
    """

    name: ClassVar[str] = "dpa2"
    aliases: ClassVar[tuple[str, ...]] = ()
    backends: ClassVar[frozenset[str]] = ALL

    ntypes: int
    repinit: Repinit
    repformer: Repformer
    concat_output_tebd: bool = True
    precision: str = prec.GLOBAL
    smooth: bool = True
    exclude_types: tuple[tuple[int, int], ...] = ()
    env_protection: float = 0.0
    trainable: bool = True
    add_tebd_to_repinit_out: bool = False
    use_econf_tebd: bool = False
    use_tebd_bias: bool = False
    type_map: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse options out of range, and those that do not go together."""
        names = tuple(self.type_map) if self.use_econf_tebd else ()
        given = {
            "repinit": Repinit.of(self.repinit),
            "repformer": Repformer.of(self.repformer),
            "type_map": names,
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        require(self, RANGES, (*RULES, *TYPE_RULES))
        prec.canonical(self.precision)

    @property
    def tebd_dim(self) -> int:
        """Length of the vector of a type."""
        return self.repinit.tebd_dim

    @property
    def neuron(self) -> tuple[int, ...]:
        """Widths of the embedding networks."""
        return self.repinit.neuron

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.repformer.g1_dim + self.tebd_dim * self.concat_output_tebd

    @cached_property
    def blocks(self) -> dict[str, Any]:
        """The settings of the blocks, in the order of their tables."""
        common: dict[str, Any] = {
            "ntypes": self.ntypes,
            "trainable": self.trainable,
            "exclude_types": self.exclude_types,
            "env_protection": self.env_protection,
            "precision": self.precision,
            "concat_output_tebd": False,
            "use_econf_tebd": self.use_econf_tebd,
            "use_tebd_bias": self.use_tebd_bias,
            "type_map": self.type_map,
        }
        a, b = self.repinit, self.repformer
        typed = common | {
            "tebd_dim": a.tebd_dim,
            "tebd_input_mode": a.tebd_input_mode,
            "resnet_dt": a.resnet_dt,
            "set_davg_zero": a.set_davg_zero,
            "activation_function": a.activation_function,
        }
        found: dict[str, Any] = {
            "repinit": SeAtten(
                *(a.rcut, a.rcut_smth, (a.nsel,)),
                **typed,
                neuron=a.neuron,
                axis_neuron=a.axis_neuron,
                type_one_side=a.type_one_side,
                attn_layer=0,
                smooth_type_embedding=self.smooth,
            ),
            "repformer": TypedDescriptor(
                *(b.rcut, b.rcut_smth, (b.nsel,)), **common, set_davg_zero=b.set_davg_zero
            ),
        }
        if a.use_three_body:
            found["three_body"] = SeE3Tebd(
                *(a.three_body_rcut, a.three_body_rcut_smth, (a.three_body_sel,)),
                **typed,
                neuron=a.three_body_neuron,
                smooth=self.smooth,
            )
        return found

    @property
    def first_parts(self) -> list[str]:
        """The names of the blocks without messages, whose outputs are joined."""
        return [name for name in self.blocks if name != "repformer"]

    @cached_property
    def type_network(self) -> Network:
        """The settings of the type embedding: a single layer."""
        return Network((type_layer(self),))

    @property
    def embedding(self) -> Layer:
        """The settings of the layer that makes features of pairs."""
        return self._layer(1, self.repformer.g2_dim, bias=True)

    @property
    def transforms(self) -> bool:
        """True if the first block has another width than the features of atoms."""
        return "g1_shape_tranform" in self.transformations

    @cached_property
    def transformations(self) -> dict[str, Layer]:
        """The settings of the linear maps between the blocks."""
        found, width = {}, self.repformer.g1_dim
        first = sum(self.blocks[name].dim_out for name in self.first_parts)
        if first != width:
            found["g1_shape_tranform"] = self._layer(first, width)
        if self.add_tebd_to_repinit_out:
            found["tebd_transform"] = self._layer(self.tebd_dim, width)
        return found

    def _layer(self, n_in: int, n_out: int, bias: bool = False) -> Layer:
        precision = prec.canonical(self.precision)
        return Layer(n_in, n_out, bias=bias, precision=precision, trainable=self.trainable)

    @classmethod
    def section(cls) -> type[AnyDescriptorSection]:
        """Return the class of its section of ``input.json``."""
        from ._section import Dpa2Section  # pydantic takes a while to import

        return Dpa2Section

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        yield from (cls(**options) for options in EXAMPLES)

    def requires(self) -> Requirements:
        """Return the required neighbours, with those of each block."""
        parts = []
        for name, block in self.blocks.items():
            needs = block.requires() if name != "repformer" else self._messages(block)
            parts.append(replace(needs, block=name))
        return together(parts)

    def _messages(self, block: TypedDescriptor) -> Requirements:
        """Return the neighbours that the second block needs."""
        hops = 1 + self.repformer.nlayers * self.repformer.reads_neighbours
        each = (block.nnei,) * self.ntypes
        return Requirements(block.rcut, each, total=block.nnei, hops=hops, ordered=True)

    def init(self, seed: Seed) -> Tree:
        """Return random parameters, and neutral statistics (μ = 0, σ = 1)."""
        return own.init(self, seed)

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        return own.trainable_names(self)

    def sums(self, frames: Sequence[Frame]) -> Any:
        """Return the sums of R's radial and angular parts of each block."""
        return part_sums(self.blocks.values(), self.requires(), frames)

    def statistics(self, sums: Any, protect: float) -> dict[str, np.ndarray]:
        """Return ``davg`` and ``dstd`` of each block, (ntypes, 4), under their dotted names."""
        found = {}
        for (name, block), mine in zip(self.blocks.items(), sums, strict=True):
            for key, value in block.statistics(mine, protect).items():
                found[f"{name}.{key}"] = value
        return found

    def statistics_settings(self) -> dict[str, Any]:
        """Return the settings that statistics depend on."""
        return {name: block.statistics_settings() for name, block in self.blocks.items()}

    def nonzero_mean(self, params: Tree) -> int | None:
        """Return the first type with a mean ≠ 0 where the settings require 0, or None."""
        found = (block.nonzero_mean(params[name]) for name, block in self.blocks.items())
        return next((a for a in found if a is not None), None)

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> Planner:
        """Return the planner of the series of the first block, and of predictions in pieces."""
        first = self.blocks["repinit"]
        inner = first.planner(backend, embedding, enabled=enabled, train=train)
        return Dpa2Planner(inner, backend, None if train or not enabled else self._widest())

    def _widest(self) -> tuple[int, int]:
        """Return the numbers of an atom in the widest array of the layers and of the first block.

        They are those of a typical number of neighbours, which may be fewer than the slots.
        """
        a, b = self.repinit, self.repformer
        near = min(b.nsel, TYPICAL)
        pairs = near * b.attn2_nhead if b.update_g2_has_attn or b.update_h2 else 0
        angles = min(a.three_body_sel, TYPICAL) ** 2 * a.three_body_neuron[-1]
        return near * max(b.g1_dim, pairs), max(a.nsel * a.neuron[-1], angles * a.use_three_body)

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Any],
        plan: Tree | None = None,
    ) -> Tree:
        """Return the geometry of each block (``_geometry.py``)."""
        return geometry(xp, self, params, atype, counts, tables, plan)

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return D (N, dim_out), and the pullback to pair vectors (``_apply.py``)."""
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
        """Return the parameters of another model, with what it knows of the shared types."""
        return own.remap_types(self, params, other, known, shared)

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        return describe(self)
