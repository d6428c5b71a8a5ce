r"""Attention among the pairs of an atom, and of an atom to its neighbours.

With queries and keys of width d, the switch w and c = 20, both have the weights

.. math::

   P = \omega\,\mathrm{softmax}\big[(S + c)\,\omega - c\big] \ \text{(smooth)}, \quad
   \mathrm{softmax}\,S \ \text{over pairs that are there (not smooth)},

with ω_jk = w_j w_k between pairs and ω_j = w_j for neighbours. In the smooth sum each of the
``nsel`` slots counts, those without a pair with the logit −c. Products of linear maps are taken
first, so that no array with a row for each pair is wider than it must be:

.. math::

   S^h_{jk} = e_j\,\big(W_q^h W_k^{h\mathsf T}/\sqrt d\big)\,e_k, \qquad
   \sum_{hk} P^h_{jk}\,e_k\,\big(W_v^h W_o^h\big), \qquad
   S^h_j = \big(g_i W_q^h W_k^{h\mathsf T}/\sqrt d\big) \cdot \gamma_j, \qquad
   \Big(\sum_j P^h_j \gamma_j\Big) W_v^h .

=============  ================================================
symbol         variable, shape
=============  ================================================
e              ``e``, (N, P, n₂): features of pairs
g, γ           ``g`` (N, n₁) of atoms, ``gamma`` (N, P, n₁) of neighbours
P              ``attention``, (N, P, H, P) or (N, H, P)
=============  ================================================
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...nn.attention import peak, softmax
from ...tree import Tree
from ..dpa1._attention import NEVER, SHIFT

Array = Any


class Slots(NamedTuple):
    """The slots for neighbours, in the precision of the maps."""

    present: Array  #: 1 for a pair that is not excluded, else 0, (N, P)
    weight: Array  #: w, or ``present`` if not smooth, (N, P)
    nsel: int  #: the number of slots among which absent ones count, if smooth
    smooth: bool


def _weights(xp: Any, logits: Array, here: Array, slots: Slots) -> Array:
    """Return the softmax along the last axis, without the factor ω.

    Parameters
    ----------
    logits
        (S + c) ω if smooth: 0 for absent pairs; else S.
    here
        1 for pairs k that are there, shaped like the logits up to broadcasting.
    """
    if not slots.smooth:
        return softmax(xp, logits * here - (1.0 - here) * NEVER, axis=-1)
    top = peak(xp, logits, axis=-1)
    top = xp.maximum(top, xp.zeros_like(top))
    e = xp.exp(logits - top)
    # Columns without a pair are among the slots; of the slots, others have no column.
    others = xp.exp(-top) * float(slots.nsel - slots.present.shape[1])
    return e * (1.0 / (xp.sum(e, axis=-1, keepdims=True) + others))


class PairWeights(NamedTuple):
    """What the attention among pairs is multiplied by; constant if vectors are not updated."""

    omega: Array  #: ω, (N, P, 1, P)
    gate: Array  #: ω h_j · h_k, (N, P, 1, P)


def pair_weights(xp: Any, h: Array, slots: Slots) -> PairWeights:
    """Return the weights of the pairs of pairs, from vectors h (N, 3, P)."""
    omega = slots.weight[:, :, None] * slots.weight[:, None, :]
    gate = omega * xp.matmul(xp.matrix_transpose(h), h)
    return PairWeights(omega[:, :, None, :], gate[:, :, None, :])


def pair_attention(
    xp: Any, maps: Tree, e: Array, slots: Slots, known: PairWeights, heads: int, gated: bool
) -> Array:
    """Return softmax · ω · h·h/√3, the weights of pairs k for pairs j, (N, P, H, P).

    Parameters
    ----------
    maps
        ``mapqk.w``, (n₂, d · 2H): of each component the queries of all heads, then the keys.
    gated
        True if the logits are multiplied by h_j · h_k.
    """
    n, size, width = e.shape
    w = maps["mapqk"]["w"]
    hidden = w.shape[1] // (2 * heads)
    w = xp.permute_dims(xp.reshape(w, (width, hidden, 2 * heads)), (2, 0, 1))
    forms = xp.matmul(w[:heads, :, :], xp.matrix_transpose(w[heads:, :, :]))  # (H, n₂, n₂)
    forms = xp.reshape(xp.permute_dims(forms, (1, 0, 2)), (width, heads * width))
    flat = xp.reshape(e, (n * size, width))
    left = xp.reshape(xp.matmul(flat, forms * hidden**-0.5), (n, size * heads, width))
    logits = xp.reshape(xp.matmul(left, xp.matrix_transpose(e)), (n, size, heads, size))
    here = slots.present[:, None, None, :]
    if slots.smooth:
        logits = logits * (known.gate if gated else known.omega) + known.omega * SHIFT
    elif gated:
        logits = logits * known.gate
    found = _weights(xp, logits, here, slots)
    return found * (known.gate * 3.0**-0.5)


def attend_pairs(xp: Any, maps: Tree, e: Array, attention: Array) -> Array:
    """Return the sums over pairs k of P_jk v_k, of all heads, (N, P, n₂)."""
    n, size, heads, _ = attention.shape
    width = e.shape[2]
    values = xp.reshape(maps["mapv"]["w"], (width, width, heads))  # (in, channel, head)
    outputs = xp.reshape(maps["head_map"]["w"], (width, heads, width))  # (channel, head, out)
    values = xp.permute_dims(values, (2, 0, 1))
    joined = xp.matmul(values, xp.permute_dims(outputs, (1, 0, 2)))  # (H, in, out)
    joined = xp.reshape(xp.permute_dims(joined, (1, 0, 2)), (width, heads * width))
    v = xp.matmul(xp.reshape(e, (n * size, width)), joined)
    v = xp.permute_dims(xp.reshape(v, (n, size, heads, width)), (0, 2, 1, 3))
    v = xp.reshape(v, (n, heads * size, width))
    rows = xp.reshape(attention, (n, size, heads * size))
    return xp.matmul(rows, v) + maps["head_map"]["b"]


def turn_vectors(xp: Any, maps: Tree, h: Array, attention: Array) -> Array:
    """Return Σ_k P_jk h_k of all heads, (N, 3, P)."""
    heads = attention.shape[2]
    share = xp.reshape(maps["head_map"]["w"], (1, 1, heads, 1))
    mixed = xp.sum(attention * share, axis=2)  # (N, P, P)
    return xp.matmul(h, xp.matrix_transpose(mixed))


def attend_neighbours(
    xp: Any, maps: Tree, g: Array, gamma: Array, slots: Slots, heads: int
) -> Array:
    """Return what atoms hear of their neighbours, (N, n₁)."""
    n, width = g.shape
    hidden = maps["mapq"]["w"].shape[1] // heads
    q = xp.reshape(xp.matmul(g, maps["mapq"]["w"]), (n, hidden, heads))
    w = xp.reshape(maps["mapkv"]["w"], (width, hidden + width, heads))
    w = xp.permute_dims(w, (2, 1, 0))  # (H, d + n₁, n₁)
    asked = xp.matmul(xp.permute_dims(q, (2, 0, 1)) * hidden**-0.5, w[:, :hidden, :])
    asked = xp.permute_dims(asked, (1, 0, 2))  # (N, H, n₁)
    logits = xp.matmul(asked, xp.matrix_transpose(gamma))  # (N, H, P)
    omega, here = slots.weight[:, None, :], slots.present[:, None, :]
    if slots.smooth:
        logits = (logits + SHIFT) * omega
    found = _weights(xp, logits, here, slots)
    heard = xp.matmul(found * omega, gamma)  # (N, H, n₁)
    heard = xp.matmul(xp.permute_dims(heard, (1, 0, 2)), xp.matrix_transpose(w[:, hidden:, :]))
    heard = xp.reshape(xp.permute_dims(heard, (1, 0, 2)), (n, heads * width))
    return xp.matmul(heard, maps["head_map"]["w"]) + maps["head_map"]["b"]
