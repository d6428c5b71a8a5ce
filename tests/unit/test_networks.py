"""Networks: the formula, the shapes that take a residual, the pullbacks, the first parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _compare import same
from _derivatives import by_differences_of, by_framework, contracted, pulled

from multifit.backend import Backend, get_backend
from multifit.nn import networks as net
from multifit.nn.activations import NAMES
from multifit.support import FEATURES
from multifit.tree import Tree, flatten, map_leaves, unflatten

RNG = np.random.default_rng(0)
WIDTHS = {"same": (3, 3), "double": (3, 6), "": (3, 4)}


def _layer(residual: str, activation: str, timestep: bool, bias: bool = True) -> net.Layer:
    n_in, n_out = WIDTHS[residual]
    return net.Layer(n_in, n_out, activation, resnet=True, timestep=timestep, bias=bias)


def _layer_block(layer: net.Layer, params: Tree) -> Any:
    def block(backend: Backend, x: Any) -> Any:
        return net.apply_layer(backend.xp, layer, map_leaves(backend.asarray, params), x)

    return block


def _network_block(network: net.Network, params: Tree) -> Any:
    def block(backend: Backend, x: Any) -> Any:
        return net.apply_network(backend.xp, network, map_leaves(backend.asarray, params), x)

    return block


def _by_hand(layer: net.Layer, p: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return r(x) + d·tanh(xW + b), number by number."""
    y = np.zeros((len(x), layer.n_out))
    for row in range(len(x)):
        for o in range(layer.n_out):
            u = sum(x[row, i] * p["w"][i, o] for i in range(layer.n_in))
            u += p["b"][o] if layer.bias else 0.0
            y[row, o] = np.tanh(u) * (p["idt"][o] if layer.timestep else 1.0)
            if layer.n_out in (layer.n_in, 2 * layer.n_in):
                y[row, o] += x[row, o % layer.n_in]
    return y


@pytest.mark.parametrize("residual", WIDTHS)
@pytest.mark.parametrize("timestep", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_follows_its_formula(residual: str, timestep: bool, bias: bool) -> None:
    layer = _layer(residual, "tanh", timestep and residual != "", bias)
    assert layer.residual == residual
    params = net.init_layer(layer, 1)
    x = RNG.normal(size=(4, layer.n_in))
    y, _ = _layer_block(layer, params)(get_backend("numpy"), x)
    same(y, _by_hand(layer, params, x), rtol=1e-14)


@pytest.mark.parametrize("residual", WIDTHS)
@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("timestep", [False, True])
def test_a_layers_pullback_is_its_derivative(
    residual: str, activation: str, timestep: bool, strict: StrictBackend
) -> None:
    layer = _layer(residual, activation, timestep)
    params = net.init_layer(layer, 3)
    x, y_bar = RNG.normal(size=(2, layer.n_in)), RNG.normal(size=(2, layer.n_out))
    block = _layer_block(layer, params)
    x_bar = pulled(get_backend("numpy"), block, x, y_bar)
    same(x_bar, by_differences_of(block, x, y_bar), rtol=1e-8)
    same(pulled(strict, block, x, y_bar), x_bar, rtol=1e-14)


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("activation", NAMES)
def test_a_networks_pullback_is_what_the_framework_derives(name: str, activation: str) -> None:
    network = net.embedding_network((2, 4, 4, 3), activation_function=activation, resnet_dt=True)
    assert [layer.residual for layer in network.layers] == ["double", "double", "same", ""]
    block = _network_block(network, net.init_network(network, 5))
    x, y_bar = RNG.normal(size=(3, 1)), RNG.normal(size=(3, 3))
    backend = get_backend(name)
    x_bar = pulled(backend, block, x, y_bar)
    same(x_bar, by_framework(backend, contracted(backend, block, y_bar), x))
    same(x_bar, pulled(get_backend("numpy"), block, x, y_bar))


def test_a_fitting_network_ends_linear_and_without_a_residual() -> None:
    network = net.fitting_network(4, 4, (4,), activation_function="relu")
    hidden, last = network.layers
    assert (hidden.residual, hidden.timestep, hidden.activation) == ("same", True, "relu")
    assert (last.residual, last.timestep, last.activation) == ("", False, "none")
    block = _network_block(network, net.init_network(network, 6))
    x, y_bar = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))
    x_bar = pulled(get_backend("numpy"), block, x, y_bar)
    same(x_bar, by_differences_of(block, x, y_bar), rtol=1e-8)


def test_a_fitting_network_without_hidden_layers_is_linear() -> None:
    network = net.fitting_network(3, 1, ())
    params = net.init_network(network, 0)
    x = RNG.normal(size=(5, 3))
    y, _ = net.apply_network(get_backend("numpy").xp, network, params, x)
    layer = params["layers"]["0"]
    same(y, x @ layer["w"] + layer["b"], rtol=1e-15)


