"""Reverse mode: every rule against differences, alone and under forward mode."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from _backends import StrictBackend
from _compare import same
from _derivatives import by_differences
from _reverse_rows import ROWS, Row

from multifit.autodiff import (
    ForwardArithmetic,
    Reverse,
    ReverseArithmetic,
    constant,
    pullback,
    value_of,
    with_pullback,
)
from multifit.autodiff.forward import Dual
from multifit.backend import Arithmetic, get_backend

NUMPY = get_backend("numpy")
rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def _cotangent(y: Any) -> np.ndarray:
    return np.random.default_rng(8).normal(size=np.shape(y))


def _pulled(base: Arithmetic, row: Row, inputs: Any, y_bar: Any) -> tuple[Any, list[Any]]:
    y, pull = with_pullback(base, row.function, *inputs)
    return y, pull(y_bar)


@rows
def test_rules_are_the_slopes(row: Row) -> None:
    inputs = row.inputs()
    want = np.asarray(row.function(NUMPY, *inputs))
    y_bar = _cotangent(want)
    y, got = _pulled(NUMPY, row, inputs, y_bar)
    same(y, want, rtol=1e-14)
    for k, x in enumerate(inputs):

        def scalar(moved: np.ndarray, k: int = k) -> Any:
            return np.sum(row.function(NUMPY, *inputs[:k], moved, *inputs[k + 1 :]) * y_bar)

        assert got[k].shape == x.shape
        assert got[k].dtype == x.dtype
        want = by_differences(scalar, x, 1e-3)
        # Of a derivative that is zero, rounding of the values divided by the step is left.
        same(got[k], want, rtol=1e-8, atol=1e-8 * max(1.0, float(np.abs(x).max(initial=0.0))))


@rows
def test_only_the_standard_is_used(row: Row, strict: StrictBackend) -> None:
    inputs = row.inputs()
    y, pull = with_pullback(NUMPY, row.function, *inputs)
    y_bar = _cotangent(y)
    found, got = _pulled(strict, row, map(strict.asarray, inputs), strict.asarray(y_bar))
    same(strict.to_numpy(found), y, rtol=1e-14)
    same(tuple(map(strict.to_numpy, got)), tuple(pull(y_bar)), rtol=1e-14)


@pytest.mark.parametrize("key", sorted(set(ROWS) - {"astype", "a network"}))
def test_precision_is_that_of_the_inputs(key: str, strict: StrictBackend) -> None:
    inputs = [strict.asarray(x.astype(np.float32)) for x in ROWS[key].inputs()]
    y, pull = with_pullback(strict, ROWS[key].function, *inputs)
    bars = pull(strict.xp.ones_like(y))
    assert {each.dtype for each in (y, *bars)} == {strict.xp.float32}


def _second(base: Any, row: Row, directions: Any, y_bar: np.ndarray) -> list[Any]:
    """Return x̄ with their derivatives along directions of the inputs."""
    duals = [
        Dual(base.xp, base.asarray(x), base.asarray(t[None]))
        for x, t in zip(row.inputs(), directions, strict=True)
    ]
    bar = Dual(base.xp, base.asarray(y_bar))
    return _pulled(ForwardArithmetic(base), row, duals, bar)[1]


@rows
def test_forward_over_reverse_is_the_slope_of_the_rules(row: Row) -> None:
    inputs = row.inputs()
    y_bar = _cotangent(row.function(NUMPY, *inputs))
    rng = np.random.default_rng(9)
    directions = [rng.normal(size=x.shape) for x in inputs]
    got = _second(NUMPY, row, directions, y_bar)
    step = 1e-3

    def moved(k: int) -> list[Any]:
        ahead = [x + k * step * t for x, t in zip(inputs, directions, strict=True)]
        return _pulled(NUMPY, row, ahead, y_bar)[1]

    values = [moved(k) for k in (-2, -1, 1, 2)]
    for k, dual in enumerate(got):
        far_left, left, right, far_right = (each[k] for each in values)
        want = (8.0 * (right - left) - (far_right - far_left)) / (12.0 * step)
        tangent = np.zeros(want.shape) if dual.tangent is None else dual.tangent[0]
        same(tangent, want, rtol=1e-7, atol=1e-7)


@rows
def test_forward_over_reverse_uses_only_the_standard(row: Row, strict: StrictBackend) -> None:
    inputs = row.inputs()
    y_bar = _cotangent(row.function(NUMPY, *inputs))
    directions = [np.ones_like(x) for x in inputs]
    got = _second(strict, row, directions, y_bar)
    want = _second(NUMPY, row, directions, y_bar)
    for one, other in zip(got, want, strict=True):
        same(strict.to_numpy(one.value), other.value, rtol=1e-14)
        assert (one.tangent is None) == (other.tangent is None)
        if other.tangent is not None:
            same(strict.to_numpy(one.tangent), other.tangent, rtol=1e-13)


# What the rows do not show.


def _inputs(*numbers: Any) -> tuple[ReverseArithmetic, list[Any]]:
    a = ReverseArithmetic(NUMPY)
    return a, [a.xp.variable(np.asarray(x, dtype=np.float64)) for x in numbers]


def test_a_hessian_is_the_slope_of_the_gradient_and_symmetric() -> None:
    def energy(a: Any, x: Any) -> Any:
        z = a.xp.matmul(a.xp.tanh(x), a.xp.matrix_transpose(x * x))
        return a.xp.sum(a.xp.exp(z))

    x = np.random.default_rng(3).uniform(0.2, 0.8, size=(3, 2))
    dual = Dual(NUMPY.xp, x, np.eye(6).reshape(6, 3, 2))
    _, pull = with_pullback(ForwardArithmetic(NUMPY), energy, dual)
    (gradient,) = pull(Dual(NUMPY.xp, np.asarray(1.0)))
    hessian = gradient.tangent.reshape(6, 6)
    same(hessian, hessian.T, rtol=1e-13)

    def component(k: int) -> Any:
        def one(moved: np.ndarray) -> Any:
            return with_pullback(NUMPY, energy, moved)[1](np.asarray(1.0))[0].reshape(-1)[k]

        return one

    want = [by_differences(component(k), x, 1e-3).reshape(-1) for k in range(6)]
    same(hessian, np.stack(want), rtol=1e-8)


def test_a_chain_is_longer_than_recursion_would_allow() -> None:
    _, (x,) = _inputs([1.0, 2.0])
    y = x
    for _ in range(20_000):
        y = y + x
    same(pullback(y, [x])[0], np.full(2, 20_001.0))
    del y


def test_operations_that_share_operands_are_walked_once() -> None:
    _, (x,) = _inputs([1.0, -1.0])
    y = x
    for _ in range(60):  # 2⁶⁰ paths
        y = y + y
    same(pullback(y, [x])[0], np.full(2, 2.0**60))


def test_parameters_are_not_recorded() -> None:
    a, (x,) = _inputs(np.ones((3, 3)))
    w = np.ones((3, 3))
    assert isinstance(a.xp.matmul(a.xp.tanh(w), w), np.ndarray)
    for weight in (w, a.xp.lift(w)):
        assert len(a.xp.matmul(x, weight).parents) == 1
        assert len((weight * x).parents) == 1
    held = a.lift({"nets": {"w": w}, "index": np.arange(3)})
    assert not a.xp.exp(held["nets"]["w"] * 2.0).active
    assert isinstance(held["index"], np.ndarray)


def test_nothing_flows_through_a_constant() -> None:
    a, (x,) = _inputs([1.0, 2.0])
    same(pullback(x * constant(x), [x])[0], np.asarray([1.0, 2.0]))
    dual = constant(Dual(NUMPY.xp, np.ones(2), np.ones((1, 2))))
    assert dual.tangent is None
    both = constant(a.xp.variable(Dual(NUMPY.xp, np.ones(2), np.ones((1, 2)))))
    assert both.value.tangent is None
    assert not both.active


def test_equal_elements_share_the_derivative_of_the_largest() -> None:
    a, (x,) = _inputs([[3.0, 1.0, 3.0], [0.0, 0.0, -1.0]])
    want = np.asarray([[0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    same(pullback(a.xp.max(x, axis=1), [x])[0], want)
    dual = Dual(NUMPY.xp, x.value, np.ones((1, 2, 3)))
    largest = ForwardArithmetic(NUMPY).xp.max(dual, axis=1)
    same(largest.tangent, np.ones((1, 2)))


def test_it_differentiates_by_what_was_computed_on_the_way() -> None:
    _, (x,) = _inputs([1.0, 2.0])
    z = x * x
    y = z * z + x
    by_z, by_x = pullback(y, [z, x])
    same(by_z, 2.0 * x.value**2)
    same(by_x, 4.0 * x.value**3 + 1.0)
    same(pullback(x, [x])[0], np.ones(2))


def test_several_results_are_added() -> None:
    a, (x, y) = _inputs([1.0, 2.0], [3.0, 4.0])
    bars = [np.asarray([1.0, 0.5]), np.asarray(2.0)]
    got = pullback([x * y, a.xp.sum(x * x)], [x, y], bars)
    same(tuple(got), (bars[0] * y.value + 4.0 * x.value, bars[0] * x.value))
    values, pull = with_pullback(NUMPY, lambda a, x: (x, 2.0 * x), x.value)
    same(values, (x.value, 2.0 * x.value))
    same(pull([np.ones(2), np.ones(2)])[0], np.full(2, 3.0))


def test_a_result_without_inputs_gives_zeros() -> None:
    a, (x,) = _inputs([1.0, 2.0])
    for y in (np.ones(2), a.xp.lift(np.ones(2)), constant(x)):
        same(pullback(y, [x])[0], np.zeros(2))


def test_cotangents_keep_the_precision_of_their_operand() -> None:
    a = ReverseArithmetic(NUMPY)
    x = a.xp.variable(np.ones(3, dtype=np.float32))
    y = a.xp.sum(a.xp.astype(x, np.dtype("float64")) * 2.0)
    (got,) = pullback(y, [x])
    assert got.dtype == np.float32
    assert a.xp.astype(x, np.dtype("int64")).dtype == np.int64


def test_comparisons_are_plain_arrays() -> None:
    a, (x, y) = _inputs([1.0, 2.0], [2.0, 2.0])
    for got, want in (
        (x < y, [True, False]),
        (x <= y, [True, True]),
        (x > y, [False, False]),
        (x >= y, [False, True]),
        (x == y, [False, True]),
        (x != y, [True, False]),
        (a.xp.less(x, y), [True, False]),
        (a.xp.isfinite(x), [True, True]),
    ):
        assert got.tolist() == want
    assert {x: 1}[x] == 1
    assert float(a.xp.sum(x)) == 3.0
    assert bool(a.xp.sum(x))
    assert "active=True" in repr(x)
    assert (x.shape, x.ndim, x.dtype) == ((2,), 1, np.float64)


def test_comparisons_are_plain_arrays_under_forward_mode() -> None:
    a = ReverseArithmetic(ForwardArithmetic(NUMPY))
    x = a.xp.variable(Dual(NUMPY.xp, np.asarray([1.0, 2.0]), np.ones((3, 2))))
    assert (x == x).tolist() == [True, True]
    assert (x > np.asarray([1.0, 1.0])).tolist() == [False, True]
    assert a.xp.isfinite(x).tolist() == [True, True]
    assert a.xp.full_like(x, 2.0).value.value.tolist() == [2.0, 2.0]


def test_intermediate_results_are_released_at_once() -> None:
    def f(a: Any, x: Any) -> Any:
        y = a.xp.exp(x)
        values.append(weakref.ref(y.value))
        return a.xp.sum(y * y)

    values: list[Any] = []
    gc.disable()
    try:
        y, pull = with_pullback(NUMPY, f, np.ones(3))
        pull(np.ones_like(y))
        assert values[0]() is not None
        del pull
        assert values[0]() is None
    finally:
        gc.enable()


def test_what_it_cannot_do_it_says() -> None:
    a, (x,) = _inputs([[1.0, 2.0]])
    with pytest.raises(TypeError, match=r"xp\.take"):
        _ = x[np.asarray([0])]
    with pytest.raises(ValueError, match="step 1, not 2"):
        _ = x[:, ::2]
    with pytest.raises(ValueError, match="not of length 1"):
        a.xp.squeeze(x, axis=1)
    with pytest.raises(TypeError, match="Python number"):
        a.xp.pow(x, x)
    with pytest.raises(NotImplementedError, match="no rule for cumulative_sum"):
        a.xp.cumulative_sum(x, axis=0)
    assert a.xp.cumulative_sum(np.ones(2)).tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="ReverseArithmetic"):
        Reverse(NUMPY.xp).take(x, np.asarray([0]), axis=0)
    with pytest.raises(TypeError, match=r"xp\.variable"):
        pullback(x, [np.ones(2)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="Forward"):
        Reverse(a.xp)
    with pytest.raises(TypeError, match="not a NumPy array"):
        np.asarray(x)
    with pytest.raises(TypeError, match="condition"):
        pullback(a.xp.where(x, x, x), [x])
    with pytest.raises(IndexError):
        _ = x[0, 0, 0]
    with pytest.raises(AttributeError):
        _ = a.xp.no_such_function


def test_plain_arrays_stay_plain() -> None:
    a, _ = _inputs([1.0])
    index = np.asarray([2, 0])
    assert a.xp.take(np.arange(3.0), index).tolist() == [2.0, 0.0]
    assert a.segment_sum(np.ones(2), np.asarray([1, 1]), 2).tolist() == [0.0, 2.0]
    assert a.xp.lift(3.0) == 3.0
    assert not hasattr(a.xp, "__array_namespace_info_of_nobody__")


def test_values_are_unwrapped() -> None:
    _, (x,) = _inputs([1.0])
    assert value_of(x) is x.value
    assert value_of(2.0) == 2.0
