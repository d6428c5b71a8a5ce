"""Layers that pass messages, of all atoms at once or of a few at a time.

A layer couples atoms only through the features of neighbours, which are gathered from those of all
atoms. In pieces, the features before each layer are kept. The pullback computes each layer of each
piece again, so that nothing else is: neither the arrays within layers nor those of other pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..autodiff import ReverseArithmetic, with_pullback
from ..backend import Arithmetic, each
from ..tree import Tree
from ._pieces import Pieces

Array = Any
Pullback = Callable[[Array], Tree]  #: cotangents of nodes (N, n) → those of what layers start from


class Layers(Protocol):
    """Layers, each a function of the features of some atoms, their pairs and their neighbours."""

    @property
    def number(self) -> int:
        """Number of layers."""
        ...

    @property
    def sources(self) -> Sequence[str]:
        """Names of what pullbacks lead to: arrays of pairs, and ``node``, the first nodes."""
        ...

    def kept(self, k: int) -> Sequence[str]:
        """Return the names of the features of pairs that layer k > 0 takes."""
        ...

    def pairs(self, xp: Any, known: Tree) -> Any:
        """Return what all layers use of the pairs, in the form of the layers."""
        ...

    def start(self, xp: Any, params: Tree, pairs: Any) -> Tree:
        """Return the features of pairs before the first layer."""
        ...

    def layer(self, xp: Any, k: int, params: Tree, pairs: Any, given: Tree, near: Array) -> Tree:
        """Return ``node`` and, as far as layer k + 1 takes them, features of pairs after layer k.

        Parameters
        ----------
        params
            Of all layers.
        given
            The same before the layer.
        near
            Nodes of the neighbours of each atom, (N, P, n).
        """
        ...


def apply(
    arithmetic: Arithmetic, layers: Layers, params: Tree, known: Tree, node: Array, rows: int | None
) -> tuple[Array, Pullback]:
    """Return the nodes after the last layer (N, n), and the pullback to the sources, by name.

    Parameters
    ----------
    known
        Arrays of the pairs of N atoms, among them ``index`` (N, P), the rows of the neighbours.
    node
        Nodes before the first layer, (N, n).
    rows
        Atoms of a piece; None computes all at once.
    """
    if rows is None:
        return _whole(arithmetic, layers, params, known, node)
    run = _InPieces(arithmetic, layers, params, known, rows)
    *states, last = run.forward(node)
    return last["node"], lambda bar: run.backward(list(states), bar)


def _whole(
    arithmetic: Arithmetic, layers: Layers, params: Tree, known: Tree, node: Array
) -> tuple[Array, Pullback]:
    """Return the same, of all atoms at once."""
    given = {**known, "node": node}
    index = given.pop("index")

    def forward(recording: ReverseArithmetic, *sources: Array) -> Array:
        xp, own = recording.xp, recording.lift(params)
        here = recording.lift(given) | dict(zip(layers.sources, sources, strict=True))
        nodes = here.pop("node")
        pairs = layers.pairs(xp, here)
        state = {**layers.start(xp, own, pairs), "node": nodes}
        for k in range(layers.number):
            near = _near(xp, state["node"], index)
            state = layers.layer(xp, k, own, pairs, state, near)
        return state["node"]

    y, pull = with_pullback(arithmetic, forward, *(given[name] for name in layers.sources))
    return y, lambda bar: dict(zip(layers.sources, pull(bar), strict=True))


def _near(xp: Any, node: Array, index: Array) -> Array:
    """Return the nodes of all neighbours, (N, P, n)."""
    n, slots = index.shape
    found = xp.take(node, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(found, (n, slots, node.shape[1]))


class _InPieces:
    """The layers of a batch, forwards and backwards."""

    def __init__(
        self, arithmetic: Arithmetic, layers: Layers, params: Tree, known: Tree, rows: int
    ) -> None:
        self.arithmetic, self.layers, self.params = arithmetic, layers, params
        natoms = known["index"].shape[0]
        self.pieces = Pieces(arithmetic.xp, {0: natoms}, rows)
        self.index = arithmetic.xp.reshape(known["index"], (-1,))
        self.known = self.pieces.all_blocks(known)
        self.of_pairs = [name for name in layers.sources if name != "node"]

    def forward(self, node: Array) -> list[Tree]:
        """Return the features before each layer and after the last, pairs in blocks."""
        states: list[Tree] = [{"node": node}]
        for k in range(self.layers.number):
            found = each(
                self.arithmetic, self._forward(k, states[k]["node"]), self._blocks(states[k])
            )
            states.append({**found, "node": self.pieces.joined(found["node"])})
        return states

    def backward(self, states: list[Tree], node_bar: Array) -> Tree:
        """Return the cotangents of the sources from those of the last nodes (N, n)."""
        bars: Tree = {"node": self.pieces.blocks(node_bar)}
        total: Tree = {}
        for k in reversed(range(self.layers.number)):
            state = states.pop()
            blocks = {**self._blocks(state), "bars": bars}
            bars = each(self.arithmetic, self._backward(k, state["node"]), blocks)
            for name in self.of_pairs:
                part = bars.pop(name)
                total[name] = total[name] + part if name in total else part
            if "near" in bars:
                bars["node"] = bars["node"] + self.pieces.blocks(self._sent(bars.pop("near")))
        if "node" in self.layers.sources:
            total["node"] = bars["node"]
        return {name: self.pieces.joined(x) for name, x in total.items()}

    def _sent(self, near_bar: Array) -> Array:
        """Return what neighbours contribute to the cotangents of nodes, (N, n)."""
        flat = self.pieces.joined(near_bar)
        flat = self.arithmetic.xp.reshape(flat, (-1, flat.shape[2]))
        return self.arithmetic.segment_sum(flat, self.index, self.pieces.natoms)

    def _blocks(self, state: Tree) -> Tree:
        """Return the blocks that a layer takes."""
        return {**self.known, **state, "node": self.pieces.blocks(state["node"])}

    def _forward(self, k: int, node: Array) -> Callable[[Tree], Tree]:
        """Return the function of a block that gives the features after layer k."""
        xp = self.arithmetic.xp

        def run(block: Tree) -> Tree:
            near = _near(xp, node, block["index"])
            return self._layer(xp, k, self.params, {**block, "near": near})

        return run

    def _backward(self, k: int, node: Array) -> Callable[[Tree], Tree]:
        """Return the function of a block that gives the cotangents of what layer k takes."""
        names = list(self.of_pairs)
        if k or "node" in self.layers.sources:
            names += ["node", "near", *self._kept(k)]
        outputs = ["node", *self._kept(k + 1)]

        def run(block: Tree) -> Tree:
            given = {**block, "near": _near(self.arithmetic.xp, node, block["index"])}
            rest = {name: x for name, x in given.items() if name not in (*names, "bars", "index")}

            def forward(recording: ReverseArithmetic, *inputs: Array) -> list[Array]:
                whole = {**recording.lift(rest), **dict(zip(names, inputs, strict=True))}
                made = self._layer(recording.xp, k, recording.lift(self.params), whole)
                return [made[name] for name in outputs]

            _, pull = with_pullback(self.arithmetic, forward, *(given[name] for name in names))
            found = pull([block["bars"][name] for name in outputs])
            return dict(zip(names, found, strict=True))

        return run

    def _kept(self, k: int) -> Sequence[str]:
        """Return the features of pairs between layers; the first layer makes its own."""
        return self.layers.kept(k) if 0 < k < self.layers.number else ()

    def _layer(self, xp: Any, k: int, params: Tree, block: Tree) -> Tree:
        """Return the features of a block after layer k."""
        names = ("node", *self._kept(k))
        state = {name: block[name] for name in names}
        pairs = self.layers.pairs(
            xp, {key: x for key, x in block.items() if key not in ("near", *names)}
        )
        if not k:
            state |= self.layers.start(xp, params, pairs)
        made = self.layers.layer(xp, k, params, pairs, state, block["near"])
        return {name: made[name] for name in ("node", *self._kept(k + 1))}