def test_a_timestep_is_there_only_where_there_is_a_residual() -> None:
    network = net.fitting_network(5, 1, (7, 7, 14, 3), resnet_dt=True)
    assert [layer.timestep for layer in network.layers] == [False, True, True, False, False]


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
@pytest.mark.parametrize(("precision", "eps"), [("float16", 1e-3), ("bfloat16", 8e-3)])
@pytest.mark.parametrize("activation", NAMES)
def test_half_precision_rounds_and_no_more(
    name: str, precision: str, eps: float, activation: str
) -> None:
    if name not in FEATURES[precision].backends:
        pytest.skip(f"{name} has no {precision}")
    options: Any = {"activation_function": activation, "resnet_dt": True}
    network = net.embedding_network((3, 3, 6), precision=precision, **options)
    exact = net.embedding_network((3, 3, 6), precision="float32", **options)
    params = net.init_network(network, 5)
    same(params, net.init_network(exact, 5), rtol=0.0)  # kept in float32
    x, y_bar = (RNG.normal(size=(4, n)).astype(np.float32) for n in (1, 6))
    backend = get_backend(name)
    rounded, wanted = _network_block(network, params), _network_block(exact, params)
    y, pullback = rounded(backend, backend.asarray(x))
    x_bar = pullback(backend.asarray(y_bar))
    for got, want in (
        (y, wanted(get_backend("numpy"), x)[0]),
        (x_bar, pulled(get_backend("numpy"), wanted, x, y_bar)),
    ):
        host = backend.to_numpy(got)
        assert host.dtype == np.float32
        same(host, want, rtol=5 * eps)
        assert np.abs(host - want).max() > 1e-3 * eps


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_has_gradients(name: str, precision: str) -> None:
    if name not in FEATURES[precision].backends:
        pytest.skip(f"{name} has no {precision}")
    network = net.fitting_network(3, 1, (3, 6), precision=precision)
    exact = net.fitting_network(3, 1, (3, 6), precision="float32")
    params, x = net.init_network(network, 5), RNG.normal(size=(4, 3)).astype(np.float32)
    backend = get_backend(name)

    def gradient(network: net.Network) -> dict[str, np.ndarray]:
        def f(flat: Any) -> Any:
            y, pullback = net.apply_network(
                backend.xp, network, unflatten(flat), backend.asarray(x)
            )
            return backend.xp.sum(y * y) + backend.xp.sum(pullback(y)), {}

        flat = {key: backend.asarray(value) for key, value in flatten(params).items()}
        _, grads = backend.compile(backend.value_and_grad(f))(flat)
        return {key: backend.to_numpy(value) for key, value in grads.items()}

    got, want = gradient(network), gradient(exact)
    for key, value in got.items():
        assert value.dtype == np.float32
        same(value, want[key], rtol=0.1, atol=0.05 * float(np.abs(want[key]).max()) + 0.02)


def test_first_parameters_depend_on_nothing_but_the_seed() -> None:
    network = net.fitting_network(3, 1, (6, 6), precision="float32")
    one, two = (flatten(net.init_network(network, 11)) for _ in range(2))
    other = flatten(net.init_network(network, 12))
    assert list(one) == [
        *("layers.0.w", "layers.0.b", "layers.0.idt"),
        *("layers.1.w", "layers.1.b", "layers.1.idt"),
        *("layers.2.w", "layers.2.b"),
    ]
    for name in one:
        assert np.array_equal(one[name], two[name])
        assert not np.array_equal(one[name], other[name])
    assert {str(x.dtype) for x in one.values()} == {"float32"}


def test_first_parameters_have_the_promised_scale() -> None:
    layer = net.Layer(300, 200, resnet=True, timestep=True)
    p = net.init_layer(layer, 2)
    assert abs(p["w"].std() * np.sqrt(500) - 1.0) < 0.02
    assert abs(p["b"].std() - 1.0) < 0.2
    assert abs(p["idt"].mean() - 0.1) < 1e-3
    assert 5e-4 < p["idt"].std() < 2e-3


def test_a_frozen_layer_is_not_trained() -> None:
    network = net.fitting_network(3, 1, (3, 3), trainable=(True, False, True))
    names = set(net.trainable_names(network))
    assert names == {"layers.0.w", "layers.0.b", "layers.0.idt", "layers.2.w", "layers.2.b"}
    assert names < set(flatten(net.init_network(network, 0)))


def test_seeds_of_parts_differ() -> None:
    assert net.child_seed(None, 3) is None
    assert net.child_seed(5, 3) == [3, 5]
    assert net.child_seed([1, 2], 3) == [3, 1, 2]
