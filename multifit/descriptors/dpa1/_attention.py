r"""Attention among the neighbours of an atom, gated by the angles between them.

For the rows X of the neighbours j, with the switch w and unit vectors u,

.. math::

   [Q, K, V] = X W_{in} + b_{in}, \quad
   S_{jk} = \lambda\, Q_j \cdot K_k, \quad
   \lambda = (\text{attn} \cdot \text{scaling\_factor})^{-1/2} \text{ or temperature},

   P_{jk} = w_j w_k\, \mathrm{softmax}_k\big[(S_{jk} + c)\, w_j w_k - c\big]
   \quad \text{(smooth), or} \quad \mathrm{softmax}_k S_{jk},

   X \leftarrow \mathrm{norm}\Big(X_j + \sum_k P_{jk}\,(u_j \cdot u_k)\, V_k\, W_{out} +
   b_{out}\Big),

where c = 20 and the rows of Q, K and V have length 1 if they are normalized. Absent slots, which
are empty or of excluded pairs, have w = 0: in the smooth sum over k each of the ``sel`` slots
counts, the absent ones with the logit −c. In the other they do not count.

=============  ================================================
symbol         variable, shape
=============  ================================================
X              ``g``, (N, P, M)
w, u           ``switch`` (N, P), ``unit`` (N, 3, P)
=============  ================================================

Source: Zhang et al., arXiv:2208.08236 (DPA-1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ...nn.attention import layer_norm, peak, softmax
from ...nn.networks import apply_layer
from ...tree import Tree

if TYPE_CHECKING:
    from ._descriptor import SeAtten

Array = Any

#: c: the logit of an absent slot is −c.
SHIFT = 20.0

#: Smallest length by which a row is divided.
SHORTEST = 1e-12

#: Subtracted from the logit of an absent slot, whose exponential is then 0.
NEVER = 1e9


class Slots(NamedTuple):
    """The slots for neighbours, in the precision of the nets."""

    present: Array  #: 1 for a pair that is not excluded, else 0, (N, P)
    switch: Array  #: w, 0 for absent ones, (N, P)
    unit: Array  #: u, (N, 3, P)
    absent: Array  #: number of absent slots among ``sel``, (N,)


def attend(xp: Any, config: SeAtten, params: Tree, g: Array, slots: Slots) -> Array:
    """Return the rows (N, P, M) after one layer of attention."""
    n, p, _ = g.shape
    into, out = config.projections
    flat, _ = apply_layer(xp, into, params["in_proj"], xp.reshape(g, (n * p, into.n_in)))
    flat = xp.reshape(xp.astype(flat, g.dtype, copy=False), (n, p, into.n_out))
    width = config.attn
    q, k, v = (flat[:, :, part * width : (part + 1) * width] for part in range(3))
    if config.normalize:
        q, k, v = (_normalized(xp, x) for x in (q, k, v))
    logits = xp.matmul(q * config.scale, xp.matrix_transpose(k))
    weights = _smooth(xp, logits, slots) if config.is_smooth else _sharp(xp, logits, slots)
    if config.attn_dotr:
        weights = weights * xp.matmul(xp.matrix_transpose(slots.unit), slots.unit)
    heard = xp.reshape(xp.matmul(weights, v), (n * p, width))
    more, _ = apply_layer(xp, out, params["out_proj"], heard)
    g = g + xp.reshape(xp.astype(more, g.dtype, copy=False), g.shape)
    return _normed(xp, config, params, g)


def attend_alone(xp: Any, config: SeAtten, params: Tree, g: Array) -> Array:
    """Return the rows (n, M) of absent slots after one layer: they attend to nothing."""
    return _normed(xp, config, params, g + params["out_proj"]["b"])


def _normed(xp: Any, config: SeAtten, params: Tree, g: Array) -> Array:
    norm = params["norm"]
    return layer_norm(xp, g, scale=norm["w"], shift=norm["b"], epsilon=config.epsilon)


def _normalized(xp: Any, x: Array) -> Array:
    square = xp.sum(x * x, axis=-1, keepdims=True)
    return x / xp.sqrt(xp.maximum(square, xp.full_like(square, SHORTEST * SHORTEST)))


def _smooth(xp: Any, logits: Array, slots: Slots) -> Array:
    both = slots.switch[:, :, None] * slots.switch[:, None, :]
    logits = (logits + SHIFT) * both - SHIFT
    top = peak(xp, logits, axis=2)
    top = xp.maximum(top, xp.full_like(top, -SHIFT))
    e = xp.exp(logits - top) * slots.present[:, None, :]
    others = xp.exp(-SHIFT - top) * slots.absent[:, None, None]
    return e / (xp.sum(e, axis=2, keepdims=True) + others) * both


def _sharp(xp: Any, logits: Array, slots: Slots) -> Array:
    here = slots.present[:, None, :]
    logits = logits * here - (1.0 - here) * NEVER
    return softmax(xp, logits, axis=2) * (slots.present[:, :, None] * here)
