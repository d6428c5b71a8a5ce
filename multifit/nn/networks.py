r"""Dense residual networks and their pullbacks.

A layer maps x (n, n_in) to

.. math:: y = r(x) + d \odot \phi(x W + b),

with the residual r(x) = x for equal widths, [x, x] for a doubled width, 0 otherwise, and an
optional trainable timestep d (``idt``). Source: the DeePMD-kit documentation, "Fit energy".

=========  ==========================
symbol     parameter, shape
=========  ==========================
W          ``w``, (n_in, n_out)
b          ``b``, (n_out,)
d          ``idt``, (n_out,)
=========  ==========================
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import precision as prec
from ..backend import Rules
from ..tree import Tree, numbered, numbered_values
from .activations import activation
from .columns import is_thin, products, turned

Array = Any
Pullback = Callable[[Array], Array]
Seed = int | Sequence[int] | None


@dataclass(frozen=True)
class Layer:
    """The settings of one layer."""

    n_in: int
    n_out: int
    activation: str = "none"
    resnet: bool = False
    timestep: bool = False
    bias: bool = True
    precision: str = prec.GLOBAL
    trainable: bool = True

    @functools.cached_property
    def residual(self) -> str:
        """``"same"``, ``"double"`` or ``""``: how the input is added to the output."""
        if self.resnet and self.n_out == self.n_in:
            return "same"
        if self.resnet and self.n_out == 2 * self.n_in:
            return "double"
        return ""


@dataclass(frozen=True)
class Network:
    """The settings of a stack of layers."""

    layers: tuple[Layer, ...]

    @property
    def n_in(self) -> int:
        """Width of the input."""
        return self.layers[0].n_in

    @property
    def n_out(self) -> int:
        """Width of the output."""
        return self.layers[-1].n_out


def _has_timestep(n_in: int, n_out: int, wanted: bool) -> bool:
    return wanted and n_out in (n_in, 2 * n_in)


def hidden_layers(
    n_in: int,
    neuron: Sequence[int],
    activation_function: str,
    resnet_dt: bool,
    precision: str,
    trainable: Sequence[bool],
) -> tuple[Layer, ...]:
    """Return the residual layers of an embedding net, or of a fitting net before its output."""
    return tuple(
        Layer(
            n_in=a,
            n_out=b,
            activation=activation_function,
            resnet=True,
            timestep=_has_timestep(a, b, resnet_dt),
            precision=precision,
            trainable=flag,
        )
        for (a, b), flag in zip(pairwise([n_in, *neuron]), trainable, strict=True)
    )


def embedding_network(
    neuron: Sequence[int],
    *,
    activation_function: str = "tanh",
    resnet_dt: bool = False,
    precision: str = prec.GLOBAL,
    trainable: bool = True,
) -> Network:
    """Return the network of the descriptor: one number in, ``neuron[-1]`` out."""
    flags = [trainable] * len(neuron)
    return Network(hidden_layers(1, neuron, activation_function, resnet_dt, precision, flags))


def fitting_network(
    n_in: int,
    n_out: int,
    neuron: Sequence[int],
    *,
    activation_function: str = "tanh",
    resnet_dt: bool = True,
    precision: str = prec.GLOBAL,
    output_precision: str | None = None,
    trainable: Sequence[bool] = (),
) -> Network:
    """Return hidden layers and a linear output layer.

    Parameters
    ----------
    output_precision
        Of the output layer, if it is another.
    trainable
        len(neuron)+1 entries.
    """
    flags = list(trainable) or [True] * (len(neuron) + 1)
    hidden = hidden_layers(n_in, neuron, activation_function, resnet_dt, precision, flags[:-1])
    last = Layer(
        n_in=neuron[-1] if neuron else n_in,
        n_out=n_out,
        precision=output_precision or precision,
        trainable=flags[-1],
    )
    return Network((*hidden, last))


def child_seed(seed: Seed, index: int) -> Seed:
    """Return the seed of the index-th part, as DeePMD-kit derives it: [index, *seed]."""
    if seed is None:
        return None
    return [index, seed] if isinstance(seed, int) else [index, *seed]


def descendant(seed: Seed, path: tuple[int, ...]) -> Seed:
    """Return the child seed at the end of a path."""
    for k in path:
        seed = child_seed(seed, k)
    return seed


def init_layer(layer: Layer, seed: Seed) -> dict[str, np.ndarray]:
    """Return random parameters: W ~ N(0, 1/(n_in+n_out)), b ~ N(0, 1), d ~ N(0.1, 1e-6).

    The numbers are those of DeePMD-kit's NumPy core for the same seed.
    """
    rng = np.random.default_rng(seed)
    dtype = prec.numpy_dtype(layer.precision)
    shape = (layer.n_in, layer.n_out)
    drawn = {"w": rng.normal(scale=1.0 / np.sqrt(sum(shape)), size=shape)}
    if layer.bias:
        drawn["b"] = rng.normal(size=layer.n_out)
    if layer.timestep:
        drawn["idt"] = 0.1 + rng.normal(scale=0.001, size=layer.n_out)
    return {name: x.astype(dtype) for name, x in drawn.items()}


def init_network(network: Network, seed: Seed) -> Tree:
    """Return random parameters ``{"layers": {"0": {"w", "b"[, "idt"]}, …}}``."""
    drawn = [init_layer(layer, child_seed(seed, k)) for k, layer in enumerate(network.layers)]
    return {"layers": numbered(drawn)}


def trainable_names(network: Network) -> Iterator[str]:
    """Yield the dotted names of the trainable parameters."""
    for k, layer in enumerate(network.layers):
        if layer.trainable:
            names = ["w"] + ["b"] * layer.bias + ["idt"] * layer.timestep
            yield from (f"layers.{k}.{name}" for name in names)


def apply_layer(
    xp: Any,
    layer: Layer,
    params: Tree,
    x: Array,
    columns: bool = False,
    rules: Rules | None = None,
) -> tuple[Array, Pullback]:
    """Return y (n, n_out) and the pullback ȳ (n, n_out) → x̄ (n, n_in), in the layer's precision.

    Both may have an axis for nets before the others if the parameters do (``groups.nets_of``).
    With ``columns`` x, y and their derivatives are transposed, (nets, n_in, n) and so on, and
    ``rules`` are those of :func:`.columns.products`.
    """
    # Parameters of half precision are kept in float32.
    p = {name: prec.narrow(xp, value, layer.precision) for name, value in params.items()}
    x = prec.narrow(xp, x, layer.precision)
    axis = -2 if columns else -1
    if columns:
        u, back = products(xp, rules, p.pop("w"), x)
        p = {k: v[:, None] if v.ndim == 1 else xp.matrix_transpose(v) for k, v in p.items()}
    else:
        u = xp.matmul(x, p["w"])

        def back(u_bar: Array) -> Array:
            return xp.matmul(u_bar, xp.matrix_transpose(p["w"]))

    if layer.bias:
        u = u + p["b"]
    y, slope = activation(layer.activation)(xp, u)
    if layer.timestep:
        y = y * p["idt"]
    if layer.residual == "same":
        y = y + x
    elif layer.residual == "double":
        y = y + xp.concat([x, x], axis=axis)

    def pullback(y_bar: Array) -> Array:
        y_bar = prec.narrow(xp, y_bar, layer.precision)
        u_bar = y_bar * slope()
        if layer.timestep:
            u_bar = u_bar * p["idt"]
        x_bar = back(u_bar)
        if layer.residual == "same":
            x_bar = x_bar + y_bar
        elif layer.residual == "double":
            halves = (slice(None, layer.n_in), slice(layer.n_in, None))
            first, second = (y_bar[..., h, :] if columns else y_bar[..., h] for h in halves)
            x_bar = x_bar + first + second
        return x_bar

    return y, pullback


def apply_network(
    xp: Any,
    network: Network,
    params: Tree,
    x: Array,
    compiled: bool = False,
    rules: Rules | None = None,
) -> tuple[Array, Pullback]:
    """Return y (n, n_out) for x (n, n_in), and the pullback ȳ → x̄.

    All are as precise as x, but y and ȳ as the last layer if its precision is another.
    Both may have an axis for nets before the others if the parameters do (``groups.nets_of``).

    Parameters
    ----------
    compiled
        True to evaluate few rows of many nets as XLA does fastest.
    rules
        Those for the derivatives of their weights, if it is differentiated backwards only.
    """
    wide, pullbacks = x.dtype, []
    columns = compiled and is_thin(x, network.n_in)
    turn: Pullback = functools.partial(turned, xp) if columns else _unchanged
    first, last = network.layers[0].precision, network.layers[-1].precision
    x = turn(x)
    for layer, p in zip(network.layers, numbered_values(params["layers"]), strict=True):
        if layer.precision != first:
            x = prec.cast(xp, x, layer.precision)
        x, pull = apply_layer(xp, layer, p, x, columns, rules)
        pullbacks.append(pull)

    def pullback(y_bar: Array) -> Array:
        if last != first:
            y_bar = prec.cast(xp, y_bar, last)
        y_bar = turn(y_bar)
        for pull in reversed(pullbacks):
            y_bar = pull(y_bar)
            if last != first:
                y_bar = prec.cast(xp, y_bar, first)
        return xp.astype(turn(y_bar), wide, copy=False)

    x = turn(x)
    return x if last != first else xp.astype(x, wide, copy=False), pullback


def _unchanged(x: Array) -> Array:
    return x
