"""Activations: values by their textbook formulas, derivatives by differences and by frameworks."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xnp
import numpy as np
import pytest

from multifit.errors import ConfigError
from multifit.nn.activations import NAMES, activation

CASES = (*NAMES, "silut:1.5", "custom_silu:10", "silut:-0.5")
POINTS = (-40.0, -7.3, -3.0, -1.1, -0.2, 0.3, 1.7, 2.99, 3.5, 5.9, 6.2, 40.0)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _silut(x: float, t: float = 3.0) -> float:
    if x < t:
        return x * _sigmoid(x)
    slope = _sigmoid(t) + t * _sigmoid(t) * (1.0 - _sigmoid(t))
    return math.tanh(slope * (x - t)) + t * _sigmoid(t)


def _gelu(x: float) -> float:
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


FORMULAS: dict[str, Callable[[float], float]] = {
    "tanh": math.tanh,
    "gelu": _gelu,
    "gelu_tf": _gelu,
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "silut": _silut,
    "custom_silu": _silut,
    "silut:1.5": lambda x: _silut(x, 1.5),
    "custom_silu:10": lambda x: _silut(x, 10.0),
    "silut:-0.5": lambda x: _silut(x, -0.5),
    "none": lambda x: x,
    "linear": lambda x: x,
}

# deepmd-kit 3.2.0 (dpmodel) at x = -1.1, 0.3, 3.5.
PEER = {
    "tanh": (-0.8004990217606297, 0.2913126124515909, 0.9981778976111987),
    "gelu": (-0.14941895382548911, 0.18537092354275922, 3.499383802344626),
    "gelu_tf": (-0.14941895382548911, 0.18537092354275922, 3.499383802344626),
    "relu": (0.0, 0.3, 3.5),
    "relu6": (0.0, 0.3, 3.5),
    "softplus": (0.28733532511543075, 0.854355244468527, 3.5297504182726205),
    "sigmoid": (0.24973989440488234, 0.574442516811659, 0.9706877692486436),
    "silu": (-0.2747138838453706, 0.1723327550434977, 3.397407192370253),
    "silut": (-0.2747138838453706, 0.1723327550434977, 3.353771469103412),
    "custom_silu:1.5": (-0.2747138838453706, 0.1723327550434977, 2.195782571144699),
    "silut:-0.5": (-0.2747138838453706, 0.01631078984799164, 0.5891790317830283),
}


@pytest.mark.parametrize("name", CASES)
def test_values_follow_the_formulas(name: str) -> None:
    y, _ = activation(name)(xnp, np.asarray(POINTS))
    np.testing.assert_allclose(y, [FORMULAS[name](x) for x in POINTS], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", PEER)
def test_values_are_deepmd_kits(name: str) -> None:
    y, _ = activation(name)(xnp, np.asarray([-1.1, 0.3, 3.5]))
    np.testing.assert_allclose(y, PEER[name], rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("name", CASES)
def test_slope_is_the_derivative(name: str) -> None:
    x, h = np.linspace(-8.05, 11.95, 201), 1e-5  # 0, 6 and the thresholds lie between the points
    act = activation(name)
    _, slope = act(xnp, x)
    difference = (act(xnp, x + h)[0] - act(xnp, x - h)[0]) / (2 * h)
    np.testing.assert_allclose(slope(), difference, rtol=0, atol=2e-9)


@pytest.mark.parametrize("name", ["silut", "silut:1.5", "silut:-0.5"])
def test_silut_has_no_kink_at_its_threshold(name: str) -> None:
    t = float(name.partition(":")[2] or 3.0)
    y, slope = activation(name)(xnp, np.asarray([np.nextafter(t, -np.inf), t]))
    np.testing.assert_allclose(y[0], y[1], rtol=1e-14)
    np.testing.assert_allclose(slope()[0], slope()[1], rtol=1e-14)


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_slope_at_the_kink_is_zero(name: str) -> None:
    _, slope = activation(name)(xnp, np.asarray([0.0, -0.0]))
    assert slope().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_extreme_arguments_stay_finite(name: str, dtype: str) -> None:
    x = np.asarray([-700.0, -90.0, -0.0, 0.0, 90.0, 700.0], dtype=dtype)
    y, slope = activation(name)(xnp, x)
    assert y.dtype == slope().dtype == np.dtype(dtype)
    assert np.isfinite(y).all()
    assert np.isfinite(slope()).all()


def test_tails_keep_their_relative_accuracy() -> None:
    x = np.asarray([-30.0, -100.0, -700.0])
    for name in ("sigmoid", "softplus"):
        y, slope = activation(name)(xnp, x)
        np.testing.assert_allclose(y, np.exp(x), rtol=1e-12)
        np.testing.assert_allclose(slope(), np.exp(x), rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_not_a_number_is_not_hidden(name: str) -> None:
    y, _ = activation(name)(xnp, np.asarray([math.nan, 1.0]))
    assert np.isnan(y).tolist() == [True, False]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_the_standard_is_enough(name: str, dtype: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    points = np.asarray(POINTS, dtype=dtype).reshape(3, 4)
    x = strict.asarray(points)
    y, slope = activation(name)(strict, x)
    assert y.dtype == slope().dtype == x.dtype
    want, want_slope = activation(name)(xnp, points)
    np.testing.assert_array_equal(np.asarray(y), want)
    np.testing.assert_array_equal(np.asarray(slope()), want_slope())


# x = 0 is where a careless |x| or max(x, 0) gives a framework another derivative than ours.
FRAMEWORK_POINTS = [-700.0, -7.3, -1.1, -0.2, 0.0, 0.3, 2.9, 3.5, 5.9, 6.3, 700.0]


def _curvature(name: str) -> np.ndarray:
    """Return φ″ by differences of φ′, except at the kink of ReLU, where it is 0 by convention."""
    x, h = np.asarray(FRAMEWORK_POINTS), 1e-5
    act = activation(name)
    curvature: np.ndarray = (act(xnp, x + h)[1]() - act(xnp, x - h)[1]()) / (2 * h)
    return np.zeros_like(x) if name.startswith("relu") else curvature


@pytest.mark.parametrize("name", CASES)
def test_torch_differentiates_value_and_slope(name: str) -> None:
    torch = pytest.importorskip("torch")
    xp = importlib.import_module("array_api_compat.torch")
    x = torch.tensor(FRAMEWORK_POINTS, dtype=torch.float64, requires_grad=True)
    y, slope = activation(name)(xp, x)
    first = slope()
    (gradient,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    np.testing.assert_allclose(gradient.numpy(), first.detach().numpy(), rtol=1e-12, atol=1e-14)
    second = np.zeros(len(FRAMEWORK_POINTS))
    if first.requires_grad:
        second = torch.autograd.grad(first.sum(), x)[0].numpy()
    np.testing.assert_allclose(second, _curvature(name), rtol=0, atol=2e-9)


@pytest.mark.parametrize("name", CASES)
def test_jax_differentiates_value_and_slope(name: str) -> None:
    jax = pytest.importorskip("jax")
    jnp: Any = jax.numpy
    act = activation(name)
    with jax.enable_x64(True):
        x = jnp.asarray(FRAMEWORK_POINTS, dtype=jnp.float64)
        first = act(jnp, x)[1]()
        gradient = jax.grad(lambda v: jnp.sum(act(jnp, v)[0]))(x)
        second = jax.grad(lambda v: jnp.sum(act(jnp, v)[1]()))(x)
    np.testing.assert_allclose(np.asarray(gradient), np.asarray(first), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.asarray(second), _curvature(name), rtol=0, atol=2e-9)


@pytest.mark.parametrize("name", ["TANH", " Gelu_TF", "Custom_SiLU:3.0", "None"])
def test_case_does_not_matter(name: str) -> None:
    x = np.asarray(POINTS)
    y, _ = activation(name)(xnp, x)
    np.testing.assert_array_equal(y, activation(name.strip().lower())(xnp, x)[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tahn", r"unknown activation function 'tahn' \(did you mean 'tanh'\?\)"),
        ("swish", "known are tanh, gelu"),
        ("custom_silu:three", "threshold 'three' is not a finite number"),
        ("silut:nan", "threshold 'nan' is not a finite number"),
        ("silut:", "threshold '' is not a finite number"),
        ("tanh:3", "'tanh' takes no threshold"),
    ],
)
def test_errors_name_the_activation(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        activation(name)
