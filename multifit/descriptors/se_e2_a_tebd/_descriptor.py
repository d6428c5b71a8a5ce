r"""The descriptor se_e2_a with embedded types, of DeePMD-kit's TensorFlow.

.. math::

   N_{ab}(\tilde R_0) = N(\tilde R_0, t_b\,[, t_a]) \quad \text{(concat), or} \quad
   N(\tilde R_0) \odot \big(1 + N^t(t_b\,[, t_a])\big) \quad \text{(strip)}, \qquad
   D_i = (D_i^{\text{se\_e2\_a}},\, t_a),

with t_a in the first two unless ``type_one_side``, and a net of one-hot vectors for the types t.
For each pair of types this is a net of R̃₀ alone, so that everything of se_e2_a applies: series,
empty slots with the type of their group, and one table for many types.

Source: DeePMD-kit documentation, "Type embedding approach"; its TensorFlow's ``DescrptSeA``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ... import precision as prec
from ...backend import Arithmetic, Backend
from ...batching.types import MIXED
from ...errors import TrainingError
from ...nn.activations import activation
from ...nn.networks import (
    Network,
    Seed,
    apply_network,
    child_seed,
    hidden_layers,
    init_network,
)
from ...nn.networks import trainable_names as network_names
from ...rules import Ranges, Rule
from ...tree import Tree
from .. import _plain_serial as plain
from .._electrons import WIDTH, configurations
from .._planner import series_planner
from .._protocol import Planner, Pullback
from .._tables import kinds_of, widths_of
from .._types import TYPE_EMBEDDING_RULES, append_types
from ..dpa1._series import PairPlanner, pair_nets, pair_network
from ..se_e2_a import SeE2A
from ..se_e2_a._apply import apply
from ._examples import EXAMPLES
from ._rules import RULES, TYPE_RANGES

if TYPE_CHECKING:
    from ._section import SeE2ATebdSection

Array = Any


@dataclass(frozen=True)
class SeE2ATebd(SeE2A):
    """The settings of se_e2_a with embedded types; those of the type embedding are ``type_…``.

    Attributes
    ----------
    type_map
        Names of the elements, of which only ``use_econf_tebd`` makes use.
    """

    name: ClassVar[str] = "se_e2_a_tebd"
    aliases: ClassVar[tuple[str, ...]] = ()
    not_in_deepmd: ClassVar[str] = (
        "DeePMD-kit has no format for se_e2_a with a type embedding (se_atten_v2 with attn_layer 0 "
        "is alike, and has one)"
    )
    ranges: ClassVar[Ranges] = {**SeE2A.ranges, **TYPE_RANGES}
    rules: ClassVar[tuple[Rule, ...]] = (*RULES, *TYPE_EMBEDDING_RULES)

    tebd_input_mode: str = "concat"
    type_neuron: tuple[int, ...] = (8,)
    type_activation_function: str = "tanh"
    type_resnet_dt: bool = False
    type_precision: str = prec.GLOBAL
    type_trainable: bool = True
    type_seed: int | None = None
    use_econf_tebd: bool = False
    use_tebd_bias: bool = False
    type_map: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse options out of range, and those that do not go together."""
        if not self.use_econf_tebd:
            object.__setattr__(self, "type_map", ())
        super().__post_init__()
        activation(self.type_activation_function)
        prec.canonical(self.type_precision)

    @property
    def tebd_dim(self) -> int:
        """Length of the vector of a type."""
        return self.type_neuron[-1]

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return super().dim_out + self.tebd_dim

    @property
    def type_columns(self) -> tuple[tuple[int, int], ...]:
        """The columns of the descriptor with a vector of the atom's type."""
        return ((super().dim_out, self.dim_out),)

    @property
    def strips(self) -> bool:
        """True if a net of its own embeds the types, False if they are input of the one net."""
        return self.tebd_input_mode == "strip"

    @property
    def types_width(self) -> int:
        """Length of the vectors of a pair of types."""
        return self.tebd_dim * (1 if self.type_one_side else 2)

    def _net(self, n_in: int) -> Network:
        flags = [self.trainable] * len(self.neuron)
        name, precision = self.activation_function, prec.canonical(self.precision)
        return Network(hidden_layers(n_in, self.neuron, name, self.resnet_dt, precision, flags))

    def _network(self, precision: str) -> Network:
        """Return the settings of the net of a pair of types."""
        return pair_network(self.shared_network.layers, self.strips, precision)

    @cached_property
    def shared_network(self) -> Network:
        """The settings of the one net, with the types as input unless ``strip``."""
        return self._net(1 if self.strips else 1 + self.types_width)

    @cached_property
    def types_network(self) -> Network:
        """The settings of the net of the types alone, with ``strip``."""
        return self._net(self.types_width)

    @cached_property
    def type_network(self) -> Network:
        """The settings of the type embedding."""
        layers = hidden_layers(
            WIDTH if self.use_econf_tebd else self.ntypes,
            self.type_neuron,
            self.type_activation_function,
            self.type_resnet_dt,
            prec.canonical(self.type_precision),
            [self.type_trainable] * len(self.type_neuron),
        )
        return Network(tuple(replace(layer, bias=self.use_tebd_bias) for layer in layers))

    @property
    def stored(self) -> dict[str, Network]:
        """The nets by the names of their parameters."""
        nets = {"embeddings.0": self.shared_network, "type_embedding": self.type_network}
        return nets | ({"embeddings_strip.0": self.types_network} if self.strips else {})

    @classmethod
    def section(cls) -> type[SeE2ATebdSection]:
        """Return the class of its section of ``input.json``."""
        from ._section import SeE2ATebdSection  # pydantic takes a while to import

        return SeE2ATebdSection

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        yield from (cls(**options) for options in EXAMPLES)

    def init(self, seed: Seed) -> Tree:
        """Return random networks, and neutral statistics (μ = 0, σ = 1)."""
        n = self.ntypes
        types = child_seed(seed, 1) if self.type_seed is None else self.type_seed
        params: Tree = {
            "embeddings": {"0": init_network(self.shared_network, child_seed(seed, 0))},
            "type_embedding": init_network(self.type_network, types),
            "davg": np.zeros((n, n, 4)),
            "dstd": np.ones((n, n, 4)),
        }
        if self.strips:
            net = init_network(self.types_network, child_seed(seed, 2))
            params["embeddings_strip"] = {"0": net}
        return params

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        for place, network in self.stored.items():
            yield from (f"{place}.{name}" for name in network_names(network))

    def type_table(self, xp: Any, params: Tree) -> Array:
        """Return t of all types, (ntypes, T), in the precision of the nets."""
        given = configurations(self.type_map) if self.use_econf_tebd else np.eye(self.ntypes)
        x = xp.asarray(given.astype(prec.numpy_dtype(self.type_precision)))
        x = prec.cast(xp, x, self.type_precision)
        found, _ = apply_network(xp, self.type_network, params["type_embedding"], x)
        return prec.cast(xp, found, self.precision)

    def pair_params(
        self, xp: Any, params: Tree, centres: Sequence[int], neighbours: Sequence[int]
    ) -> Tree:
        """Return the parameters of se_e2_a with nets for these pairs of types."""
        return self._with_nets(xp, params, self.type_table(xp, params), centres, neighbours)

    def _with_nets(
        self,
        xp: Any,
        params: Tree,
        table: Array,
        centres: Sequence[int],
        neighbours: Sequence[int],
    ) -> Tree:
        nets = pair_nets(xp, self, self, params, table, centres, neighbours)
        return {"embeddings": nets, **{key: params[key] for key in ("davg", "dstd")}}

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> Planner:
        """Return the planner of the series of all pairs of types."""
        kind = partial(PairPlanner, whole=self)
        return series_planner(self, backend, embedding, enabled=enabled, train=train, kind=kind)

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Any],
        plan: Tree | None = None,
    ) -> Tree:
        """Return the geometry of se_e2_a, and the place of each atom's type (``kind``)."""
        made = super().geometry(xp, params, atype, counts, tables, plan)
        return made if "kind" in made else {**made, "kind": kinds_of(xp, counts, atype)}

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return D (N, M·axis_neuron + T), and the pullback."""
        xp = arithmetic.xp
        every = list(range(self.ntypes))
        here = {b for b, sel in enumerate(self.sel) if sel} | set(widths_of(geometry))
        centres, neighbours = list(counts), sorted(here)
        if MIXED in geometry:  # whose nets are numbered
            centres = neighbours = every
        table = self.type_table(xp, params)
        known = self._with_nets(xp, params, table, centres, neighbours)
        block = apply(xp, self, known, counts, geometry, plan)
        return append_types(xp, table, counts, geometry["kind"], block)

    def serialize(self, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file, which DeePMD-kit refuses to open."""
        return plain.serialize(self, params, type_map)

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section."""
        return plain.deserialize(cls, node)

    def remap_types(
        self, params: Tree, other: Self, known: Tree, shared: Sequence[tuple[int, int]]
    ) -> Tree:
        """Return the nets of another model, with its embedding and statistics of shared types.

        Raises
        ------
        TrainingError
            If the first layer of the type embedding adds its input, which tells types by place.
        """
        found = {name: np.array(params[name]) for name in ("davg", "dstd")}
        for here, there in shared:
            for name, value in found.items():
                value[here] = known[name][there, shared[0][1]]
        embedding = known["type_embedding"]
        if not self.use_econf_tebd:
            first = self.type_network.layers[0], other.type_network.layers[0]
            same = self.ntypes == other.ntypes and all(here == there for here, there in shared)
            if not same and any(layer.residual for layer in first):
                raise TrainingError(
                    f"the type embedding has {self.type_neuron[0]} numbers for {self.ntypes} or "
                    f"{other.ntypes} types, so that its first layer adds its input; it cannot be "
                    "fine-tuned with another type_map: give the type_map of the model"
                )
            w = np.array(params["type_embedding"]["layers"]["0"]["w"])
            for here, there in shared:
                w[here] = embedding["layers"]["0"]["w"][there]
            layers = {**embedding["layers"], "0": {**embedding["layers"]["0"], "w": w}}
            embedding = {**embedding, "layers": layers}
        return {**known, **found, "type_embedding": embedding}

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        for name, text in super().describe(type_map):
            if name != "embedding nets":
                yield name, text
        widths = "-".join(map(str, self.neuron))
        step = ", resnet_dt" if self.resnet_dt else ""
        yield (
            "embedding net",
            f"{widths} for all types, {self.activation_function}{step}{self._described()}",
        )
        source = "electron configurations" if self.use_econf_tebd else "types"
        ends = "the neighbour" if self.type_one_side else "both atoms"
        how = "a factor from a net of its own" if self.strips else "input of the net"
        yield (
            "type embedding",
            f"{'-'.join(map(str, self.type_neuron))} numbers from {source}, of {ends}, {how}, also "
            "appended to the descriptor",
        )
