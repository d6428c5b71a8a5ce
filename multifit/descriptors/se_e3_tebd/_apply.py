r"""From the products of neighbours to the descriptor, and its pullback to pair vectors.

.. math::

   D = \frac{1}{sel^2} \sum_{jk} x_{jk}\,G_{jk}, \quad
   G_{jk} = N(x_{jk}, t_j, t_k) \ \text{(concat), or} \
   N(x_{jk}) \odot \big(1 + \omega_{jk} N^t(t_j, t_k)\big) \ \text{(strip)},

with ω = w_j w_k if smooth, else 1. The first layer of N acts on x and on the types separately: the
part of the types is a bias for each pair of types.

=============  ================================================
symbol         variable, shape
=============  ================================================
R̃              ``rows``, (N, 4, P)
x, ω           ``products``, ``fades``, (N, U), of the pairs j ≤ k
G              (N, T, M), of all evaluations
=============  ================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import precision as prec
from ...autodiff import ReverseArithmetic, with_pullback
from ...backend import Arithmetic
from ...nn.activations import activation
from ...nn.groups import picked
from ...nn.networks import Network, apply_network
from ...tree import Tree
from .._tables import widths_of
from ..dpa1._apply import by_vectors
from ..dpa1._forward import types_net
from ..dpa1._geometry import geometry
from ._angles import Angles, angles

if TYPE_CHECKING:
    from ...batching.types import Table
    from ._descriptor import SeE3Tebd

Array = Any


def angle_geometry(
    xp: Any,
    config: SeE3Tebd,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Table],
) -> Tree:
    """Return the geometry of :mod:`..dpa1._geometry` with ``products`` and ``fades``."""
    made = geometry(xp, config, params, atype, counts, tables)
    if "rows" not in made:
        return made
    pairs = _angles(config, made)
    vectors, w = made["rows"][:, 1:, :], made["switch"]
    made["products"] = _upper(xp, pairs, xp.matmul(xp.matrix_transpose(vectors), vectors))
    if config.fades:
        made["fades"] = _upper(xp, pairs, w[:, :, None] * w[:, None, :])
    return made


def _angles(config: SeE3Tebd, known: Tree) -> Angles:
    return angles(tuple(widths_of(known).items()), not config.strips)


def _upper(xp: Any, pairs: Angles, full: Array) -> Array:
    """Return (N, U) from (N, P, P)."""
    return xp.take(xp.reshape(full, (full.shape[0], -1)), xp.asarray(pairs.upper), axis=1)


def block(
    arithmetic: Arithmetic, config: SeE3Tebd, params: Tree, known: Tree, table: Array
) -> tuple[Array, Callable[[Array], Array]]:
    """Return D without the type of the centre (N, M), and D̄ → ∂/∂r_ij (N, 3, P).

    Parameters
    ----------
    known
        From :func:`angle_geometry`.
    table
        The embedded types, (ntypes, tebd_dim).
    """
    xp = arithmetic.xp
    if "rows" not in known:
        n = known["missing"].shape[0]
        nothing = xp.zeros((n, config.neuron[-1]), dtype=xp.float64)
        return (
            prec.cast(xp, nothing, config.precision),
            lambda d_bar: xp.zeros((n, 3, 0), dtype=xp.float64),
        )
    pairs = _angles(config, known)
    constants = _of_types(xp, config, params, pairs, table)
    turned = xp.asarray(pairs.turned)
    names = ("products", *("fades",) * config.fades)
    inputs = []
    for name in names:
        x = prec.cast(xp, known[name], config.precision)
        inputs.append(xp.concat([x, xp.take(x, turned, axis=1)], axis=1) if turned.shape[0] else x)

    def forward(recording: ReverseArithmetic, x: Array, fade: Array | None = None) -> Array:
        return _features(recording, config, params, pairs, constants, x, fade)

    d, pull = with_pullback(arithmetic, forward, *inputs)

    def pullback(d_bar: Array) -> Array:
        bars = pull(xp.astype(d_bar, d.dtype, copy=False))
        return _by_vectors(xp, pairs, known, dict(zip(names, bars, strict=True)))

    return d, pullback


def _of_types(xp: Any, config: SeE3Tebd, params: Tree, pairs: Angles, table: Array) -> Array:
    """Return what the types of each evaluation contribute, in the precision of the nets.

    Of concat (T, 2·tebd_dim): the embedded types. Of strip (T, M): N^t, the mean of both orders.
    """
    first, second = (picked(xp, table, [pair[k] for pair in pairs.types]) for k in range(2))
    vectors = xp.concat([first, second], axis=1)
    if config.strips:
        turned = xp.concat([second, first], axis=1)
        both = (types_net(xp, config.types_network, params, each) for each in (vectors, turned))
        vectors = 0.5 * sum(both, xp.zeros_like(vectors[:1, :1]))
    return xp.matmul(_constant(xp, pairs.kind, vectors), vectors)


def _constant(xp: Any, x: np.ndarray, like: Array) -> Array:
    return xp.astype(xp.asarray(x), like.dtype, copy=False)


def _features(
    arithmetic: ReverseArithmetic,
    config: SeE3Tebd,
    params: Tree,
    pairs: Angles,
    constants: Array,
    x: Array,
    fade: Array | None,
) -> Array:
    """Return D (N, M) from x (N, T)."""
    xp, (n, size) = arithmetic.xp, x.shape
    lifted, constants = arithmetic.lift(params["embeddings"]["0"]), xp.lift(constants)
    if config.strips:
        g, _ = apply_network(xp, config.network, lifted, xp.reshape(x, (n * size, 1)))
        g = xp.reshape(g, (n, size, -1))
        weight = constants if fade is None else fade[:, :, None] * constants
        g = g * (1.0 + weight)
    else:
        g = _embed(xp, config, lifted, x, constants)
    scale = 1.0 / config.nnei**2
    counted = x * xp.lift(_constant(arithmetic.base.xp, pairs.weight * scale, x.value))
    return xp.matmul(counted[:, None, :], g)[:, 0, :]


def _embed(xp: Any, config: SeE3Tebd, params: Tree, x: Array, types: Array) -> Array:
    """Return N(x, t_j, t_k), (N, T, M), whose first layer takes x and the types in turn."""
    n, size = x.shape
    layer, layers = config.network.layers[0], params["layers"]
    own = {name: prec.narrow(xp, value, layer.precision) for name, value in layers["0"].items()}
    x = prec.narrow(xp, x, layer.precision)[:, :, None]
    types = prec.narrow(xp, types, layer.precision)
    u = x * own["w"][:1, :] + (xp.matmul(types, own["w"][1:, :]) + own["b"])
    y, _ = activation(layer.activation)(xp, u)
    if layer.timestep:
        y = y * own["idt"]
    if layer.residual:
        added = [x + xp.zeros_like(types[:, :1]), xp.zeros_like(x) + types]
        y = y + xp.concat(added * (2 if layer.residual == "double" else 1), axis=2)
    rest = config.network.layers[1:]
    flat = xp.reshape(y, (n * size, layer.n_out))
    if rest:
        others = {str(k): layers[str(k + 1)] for k in range(len(rest))}
        flat, _ = apply_network(xp, Network(rest), {"layers": others}, flat)
    return xp.reshape(xp.astype(flat, x.dtype, copy=False), (n, size, -1))


def _by_vectors(xp: Any, pairs: Angles, known: Tree, bars: Mapping[str, Array]) -> Array:
    """Return ∂/∂r_ij (N, 3, P) from the derivatives by x, and by ω, of all evaluations."""
    rows, w = known["rows"], known["switch"]
    full = {name: _unfolded(xp, pairs, bar, rows) for name, bar in bars.items()}
    v_bar = xp.matmul(rows[:, 1:, :], full["products"])
    by = {"rows": xp.concat([xp.zeros_like(rows[:, :1, :]), v_bar], axis=1)}
    if "fades" in full:
        by["switch"] = xp.matmul(w[:, None, :], full["fades"])[:, 0, :]
    return by_vectors(xp, known, by)


def _unfolded(xp: Any, pairs: Angles, bar: Array, rows: Array) -> Array:
    """Return the derivatives by both vectors of each pair, (N, P, P), from (N, T).

    x depends on both vectors of a pair; on the diagonal twice on the same one.
    """
    n, _, size = rows.shape
    bar = xp.astype(bar, rows.dtype, copy=False)
    number = len(pairs.upper)
    once = bar[:, :number]
    if len(pairs.turned):
        none = xp.zeros_like(bar[:, :1])
        more = xp.concat([bar[:, number:], none], axis=1)
        once = once + xp.take(more, xp.asarray(pairs.again), axis=1)
    full = xp.reshape(xp.take(once, xp.asarray(pairs.folded), axis=1), (n, size, size))
    return full * xp.asarray(1.0 + np.eye(size), dtype=rows.dtype)
