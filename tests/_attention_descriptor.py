r"""A descriptor with attention and message passing, as a forward pass only.

The pairs of an atom attend to one another as in DPA-1, gated by the cosines of the angles between
them; one round of messages along the pairs follows. With the quintic switch w (1 up to ``SMOOTH``,
0 from ``RCUT`` on) and the unit vectors u,

.. math::

   R_j = \frac{w_j}{r_j} (1, u_j), \quad
   g_j = N(w_j / r_j, c_i, c_j), \quad
   a_{jk} = \mathrm{softmax}_k\big[(q_j \cdot k_k / \sqrt H + 20) w_j w_k - 20\big]
            \, w_j w_k \, u_j \cdot u_k ,

.. math::

   g \leftarrow \mathrm{norm}(g + a v O), \quad
   T = R^{\mathsf T} g / K, \quad D = T^{\mathsf T} T_{:, :A}, \quad
   h = \tanh(D P), \quad m_i = \tanh\Big(\sum_j w_j h_{j(i)} Q\Big) .

The features of an atom are D and m. Source: Zhang et al., arXiv:2208.08236 (DPA-1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from multifit.autodiff import ReverseArithmetic, with_pullback
from multifit.backend import Arithmetic
from multifit.nn import networks as net
from multifit.nn.attention import layer_norm, softmax
from multifit.tree import Tree

Array = Any

RCUT, SMOOTH = 3.6, 1.2
TYPES, WIDTH, HEADS, AXIS = 4, 8, 6, 3
SHIFT = 20.0

EMBEDDING = net.Network(
    (
        net.Layer(1 + 2 * TYPES, WIDTH, "gelu"),
        net.Layer(WIDTH, WIDTH, "tanh", resnet=True, timestep=True),
    )
)
FITTING = net.fitting_network(WIDTH * AXIS + WIDTH, 1, (10, 10), activation_function="silu")


def init(seed: int, ntypes: int = 2) -> Tree:
    """Return random parameters of the descriptor."""
    rng = np.random.default_rng(seed)

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) / math.sqrt(shape[0])

    return {
        "types": rng.normal(size=(ntypes, TYPES)),
        "embedding": net.init_network(EMBEDDING, [seed, 1]),
        "attention": {
            **{name: matrix(WIDTH, HEADS) for name in ("query", "key", "value")},
            "out": matrix(HEADS, WIDTH),
            "scale": rng.normal(1.0, 0.1, size=WIDTH),
            "shift": rng.normal(0.0, 0.1, size=WIDTH),
        },
        "message": {"send": matrix(WIDTH * AXIS, WIDTH), "receive": matrix(WIDTH, WIDTH)},
    }


def _switch(xp: Any, r: Array, mask: Array) -> Array:
    """Return w (N, K), zero in empty slots."""
    u = xp.minimum(xp.maximum((r - SMOOTH) * (1.0 / (RCUT - SMOOTH)), 0.0), 1.0)
    return (u * u * u * (-6.0 * u * u + 15.0 * u - 10.0) + 1.0) * mask


def _attended(xp: Any, params: Tree, g: Array, u: Array, w: Array) -> Array:
    """Return g (N, K, M) after the pairs have attended to one another."""
    q, k, v = (xp.matmul(g, params[name]) for name in ("query", "key", "value"))
    both = w[:, :, None] * w[:, None, :]
    logits = xp.matmul(q, xp.matrix_transpose(k)) * (1.0 / math.sqrt(HEADS))
    weights = softmax(xp, (logits + SHIFT) * both - SHIFT, axis=-1) * both
    weights = weights * xp.matmul(xp.matrix_transpose(u), u)
    g = g + xp.matmul(xp.matmul(weights, v), params["out"])
    return layer_norm(xp, g, scale=params["scale"], shift=params["shift"])


def forward(xp: Any, params: Tree, rij: Array, index: Array, mask: Array, types: Array) -> Array:
    """Return features (N, D).

    Parameters
    ----------
    xp
        The namespace of a framework, or :class:`multifit.autodiff.Reverse`.
    rij
        Pair vectors (N, 3, K), zero in empty slots.
    index
        The neighbour of each pair, (N, K).
    mask
        1.0 for pairs and 0.0 for empty slots, (N, K).
    types
        Types of the atoms, (N,).
    """
    n, _, slots = rij.shape
    flat = xp.reshape(index, (-1,))
    r = xp.sqrt(xp.sum(rij * rij, axis=1) + (1.0 - mask))
    w = _switch(xp, r, mask)
    u = rij / r[:, None, :]
    s = w / r
    own = xp.take(params["types"], types, axis=0)
    theirs = xp.reshape(xp.take(own, flat, axis=0), (n, slots, TYPES))
    own = xp.broadcast_to(own[:, None, :], (n, slots, TYPES))
    pairs = xp.concat([s[:, :, None], own, theirs], axis=-1)
    g, _ = net.apply_network(
        xp, EMBEDDING, params["embedding"], xp.reshape(pairs, (n * slots, 1 + 2 * TYPES))
    )
    g = _attended(xp, params["attention"], xp.reshape(g, (n, slots, WIDTH)), u, w)
    radial = s[:, None, :]
    t = xp.matmul(xp.concat([radial, radial * u], axis=1), g) * (1.0 / slots)
    d = xp.matmul(xp.matrix_transpose(t), t[:, :, :AXIS])
    d = xp.reshape(d, (n, WIDTH * AXIS))
    sent = xp.tanh(xp.matmul(d, params["message"]["send"]))
    heard = xp.reshape(xp.take(sent, flat, axis=0), (n, slots, WIDTH)) * w[:, :, None]
    received = xp.tanh(xp.matmul(xp.sum(heard, axis=1), params["message"]["receive"]))
    return xp.concat([d, received], axis=-1)


# A model of it, and systems.


@dataclass(frozen=True)
class Pairs:
    """Atoms of some frames, with the pairs within the cut-off."""

    coord: np.ndarray  #: (N, 3)
    offset: np.ndarray  #: (N, K, 3): the lattice vectors to the neighbours' images
    rest: Tree  #: index, mask, types, frame, counts


def pair_vectors(xp: Any, coord: Array, offset: Array, index: Array, mask: Array) -> Array:
    """Return the pair vectors (N, 3, K) of coordinates (N, 3)."""
    n, slots = index.shape
    there = xp.reshape(xp.take(coord, xp.reshape(index, (-1,)), axis=0), (n, slots, 3))
    vectors = there + offset - xp.reshape(coord, (n, 1, 3))
    return xp.matrix_transpose(vectors * xp.reshape(mask, (n, slots, 1)))


def crystals(frames: int = 2, seed: int = 0, slots: int = 20) -> Pairs:
    """Return disordered cubic crystals of eight atoms, and a lonely atom in the last frame."""
    rng = np.random.default_rng(seed)
    length, coord, offset, index, mask = 5.0, [], [], [], []
    images = length * (np.indices((3, 3, 3)).reshape(3, -1).T - 1)
    for frame in range(frames):
        sites = np.indices((2, 2, 2)).reshape(3, -1).T * (length / 2)
        x = sites + rng.normal(scale=0.25, size=sites.shape)
        d = x[None, :, None, :] + images - x[:, None, None, :]
        far = np.linalg.norm(d, axis=-1).reshape(8, -1)
        far[far == 0.0] = np.inf
        order = np.argsort(far, axis=1)[:, :slots]
        coord.append(x)
        index.append(order // 27 + 8 * frame)
        offset.append(images[order % 27])
        mask.append(np.take_along_axis(far, order, 1) < RCUT)
    coord.append(np.zeros((1, 3)))
    index.append(np.zeros((1, slots), dtype=np.int64))
    offset.append(np.zeros((1, slots, 3)))
    mask.append(np.zeros((1, slots), dtype=bool))
    n = 8 * frames + 1
    rest = {
        "index": np.concatenate(index),
        "mask": np.concatenate(mask).astype(np.float64),
        "types": np.arange(n) % 2,
        "frame": np.minimum(np.arange(n) // 8, frames - 1),
        "counts": np.array([8] * (frames - 1) + [9]),
    }
    return Pairs(np.concatenate(coord), np.concatenate(offset), rest)


def init_model(seed: int) -> Tree:
    """Return random parameters of the descriptor and its fitting net."""
    return {"descriptor": init(seed), "fitting": net.init_network(FITTING, [seed, 2])}


def atom_energies(
    xp: Any, params: Tree, rij: Array, index: Array, mask: Array, types: Array
) -> Array:
    """Return atomic energies (N,)."""
    d = forward(xp, params["descriptor"], rij, index, mask, types)
    energy, _ = net.apply_network(xp, FITTING, params["fitting"], d)
    return energy[:, 0]


def energy_and_forces(base: Arithmetic, params: Tree, rij: Array, rest: Tree) -> Tree:
    """Return energies of frames and forces (N, 3) of atoms, by reverse mode."""
    xp = base.xp

    def energies(a: ReverseArithmetic, x: Any) -> Any:
        given = a.lift({"params": params, "mask": rest["mask"]})
        return atom_energies(a.xp, given["params"], x, rest["index"], given["mask"], rest["types"])

    energy, pull = with_pullback(base, energies, rij)
    (g,) = pull(xp.ones_like(energy))
    n, frames = rij.shape[0], rest["counts"].shape[0]
    ends = xp.reshape(xp.matrix_transpose(g), (-1, 3))
    force = xp.sum(g, axis=2) - base.segment_sum(ends, xp.reshape(rest["index"], (-1,)), n)
    return {"energy": base.segment_sum(energy, rest["frame"], frames), "force": force}
