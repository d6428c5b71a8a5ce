r"""The layers of dpa2: messages among atoms g_i, pairs e_ij and vectors h_ij.

With the features γ_ij = g_j of the neighbours, the switch w, N = ``nsel``, and the matrices

.. math::

   H(y)_i = \nu \sum_j w_{ij}\,\mathbf h_{ij} \otimes y_{ij}, \quad
   \mathrm{sym}(y)_i = \tfrac13\,(H_{:, :A})^{\mathsf T} H,

a layer adds to each feature its updates, all of the features before it:

=====  ============================================================================
g      φ(gW + b); (1/N) Σ_j w (e_ij W) ⊙ γ_ij; φ(uW + b); attention to neighbours
u      g; (1/N) Σ_j w e_ij ⊙ (γ_ij W); sym(e); sym(γ)
e      φ(eW + b); (w g_i ⊙ γ_ij) W; layer norm of the attention among pairs
h      Σ_k P_jk h_ik
=====  ============================================================================

each as far as it is switched on; the last layer updates g alone. ν is 1/√N or 1/N. Without
``smooth``, the number of neighbours n_i replaces N, as 10⁻⁴ + √n_i or 10⁻⁴ + n_i, and 1 replaces w.

=============  ================================================
symbol         variable, shape
=============  ================================================
g, γ           ``g`` (N, n₁), ``gamma`` (N, P, n₁)
e, h           ``e`` (N, P, n₂), ``h`` (N, 3, P)
=============  ================================================

Source: Zhang et al., npj Comput. Mater. 10, 293 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...nn.activations import activated
from ...nn.attention import layer_norm
from ...tree import Tree
from .._updates import combined
from ._attention import (
    PairWeights,
    Slots,
    attend_neighbours,
    attend_pairs,
    pair_attention,
    pair_weights,
    turn_vectors,
)
from ._layers import is_last
from ._settings import Repformer

Array = Any

#: Added to numbers of neighbours that are divided by.
FEWEST = 1e-4


class Features(NamedTuple):
    """The features of atoms, pairs and vectors."""

    g: Array
    e: Array
    h: Array


class Pairs:
    """The pairs of N atoms, in the precision of the maps.

    Parameters
    ----------
    rows
        The environment, (N, 4, P).
    """

    def __init__(self, rows: Array, slots: Slots) -> None:
        self.slots = slots
        self.radial, self.vectors = rows[:, 0, :], rows[:, 1:, :]
        self._weights: PairWeights | None = None

    def weights(self, xp: Any, h: Array) -> PairWeights:
        """Return what attention among pairs is multiplied by: once, unless h changes."""
        if h is not self.vectors:
            return pair_weights(xp, h, self.slots)
        if self._weights is None:
            self._weights = pair_weights(xp, h, self.slots)
        return self._weights


@dataclass(frozen=True)
class RepformerLayers:
    """The layers of dpa2, in the form of :class:`.._messages.Layers`."""

    config: Repformer
    smooth: bool

    @property
    def number(self) -> int:
        """Number of layers."""
        return self.config.nlayers

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of what pullbacks lead to."""
        return ("node", "rows", *("switch",) * self.smooth)

    def kept(self, k: int) -> tuple[str, ...]:
        """Return the names of the features of pairs that layer k > 0 takes."""
        return ("e", *("h",) * self.config.update_h2)

    def pairs(self, xp: Any, known: Tree) -> Pairs:
        """Return the pairs from ``rows``, ``present`` and, if smooth, ``switch``."""
        present = known["present"]
        weight = known["switch"] if self.smooth else present
        return Pairs(known["rows"], Slots(present, weight, self.config.nsel, self.smooth))

    def start(self, xp: Any, params: Tree, pairs: Pairs) -> Tree:
        """Return the features of pairs before the first layer."""
        own = params["g2_embd"]
        e = pairs.radial[:, :, None] * own["w"] + own["b"]
        return {"e": activated(xp, self.config.activation_function, e)}

    def layer(self, xp: Any, k: int, params: Tree, pairs: Pairs, given: Tree, near: Array) -> Tree:
        """Return the features after layer k."""
        old = Features(given["node"], given["e"], given.get("h", pairs.vectors))
        layer = _Layer(xp, self.config, params["layers"][str(k)], pairs)
        new = layer.run(old, near, last=is_last(self.config, k))
        return {"node": new.g, "e": new.e} | ({"h": new.h} if self.config.update_h2 else {})


