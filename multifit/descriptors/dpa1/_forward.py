r"""The forward pass: from the environment of each atom to its descriptor.

.. math::

   G_j = N(\tilde R_{j,0}, t_b\,[, t_a]) \quad \text{(concat), or} \quad
   N(\tilde R_{j,0}) \odot \big(1 + \omega_j N^t(t_b\,[, t_a])\big) \quad \text{(strip)},

with ω = w if smooth, else 1, and t_a unless ``type_one_side``; then the layers of attention, and

.. math::

   T = \frac{1}{sel} \Big(\sum_j \tilde R_j \otimes G_j + n_0\, \tilde R_0 \otimes G_0\Big), \quad
   D = \big(T^{\mathsf T} T_{:, :A}\,[, t_a]\big).

The n₀ empty slots have R̃ = −μ/σ, so that they count if μ ≠ 0. With strip and smooth their rows
are N(−μ₀/σ₀); otherwise DeePMD-kit gives them the type of the frame's first atom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...nn.groups import picked
from ...nn.networks import Network, apply_network
from ...tree import Tree, numbered_values
from .._tables import Spans, spans, spread, widths_of
from .._types import of_slots, pair_vectors
from ._attention import Slots, attend, attend_alone

if TYPE_CHECKING:
    from ...autodiff import ReverseArithmetic
    from ._descriptor import SeAtten

Array = Any


class Constants:
    """Everything that does not depend on positions: vectors of types, and empty slots."""

    def __init__(
        self,
        xp: Any,
        config: SeAtten,
        params: Tree,
        counts: Mapping[int, int],
        known: Tree,
        table: Array,
    ) -> None:
        self.columns: Spans = spans(widths_of(known))
        #: of each type of neighbours: (t_b, t_a), or N^t of it, (N, nb, …)
        self.by_type: Array | None = None
        if self.columns:
            each = pair_vectors(xp, table, list(counts), list(self.columns), config.type_one_side)
            if config.strips:
                each = types_net(xp, config.types_network, params, each)
            self.by_type = spread(xp, known["kind"], each)
        self.empty: Array | None = None  #: Σ R̃ ⊗ G of empty slots, (N, 4, M)
        if not config.set_davg_zero:
            self.empty = _of_empty(xp, config, params, counts, known, table)


def types_net(xp: Any, network: Network, params: Tree, vectors: Array) -> Array:
    """Return N^t of vectors of pairs of types, (…, M)."""
    flat = xp.reshape(vectors, (-1, vectors.shape[-1]))
    found, _ = apply_network(xp, network, params["embeddings_strip"]["0"], flat)
    return xp.reshape(found, (*vectors.shape[:-1], found.shape[-1]))


def _of_empty(
    xp: Any,
    config: SeAtten,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    table: Array,
) -> Array:
    """Return n₀ R̃₀ ⊗ G₀ of each atom, (N, 4, M)."""
    row = prec.cast(xp, known["empty_row"], config.precision)  # (N, 4)
    s = row[:, :1]
    if config.strips:
        g, _ = apply_network(xp, config.network, params["embeddings"]["0"], s)
    if config.is_ambiguous:
        first = xp.take(table, known["first"], axis=0)
        vectors = first
        if not config.type_one_side:
            own = spread(xp, known["kind"], picked(xp, table, list(counts)))
            vectors = xp.concat([first, own], axis=1)
        if config.strips:
            g = g * (1.0 + types_net(xp, config.types_network, params, vectors))
        else:
            x = xp.concat([s, vectors], axis=1)
            g, _ = apply_network(xp, config.network, params["embeddings"]["0"], x)
    for layer in numbered_values(params.get("attention", {})):
        g = attend_alone(xp, config, layer, g)
    weighted = row * prec.cast(xp, known["missing"], config.precision)[:, None]
    return weighted[:, :, None] * g[:, None, :]


def embed(
    xp: Any, config: SeAtten, params: Tree, rows: Array, switch: Array, pairs: Array
) -> Array:
    """Return G (N, P, M)."""
    n, _, p = rows.shape
    s = xp.reshape(rows[:, 0, :], (n * p, 1))
    if not config.strips:
        s = xp.concat([s, xp.reshape(pairs, (n * p, pairs.shape[-1]))], axis=1)
    g, _ = apply_network(xp, config.network, params["embeddings"]["0"], s)
    g = xp.reshape(g, (n, p, config.neuron[-1]))
    if not config.strips:
        return g
    weight = switch[:, :, None] * pairs if config.is_smooth else pairs
    return g * (1.0 + weight)


def features(
    arithmetic: ReverseArithmetic,
    config: SeAtten,
    params: Tree,
    constants: Constants,
    slots: Slots,
    rows: Array,
) -> Array:
    """Return D without the type embedding (N, M·A), from R̃ (N, 4, P)."""
    xp = arithmetic.xp
    lifted = arithmetic.lift({key: params[key] for key in config.networks})
    pairs = of_slots(arithmetic.base.xp, constants.by_type, constants.columns)
    g = embed(xp, config, lifted, rows, slots.switch, xp.lift(pairs))
    for layer in numbered_values(lifted.get("attention", {})):
        g = attend(xp, config, layer, g, slots)
    t = xp.matmul(rows, g)
    if constants.empty is not None:
        t = t + xp.lift(constants.empty)
    return contract(xp, config, t)


def contract(xp: Any, config: SeAtten, t: Array) -> Array:
    """Return D (N, M·A) from Σ R̃ ⊗ G (N, 4, M)."""
    t = t * (1.0 / config.nnei)
    d = xp.matmul(xp.matrix_transpose(t), t[:, :, : config.axis_neuron])
    return xp.reshape(d, (t.shape[0], config.neuron[-1] * config.axis_neuron))
