"""Layers of a few atoms at a time, so that memory is bounded.

A layer couples atoms only through the features of neighbours, which are gathered from those of all
atoms. The features before each layer are kept. The pullback computes each layer of each piece
again, so that nothing else is: neither the arrays within layers nor those of other pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...autodiff import ReverseArithmetic, with_pullback
from ...backend import Arithmetic, Backend, each
from ...nn.activations import activated
from ...tree import Tree, numbered_values
from .._planner import NoPlan
from .._protocol import Plan
from ._forward import State, start, update, wants
from ._geometry import graph

if TYPE_CHECKING:
    from ._descriptor import Dpa3

Array = Any

#: Bytes of the widest array of a piece: on a CPU it should stay in the cache, other devices need
#: more to be busy.
ON_CPU, ON_DEVICES = 1 << 23, 1 << 29

#: Neighbours of an atom in angles that the size of a piece is chosen for.
TYPICAL = 36

#: What a piece has of the pairs, besides their vectors.
CONSTANT = ("index", "mask", "inner", "scale", "shift")


class InPieces(NoPlan):
    """The planner of predictions: a plan that tells how many atoms are a piece."""

    def __init__(self, config: Dpa3, backend: Backend) -> None:
        rows = np.zeros(self._rows(config, backend))
        self.plan: Plan = Plan({"rows": rows}, {"rows": backend.asarray(rows)})

    @staticmethod
    def _rows(config: Dpa3, backend: Backend) -> int:
        """Return the atoms of a piece."""
        angles = min(config.a_sel, TYPICAL) ** 2 * (config.e_dim + config.a_dim)
        pairs = min(config.e_sel, TYPICAL**2) * config.n_dim
        numbers = max(pairs, angles * config.update_angle)
        return max(1, (ON_CPU if backend.on_cpu else ON_DEVICES) // (8 * numbers))

    def plan_for(self, nearest: np.ndarray, params: Callable[[], Tree]) -> Plan | None:
        """Return the plan, which serves all batches."""
        return self.plan


class _Pieces:
    """Arrays of N atoms as blocks of a number of rows, the last one padded with zeros."""

    def __init__(self, xp: Any, natoms: int, rows: int) -> None:
        self.xp, self.natoms, self.rows = xp, natoms, min(rows, natoms)
        self.number = -(-natoms // self.rows)

    def blocks(self, x: Array) -> Array:
        """Return (number, rows, …) from (N, …)."""
        more = self.number * self.rows - self.natoms
        if more:
            zeros = self.xp.zeros((more, *x.shape[1:]), dtype=x.dtype)
            x = self.xp.concat([x, zeros], axis=0)
        return self.xp.reshape(x, (self.number, self.rows, *x.shape[1:]))

    def joined(self, x: Array) -> Array:
        """Return (N, …) from (number, rows, …)."""
        flat = self.xp.reshape(x, (self.number * self.rows, *x.shape[2:]))
        return flat[: self.natoms, ...]


class _Layers:
    """The layers of a batch, forwards and backwards."""

    def __init__(
        self, arithmetic: Arithmetic, config: Dpa3, params: Tree, known: Tree, rows: int
    ) -> None:
        self.arithmetic, self.config, self.params = arithmetic, config, params
        self.layers = numbered_values(params["layers"])
        self.wants = wants(config)
        self.pieces = _Pieces(arithmetic.xp, known["centre"].shape[0], rows)
        self.index = arithmetic.xp.reshape(known["index"], (-1,))
        self.known = {name: self.pieces.blocks(known[name]) for name in ("rij", *CONSTANT)}

    def forward(self, types: Array) -> list[Tree]:
        """Return the features before each layer and after the last, pairs and angles in blocks."""
        node = activated(self.arithmetic.xp, self.config.activation_function, types)
        states: list[Tree] = [{"node": node, "types": self.pieces.blocks(types)}]
        for k in range(len(self.layers)):
            blocks = self._blocks(k, states[k])
            found = each(self.arithmetic, self._forward(k, states[k]["node"]), blocks)
            states.append({**found, "node": self.pieces.joined(found["node"])})
        return states

    def backward(self, states: list[Tree], node_bar: Array) -> Array:
        """Return ∂/∂r (N, 3, E) from the cotangents of the last nodes (N, n_dim)."""
        bars: Tree = {"node": self.pieces.blocks(node_bar)}
        total = None
        for k in reversed(range(len(self.layers))):
            state = states.pop()
            blocks = {**self._blocks(k, state), "bars": bars}
            bars = each(self.arithmetic, self._backward(k, state["node"]), blocks)
            part = bars.pop("rij")
            total = part if total is None else total + part
            if k:
                bars["node"] = bars["node"] + self.pieces.blocks(self._sent(bars.pop("near")))
        return self.pieces.joined(total)

    def _sent(self, near_bar: Array) -> Array:
        """Return what neighbours contribute to the cotangents of nodes, (N, n_dim)."""
        flat = self.pieces.joined(near_bar)
        flat = self.arithmetic.xp.reshape(flat, (-1, flat.shape[2]))
        return self.arithmetic.segment_sum(flat, self.index, self.pieces.natoms)

    def _kept(self, k: int) -> list[str]:
        """Return what is kept of pairs and angles before layer k: the first makes its own."""
        if k in (0, len(self.layers)):
            return []
        wanted = self.wants[k - 1]
        angle = self.config.update_angle and wanted.angle
        return ["edge"] * wanted.edge + ["angle"] * angle

    def _blocks(self, k: int, state: Tree) -> Tree:
        """Return the blocks that layer k takes."""
        given = {name: x for name, x in state.items() if name != "node"}
        return {**self.known, **given, "node": self.pieces.blocks(state["node"])}

    def _near(self, node: Array, block: Tree) -> Array:
        """Return the features of the neighbours of a block."""
        xp, (rows, slots) = self.arithmetic.xp, block["index"].shape
        found = xp.take(node, xp.reshape(block["index"], (-1,)), axis=0)
        return xp.reshape(found, (rows, slots, node.shape[1]))

    def _forward(self, k: int, node: Array) -> Callable[[Tree], Tree]:
        """Return the function of a block that gives the features after layer k."""

        def run(block: Tree) -> Tree:
            given = {**block, "near": self._near(node, block)}
            return self._layer(self.arithmetic.xp, k, self.params, given)

        return run

    def _backward(self, k: int, node: Array) -> Callable[[Tree], Tree]:
        """Return the function of a block that gives the cotangents of what layer k takes."""
        names = ["rij", *(["node", "near", *self._kept(k)] if k else [])]
        outputs = ["node", *self._kept(k + 1)]

        def run(block: Tree) -> Tree:
            given = {**block, "near": self._near(node, block)}
            rest = {name: x for name, x in given.items() if name not in (*names, "bars")}

            def forward(recording: ReverseArithmetic, *inputs: Array) -> list[Array]:
                whole = {**recording.lift(rest), **dict(zip(names, inputs, strict=True))}
                made = self._layer(recording.xp, k, recording.lift(self.params), whole)
                return [made[name] for name in outputs]

            _, pull = with_pullback(self.arithmetic, forward, *(given[name] for name in names))
            found = pull([block["bars"][name] for name in outputs])
            return dict(zip(names, found, strict=True))

        return run

    def _layer(self, xp: Any, k: int, params: Tree, given: Tree) -> Tree:
        """Return the features of a block after layer k.

        Parameters
        ----------
        given
            What the block has of pairs, and the features before the layer.
        """
        pairs = {name: given[name] for name in CONSTANT if name != "index"}
        made = graph(xp, self.config, pairs, given["rij"])
        if k:
            state = State(given["node"], given.get("edge"), given.get("angle"))
        else:
            state = start(xp, self.config, params, made, given["types"])
        layer = params["layers"][str(k)]
        new = update(xp, self.config, layer, made, state, given["near"], self.wants[k])
        return {name: getattr(new, name) for name in ("node", *self._kept(k + 1))}


def apply(
    arithmetic: Arithmetic, config: Dpa3, params: Tree, known: Tree, types: Array, rows: int
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the features of all atoms (N, n_dim), and the pullback to pair vectors.

    Parameters
    ----------
    known
        The result of :func:`._geometry.pairs_of`.
    types
        Embedded types of the atoms, (N, n_dim).
    rows
        Atoms of a piece.
    """
    layers = _Layers(arithmetic, config, params, known, rows)
    *states, last = layers.forward(types)
    return last["node"], lambda bar: layers.backward(list(states), bar)