class _Layer:
    """One layer for one set of pairs."""

    def __init__(self, xp: Any, config: Repformer, maps: Tree, pairs: Pairs) -> None:
        self.xp, self.config, self.maps, self.pairs = xp, config, maps, pairs
        self.slots = pairs.slots

    def run(self, old: Features, gamma: Array, last: bool) -> Features:
        """Return the features after the layer; the last one changes those of atoms alone."""
        config, xp, maps = self.config, self.xp, self.maps
        g = self._combined("g1_residual", old.g, self._of_atoms(old, gamma))
        if last:
            return Features(g, old.e, old.h)
        attention = None
        if config.update_g2_has_attn or config.update_h2:
            attention = pair_attention(
                *(xp, maps["attn2g_map"], old.e, self.slots, self.pairs.weights(xp, old.h)),
                config.attn2_nhead,
                config.attn2_has_gate,
            )
        e = self._combined("g2_residual", old.e, self._of_pairs(old, gamma, attention))
        h = old.h
        if config.update_h2:
            turned = turn_vectors(xp, maps["attn2_ev_apply"], h, attention)
            h = self._combined("h2_residual", h, [turned])
        return Features(g, e, h)

    def _phi(self, x: Array) -> Array:
        """Return φ(x)."""
        return activated(self.xp, self.config.activation_function, x)

    def _combined(self, name: str, old: Array, updates: Sequence[Array]) -> Array:
        """Return a feature with its updates."""
        return combined(self.config.update_style, old, updates, self.maps.get(name))

    def _of_atoms(self, old: Features, gamma: Array) -> list[Array]:
        """Return the updates of g."""
        config, xp, maps = self.config, self.xp, self.maps
        found = []
        if config.g1_out_mlp:
            found.append(self._phi(_linear(xp, maps["g1_self_mlp"], old.g)))
        weight = self.slots.weight
        near = old.h * weight[:, None, :]  # w h, (N, 3, P)
        parts = [] if config.g1_out_mlp else [old.g]
        convolves = config.update_g1_has_conv and config.g1_out_conv
        turned, mixed = self._sums(old, gamma, near, convolves)
        if convolves:
            own = xp.sum(mixed * maps["proj_g1g2"]["w"], axis=1)
            found.append(own * self._inverse(rooted=False))
        elif config.update_g1_has_conv:
            theirs = _linear(xp, maps["proj_g1g2"], gamma)
            heard = xp.sum(old.e * weight[:, :, None] * theirs, axis=1)
            parts.append(heard * self._inverse(rooted=False))
        if config.update_g1_has_grrg:
            parts.append(self._symmetric(xp.matmul(near, old.e)))
        if config.update_g1_has_drrd:
            parts.append(self._symmetric(turned))
        u = parts[0] if len(parts) == 1 else xp.concat(parts, axis=1)
        found.append(self._phi(_linear(xp, maps["linear1"], u)))
        if config.update_g1_has_attn:
            heads = config.attn1_nhead
            own = attend_neighbours(xp, maps["loc_attn"], old.g, gamma, self.slots, heads)
            found.append(own)
        return found

    def _sums(
        self, old: Features, gamma: Array, near: Array, convolves: bool
    ) -> tuple[Array, Array]:
        """Return Σ w h ⊗ γ (N, 3, n₁) and Σ w e ⊗ γ (N, n₂, n₁), as far as they are needed."""
        xp, turns = self.xp, self.config.update_g1_has_drrd
        if not convolves:
            return (xp.matmul(near, gamma) if turns else None), None
        rows = xp.matrix_transpose(old.e * self.slots.weight[:, :, None])
        if not turns:
            return None, xp.matmul(rows, gamma)
        both = xp.matmul(xp.concat([near, rows], axis=1), gamma)
        return both[:, :3, :], both[:, 3:, :]

    def _inverse(self, rooted: bool) -> Any:
        """Return what a sum over neighbours is multiplied by: a number, or (N, 1)."""
        if self.slots.smooth:
            return self.config.nsel ** (-0.5 if rooted else -1.0)
        number = self.xp.sum(self.slots.present, axis=1)
        return 1.0 / (FEWEST + (self.xp.sqrt(number) if rooted else number))[:, None]

    def _symmetric(self, sums: Array) -> Array:
        """Return sym of Σ w h ⊗ y (N, 3, n), flattened: (N, A · n)."""
        xp, scale = self.xp, self._inverse(self.config.use_sqrt_nnei)
        h = sums * (scale if self.slots.smooth else scale[:, :, None])
        first = h[:, :, : self.config.axis_neuron] * (1.0 / 3.0)
        product = xp.matmul(xp.matrix_transpose(first), h)
        return xp.reshape(product, (h.shape[0], self.config.axis_neuron * h.shape[2]))

    def _of_pairs(self, old: Features, gamma: Array, attention: Array | None) -> list[Array]:
        """Return the updates of e."""
        config, xp, maps = self.config, self.xp, self.maps
        found = [self._phi(_linear(xp, maps["linear2"], old.e))]
        if config.update_g2_has_g1g1:
            product = _linear(xp, maps["proj_g1g1g2"], old.g[:, None, :] * gamma)
            found.append(product * self.slots.weight[:, :, None])
        if config.update_g2_has_attn:
            heard = attend_pairs(xp, maps["attn2_mh_apply"], old.e, attention)
            norm = maps["attn2_lm"]
            epsilon = float(config.ln_eps or 0.0)
            found.append(layer_norm(xp, heard, scale=norm["w"], shift=norm["b"], epsilon=epsilon))
        return found


def _linear(xp: Any, own: Tree, x: Array) -> Array:
    """Return x W + b, or x W, for x (…, n)."""
    w = own["w"]
    y = xp.matmul(xp.reshape(x, (-1, w.shape[0])), w)
    if "b" in own:
        y = y + own["b"]
    return y if len(x.shape) == 2 else xp.reshape(y, (*x.shape[:-1], w.shape[1]))
