r"""The embedding net as a Chebyshev series, without attention.

The row of a neighbour is then a function of R̃₀ alone for each pair of types,

.. math::

   N_{ab}(\tilde R_0) = N(\tilde R_0, t_b\,[, t_a]) \quad \text{(concat)}, \qquad
   N(\tilde R_0) \odot \big(1 + N^t(t_b\,[, t_a])\big) \quad \text{(strip, not smooth)},

as in se_e2_a, whose series therefore apply: in the first case the embedded types are a bias of the
first layer, in the second a linear layer is appended. Only pairs of types that occur are evaluated.
The rows of a smooth strip model depend on the switch as well (:mod:`._fading`). With a mean that
is not 0 empty slots count, and the net is evaluated at every pair.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import array_api_compat.numpy as np_xp
import numpy as np

from ...backend import Backend
from ...batching.types import Table
from ...neighbors.requirements import Requirements
from ...nn.groups import ALL, FEW, picked
from ...nn.networks import Layer, Network
from ...tree import Tree
from .._planner import SeriesPlanner, series_planner
from .._protocol import Plan
from .._tables import widths_of
from .._types import pair_vectors
from ..se_e2_a import SeE2A
from ..se_e2_a._apply import apply as apply_series
from ..se_e2_a._geometry import geometry as series_geometry
from ._forward import types_net

if TYPE_CHECKING:
    from ._descriptor import SeAtten

Array = Any

#: Types up to which there are series: each has a table and moments of its own.
FEW_TYPES = 12


def has_series(config: SeAtten) -> bool:
    """Return True if the rows are functions of R̃₀ for each pair of types, and empty slots 0."""
    if config.attn_layer or not config.set_davg_zero:
        return False
    # A first layer that adds its input has the types in its output, too.
    return not config.is_smooth if config.strips else not config.network.layers[0].residual


@dataclass(frozen=True)
class Pairwise(SeE2A):
    """The settings of se_e2_a whose nets N_ab are those of a se_atten without attention."""

    slots: int = 0
    hidden: tuple[Layer, ...] = ()  #: the layers of the net of se_atten
    strips: bool = False

    @property
    def nnei(self) -> int:
        """Number of neighbour slots of an atom."""
        return self.slots

    @property
    def has_mixed_series(self) -> bool:
        """False: no series are made of many types."""
        return False

    def requires(self) -> Requirements:
        """Return the required neighbours; of many types no series are made."""
        return replace(super().requires(), mixed_above=FEW_TYPES)

    def _network(self, precision: str) -> Network:
        return pair_network(self.hidden, self.strips, precision)


def pair_network(layers: Sequence[Layer], strips: bool, precision: str) -> Network:
    """Return the settings of N_ab, a net of R̃₀ alone, from the layers of the one net.

    The embedded types are a bias of the first layer or, with strip, a linear layer at the end.
    """
    first, *others = (replace(layer, precision=precision) for layer in layers)
    if strips:
        width = layers[-1].n_out
        last = Layer(width, width, bias=False, precision=precision)
        return Network((first, *others, last))
    return Network((replace(first, n_in=1, resnet=False), *others))


def pairwise(config: SeAtten, kind: type[Pairwise]) -> Pairwise:
    """Return the settings with a net for each pair of types."""
    return kind(
        config.rcut,
        config.rcut_smth,
        (config.nnei,) * config.ntypes,
        neuron=config.neuron,
        type_one_side=config.type_one_side,
        exclude_types=config.exclude_types,
        env_protection=config.env_protection,
        set_davg_zero=True,
        activation_function=config.activation_function,
        precision=config.precision,
        axis_neuron=config.axis_neuron,
        slots=config.nnei,
        hidden=config.network.layers,
        strips=config.strips,
    )


def statistics(xp: Any, params: Tree) -> Tree:
    """Return ``davg`` and ``dstd`` for pairs of types, (ntypes, ntypes, 4)."""
    n = params["davg"].shape[0]
    return {name: xp.broadcast_to(params[name][:, None, :], (n, n, 4)) for name in ("davg", "dstd")}


def nets_of_pairs(
    xp: Any,
    config: SeAtten,
    params: Tree,
    table: Array,
    centres: Sequence[int],
    neighbours: Sequence[int],
) -> Tree:
    """Return the parameters of se_e2_a with nets for these pairs of types.

    Parameters
    ----------
    table
        From :func:`._types.type_table`.
    """
    nets = pair_nets(xp, config, config.pairwise, params, table, centres, neighbours)
    return {"embeddings": nets, **statistics(xp, params)}


class EmbedsPairs(Protocol):
    """Settings of a descriptor with one net for all pairs of types."""

    @property
    def type_one_side(self) -> bool:
        """True if the net depends on the type of the neighbour alone."""

    @property
    def strips(self) -> bool:
        """True if a net of its own embeds the types."""

    @property
    def types_network(self) -> Network:
        """The settings of that net."""


def pair_nets(
    xp: Any,
    config: EmbedsPairs,
    own: SeE2A,
    params: Tree,
    table: Array,
    centres: Sequence[int],
    neighbours: Sequence[int],
) -> Tree:
    """Return the nets N_ab of these pairs of types, under their numbers, or all in one array.

    Parameters
    ----------
    own
        Settings of se_e2_a with these nets.
    params
        ``embeddings`` and, with strip, ``embeddings_strip``: one net each.
    table
        Vectors of all types.
    """
    kinds = centres[:1] if config.type_one_side else centres
    vectors = pair_vectors(xp, table, kinds, neighbours, config.type_one_side)
    layers = params["embeddings"]["0"]["layers"]
    flat = xp.reshape(vectors, (-1, vectors.shape[-1]))
    numbers = [own.network_index(a, b) for a in kinds for b in neighbours]
    if config.strips:
        factors = 1.0 + types_net(xp, config.types_network, params, flat)
        eye = xp.eye(factors.shape[1], dtype=factors.dtype)
    else:
        first = layers["0"]
        bias = xp.matmul(flat, first["w"][1:, :]) + first["b"]
    if len(numbers) > FEW and sorted(numbers) == list(range(own.n_networks)):
        # Thousands of nets, of which a compiler would see each.
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        one = {k: _repeated(xp, p, len(order)) for k, p in layers.items()}
        if config.strips:
            one[str(len(layers))] = {"w": eye * picked(xp, factors, order)[:, None, :]}
        else:
            one["0"] = {"w": one["0"]["w"][:, :1, :], "b": picked(xp, bias, order)}
        return {ALL: {"layers": one}}
    nets: Tree = {}
    for k, number in enumerate(numbers):
        if config.strips:
            found = {**layers, str(len(layers)): {"w": eye * factors[k, None, :]}}
        else:
            found = {**layers, "0": {"w": first["w"][:1, :], "b": bias[k, :]}}
        nets[str(number)] = {"layers": found}
    return nets


def _repeated(xp: Any, params: Tree, n: int) -> Tree:
    """Return the parameters of a layer n times, (n, …)."""
    return {name: xp.broadcast_to(x[None, ...], (n, *x.shape)) for name, x in params.items()}


def geometry(
    xp: Any,
    config: SeAtten,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Table],
    plan: Tree,
) -> Tree:
    """Return the geometry for series, as of :mod:`..se_e2_a._geometry`."""
    scales = statistics(xp, params)
    return series_geometry(xp, config.pairwise, scales, atype, counts, tables, plan)


def apply(
    xp: Any,
    config: SeAtten,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    plan: Tree,
    table: Array,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return D without the type embedding (N, M·A), and its pullback."""
    nets = nets_of_pairs(xp, config, params, table, list(counts), list(widths_of(known)))
    return apply_series(xp, config.pairwise, nets, counts, known, plan)


