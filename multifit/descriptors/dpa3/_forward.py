r"""The layers: messages between nodes n_i, edges e_ij and angles a_ijk.

With the switches w and w^a, N = ``e_sel`` and N_a = ``a_sel`` (both divided by
``sel_reduce_factor`` with ``use_dynamic_sel``) and A = ``axis_neuron``, a layer has the updates

.. math::

   n_i &:\; \phi(n_i W), \quad \phi\big([\mathrm{sym}(e), \mathrm{sym}(n_j)] W\big), \quad
            \tfrac1N \sum_j w_{ij}\, \phi\big([n_i, n_j, e_{ij}] W\big) \\
   e_{ij} &:\; \phi\big([n_i, n_j, e_{ij}] W\big), \quad \phi(q_{ij} W), \quad
   q_{ij} = \tfrac{1}{\sqrt{N_a}} \sum_k w^a_{ij} w^a_{ik}\,
            \phi\big([a_{ijk}, n_i, e_{ik}, e_{ij}] W\big) \\
   a_{ijk} &:\; \phi\big([a_{ijk}, n_i, e_{ik}, e_{ij}] W\big)

(each map with a bias), where sym(y) = H[:, :A]ᵀ H / 3 and H = N^{-1/2} Σ_j w_ij h_ij ⊗ y_ij. Maps
of several inputs are sums of maps of each: a node is multiplied once, not once for each of its
pairs, and maps of the same inputs are one product. Updates that nothing depends on are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ... import precision as prec
from ...nn.activations import activated
from ...tree import Tree
from .._updates import combined
from ._geometry import Graph, graph
from ._layers import angle_widths, compresses

if TYPE_CHECKING:
    from ._descriptor import Dpa3

Array = Any


class State(NamedTuple):
    """Features of N atoms, E pairs and A² angles of each."""

    node: Array  #: (N, n_dim)
    edge: Array  #: (N, E, e_dim)
    angle: Array | None  #: (N, A, A, a_dim)


class Wanted(NamedTuple):
    """The features that are needed after a layer; nodes always are."""

    edge: bool
    angle: bool


@dataclass(frozen=True)
class RepflowLayers:
    """The layers of dpa3, in the form of :class:`.._messages.Layers`."""

    config: Dpa3

    #: What pullbacks lead to: the first nodes depend on types alone.
    sources: ClassVar[tuple[str, ...]] = ("rij",)

    @property
    def number(self) -> int:
        """Number of layers."""
        return self.config.nlayers

    def kept(self, k: int) -> list[str]:
        """Return the names of the features of pairs and angles that layer k > 0 takes."""
        edge, angle = self._wanted(k - 1)
        return ["edge"] * edge + ["angle"] * (angle and self.config.update_angle)

    def _wanted(self, k: int) -> tuple[bool, bool]:
        """Return True for pairs and for angles if they are needed after layer k."""
        if self.config.sequential_update:  # a layer uses its own new features
            return True, True
        left = self.config.nlayers - 1 - k
        return left >= 1, left >= 2  # edges act on nodes one layer later, angles on edges

    def pairs(self, xp: Any, known: Tree) -> Graph:
        """Return the start of pairs and angles, from the result of :func:`._geometry.pairs_of`."""
        return graph(xp, self.config, known, known["rij"])

    def start(self, xp: Any, params: Tree, pairs: Graph) -> Tree:
        """Return the features of pairs and angles before the first layer."""
        config = self.config
        edge = _mapped(xp, config, params["edge_embd"], pairs.radial[:, :, None])
        if not config.edge_init_use_dist:
            edge = activated(xp, config.activation_function, edge)
        if not config.update_angle:
            return {"edge": edge}
        angle = _mapped(xp, config, params["angle_embd"], pairs.cosine[:, :, :, None])
        return {"edge": edge, "angle": angle}

    def layer(self, xp: Any, k: int, params: Tree, pairs: Graph, given: Tree, near: Array) -> Tree:
        """Return the features after layer k."""
        layer = _Layer(xp, self.config, params["layers"][str(k)], pairs)
        old = State(given["node"], given["edge"], given.get("angle"))
        if self.config.sequential_update:
            return layer.one_by_one(old, near)._asdict()
        return layer.at_once(old, near, Wanted(*self._wanted(k)))._asdict()


class _Layer:
    """One layer of a batch."""

    def __init__(self, xp: Any, config: Dpa3, params: Tree, graph: Graph) -> None:
        self.xp, self.config, self.params, self.graph = xp, config, params, graph

    def at_once(self, old: State, near: Array, wanted: Wanted) -> State:
        """Return new features, all from the old ones."""
        config = self.config
        heads = config.n_multi_edge_message * config.n_dim
        names = ("node_edge_linear", "edge_self_linear")[: 1 + wanted.edge]
        both = self._of_pairs(names, old.node, near, old.edge)
        node = self._new_node(old, near, both[:, :, :heads])
        edge, angle = old.edge, old.angle
        if wanted.edge:
            updates = [both[:, :, heads:]]
            if angle is not None:
                names = ("edge_angle_linear1", "angle_self_linear")[: 1 + wanted.angle]
                each = self._of_angles(names, angle, old)
                e = config.e_dim
                updates.append(self._by_angles(each[:, :, :, :e], old.edge))
                if wanted.angle:
                    angle = self._combined("a_residual", angle, [each[:, :, :, e:]])
            edge = self._combined("e_residual", old.edge, updates)
        return State(node, edge, angle)

    def one_by_one(self, old: State, near: Array) -> State:
        """Return new features: edges, then angles from these, then edges again, then nodes."""
        params = self.params
        edge = self._of_pairs(("edge_self_linear",), old.node, near, old.edge)
        middle = old._replace(edge=old.edge + params["e_residual"]["0"] * edge)
        own = self._of_angles(("angle_self_linear",), old.angle, middle)
        angle = old.angle + params["a_residual"]["0"] * own
        each = self._of_angles(("edge_angle_linear1",), angle, middle)
        message = self._by_angles(each, middle.edge)
        edge = middle.edge + params["e_residual"]["1"] * message
        messages = self._of_pairs(("node_edge_linear",), old.node, near, edge)
        new = old._replace(edge=edge)
        return State(self._new_node(new, near, messages), edge, angle)

    def _weights(self, names: Sequence[str]) -> tuple[Array, Array]:
        """Return the weights and biases of several maps of the same input as one."""
        each = [self.params[name] for name in names]
        if len(each) == 1:
            return each[0]["w"], each[0]["b"]
        concat = self.xp.concat
        return concat([p["w"] for p in each], axis=1), concat([p["b"] for p in each], axis=0)

    def _of_pairs(self, names: Sequence[str], node: Array, near: Array, edge: Array) -> Array:
        """Return φ of maps of both nodes and the edge, (N, E, …)."""
        xp, config, n = self.xp, self.config, self.config.n_dim
        w, b = self._weights(names)
        own = _product(xp, config, node, w[:n, :]) + b
        both = own[:, None, :] + _product(xp, config, near, w[n : 2 * n, :])
        both = both + _product(xp, config, edge, w[2 * n :, :])
        return activated(xp, config.activation_function, both)

    def _of_angles(self, names: Sequence[str], angle: Array, old: State) -> Array:
        """Return φ of maps of the angle, the node and both edges, (N, A, A, …)."""
        xp, config = self.xp, self.config
        node, edge = self._inputs_of_angles(old)
        w, b = self._weights(names)
        a = config.a_dim
        of_node, of_edge = angle_widths(config)
        ends = (a, a + of_node, a + of_node + of_edge)
        own = _product(xp, config, node, w[ends[0] : ends[1], :]) + b
        last = _product(xp, config, edge, w[ends[1] : ends[2], :])
        first = _product(xp, config, edge, w[ends[2] :, :]) + own[:, None, :]
        both = _product(xp, config, angle, w[:a, :])
        both = both + last[:, None, :, :] + first[:, :, None, :]
        return activated(xp, config.activation_function, both)

    def _inputs_of_angles(self, old: State) -> tuple[Array, Array]:
        """Return nodes and edges as input of angles, compressed if they are to be."""
        xp, config, params = self.xp, self.config, self.params
        node, edge = old.node, old.edge[:, : self.graph.inner.shape[1], :]
        if compresses(config):
            node = _product(xp, config, node, params["a_compress_n_linear"]["w"])
            edge = _product(xp, config, edge, params["a_compress_e_linear"]["w"])
        elif config.a_compress_rate:
            of_node, of_edge = angle_widths(config)
            node, edge = node[:, :of_node], edge[:, :, :of_edge]
        return node, edge

    def _by_angles(self, each: Array, edge: Array) -> Array:
        """Return the update of edges by the messages of angles, (N, E, e_dim)."""
        xp, config, graph = self.xp, self.config, self.graph
        w = graph.fading
        q = xp.sum(each * w[:, None, :, None], axis=2)
        q = q * (w * (1.0 / math.sqrt(config.a_norm)))[:, :, None]
        n, slots, width = edge.shape
        inner = w.shape[1]
        if not config.smooth_edge_update:
            own = graph.inner[:, :, None]
            q = q * own + edge[:, :inner, :] * (1.0 - own)
            if slots > inner:
                q = xp.concat([q, edge[:, inner:, :]], axis=1)
        elif slots > inner:
            q = xp.concat([q, xp.zeros((n, slots - inner, width), dtype=q.dtype)], axis=1)
        found = _mapped(xp, config, self.params["edge_angle_linear2"], q)
        return activated(xp, config.activation_function, found)

    def _new_node(self, old: State, near: Array, messages: Array) -> Array:
        """Return new nodes; the messages are of edges, (N, E, K · n_dim)."""
        xp, config, params = self.xp, self.config, self.params
        name = config.activation_function
        own = activated(xp, name, _mapped(xp, config, params["node_self_mlp"], old.node))
        both = [self._symmetric(old.edge), self._symmetric(near)]
        sym = _mapped(xp, config, params["node_sym_linear"], xp.concat(both, axis=1))
        w = (self.graph.switch * (1.0 / config.e_norm))[:, None, :]
        sent = xp.matmul(w, messages)[:, 0, :]
        n = config.n_dim
        heads = [sent[:, k * n : (k + 1) * n] for k in range(config.n_multi_edge_message)]
        return self._combined("n_residual", old.node, [own, activated(xp, name, sym), *heads])

    def _symmetric(self, y: Array) -> Array:
        """Return sym(y), (N, A · width), for y of pairs, (N, E, width)."""
        xp, axis = self.xp, self.config.axis_neuron
        h = xp.matmul(self.graph.frame, y) * (1.0 / math.sqrt(self.config.e_norm))
        found = xp.matmul(xp.matrix_transpose(h[:, :, :axis]), h) * (1.0 / 3.0)
        return xp.reshape(found, (y.shape[0], axis * y.shape[2]))

    def _combined(self, name: str, old: Array, updates: Sequence[Array]) -> Array:
        """Return a feature with its updates."""
        return combined(self.config.update_style, old, updates, self.params.get(name))


def _product(xp: Any, config: Dpa3, x: Array, w: Array) -> Array:
    """Return x W for x (…, n_in), in one product, as precise as x."""
    name = prec.canonical(config.precision)
    flat = prec.narrow(xp, xp.reshape(x, (-1, x.shape[-1])), name)
    found = prec.cast(xp, xp.matmul(flat, prec.narrow(xp, w, name)), name)
    return xp.reshape(found, (*x.shape[:-1], w.shape[1]))


def _mapped(xp: Any, config: Dpa3, params: Tree, x: Array) -> Array:
    """Return x W + b, or x W without a bias."""
    found = _product(xp, config, x, params["w"])
    return found + params["b"] if "b" in params else found