class HasPairs(Protocol):
    """Settings of a descriptor that makes parameters of se_e2_a for pairs of types."""

    @property
    def ntypes(self) -> int:
        """Number of atom types."""

    def pair_params(
        self, xp: Any, params: Tree, centres: Sequence[int], neighbours: Sequence[int]
    ) -> Tree:
        """Return the parameters of se_e2_a with nets for these pairs of types."""


@dataclass
class PairPlanner(SeriesPlanner):
    """A planner of the series of all pairs of types, from the parameters of a descriptor."""

    whole: HasPairs = field(kw_only=True)

    def _nets(self, params: Tree, kinds: Sequence[int]) -> Tree:
        return {"descriptor": self.whole.pair_params(np_xp, params["descriptor"], kinds, kinds)}

    def refine(self, params: Tree) -> None:
        """Add coefficients if the nets of types that were encountered need them."""
        met = np.isfinite(self.nearest)
        kinds = np.flatnonzero(met.any(axis=0) | met.any(axis=1)).tolist()
        if kinds:
            super().refine(self._nets(params, kinds))

    def fixed(self, plan: Plan, params: Tree) -> Plan:
        """Return the plan with the coefficients of all pairs of types, unless there are many."""
        if self.whole.ntypes > FEW_TYPES:
            return plan
        return super().fixed(plan, self._nets(params, list(range(self.whole.ntypes))))


def planner(
    config: SeAtten, backend: Backend, embedding: str, *, enabled: bool, train: bool
) -> SeriesPlanner:
    """Return the planner of the series of a se_atten that has them."""
    from ._fading import OnePlanner, is_fading

    pairs = functools.partial(PairPlanner, whole=config)
    kind = OnePlanner if is_fading(config) else pairs
    return series_planner(
        config.pairwise, backend, embedding, enabled=enabled, train=train, kind=kind
    )
