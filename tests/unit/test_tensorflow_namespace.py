"""TensorFlow's Array-API namespace: the results of NumPy's, eagerly and compiled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as np_xp
import numpy as np
import pytest
from _compare import same
from _derivatives import by_differences

# In this order: the adapter keeps TensorFlow quiet.
adapter = pytest.importorskip("multifit_tensorflow")
tf = pytest.importorskip("tensorflow")

BACKEND = adapter.TensorFlowBackend()
XP = BACKEND.xp
RNG = np.random.default_rng(7)

Function = Callable[..., Any]


@dataclass(frozen=True)
class Example:
    """A call f(xp, *arrays), and whether its gradient by the first array is looked at."""

    name: str
    f: Function
    arrays: tuple[np.ndarray, ...]
    smooth: bool = False


# Away from the points where functions of the table have no derivative.
X = np.array([[-1.7, 0.4, 1.3], [0.7, -0.2, 2.6]])
Y = np.array([[0.5, -1.1, 1.9], [2.2, 0.3, -0.6]])
POSITIVE = np.abs(X) + 0.1
WHOLE = np.array([[3, -2, 7], [0, 5, -4]])
OTHER = np.array([[2, 3, -4], [1, -5, 3]])
FLAGS = WHOLE > 0
ODD = np.array([1.5, -np.inf, np.nan, 0.0])
CUBE = RNG.normal(size=(2, 3, 4))


def _call(name: str, *rest: Any, **options: Any) -> Function:
    return lambda xp, *arrays: getattr(xp, name)(*arrays, *rest, **options)


def _number_first(name: str) -> Function:
    return lambda xp, x: getattr(xp, name)(0.25, x)


def _call_on_shape(name: str) -> Function:
    return lambda xp: getattr(xp, name)((2, 3))


def _filled(name: str, dtype: str) -> Function:
    return lambda xp: getattr(xp, name)(4, dtype=getattr(xp, dtype))


def _cast(dtype: str) -> Function:
    return lambda xp, x: xp.astype(x, getattr(xp, dtype), copy=False)


def _unary() -> Iterator[Example]:
    everywhere = ("abs", "ceil", "cos", "exp", "expm1", "negative", "sin", "sign", "square", "tanh")
    yield from (Example(name, _call(name), (X,), True) for name in everywhere)
    yield from (Example(name, _call(name), (POSITIVE,), True) for name in ("sqrt", "log", "log1p"))
    for name in ("abs", "negative", "sign", "square"):
        yield Example(f"{name} of integers", _call(name), (WHOLE,))
    for name in ("isfinite", "isnan"):
        yield Example(name, _call(name), (ODD,))
        yield Example(f"{name} of integers", _call(name), (WHOLE,))
    yield Example("logical_not", _call("logical_not"), (FLAGS,))


def _binary() -> Iterator[Example]:
    arithmetic = ["add", "subtract", "multiply", "divide", "maximum", "minimum"]
    for name in arithmetic:
        yield Example(name, _call(name), (X, Y), True)
        yield Example(f"{name}, a number", _call(name, 0.25), (X,), True)
        yield Example(f"{name}, a number first", _number_first(name), (X,), True)
    yield Example("pow", _call("pow"), (POSITIVE, Y), True)
    yield Example("pow, a number", _call("pow", 3), (X,), True)
    for name in ("add", "subtract", "multiply", "maximum", "minimum"):
        yield Example(f"{name} of integers", _call(name), (WHOLE, OTHER))
    for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        yield Example(name, _call(name), (WHOLE, OTHER))
        yield Example(f"{name}, a number", _call(name, 0.4), (X,))
    for name in ("logical_and", "logical_or"):
        yield Example(name, _call(name), (FLAGS, X > 0.5))
    yield Example("where", lambda xp, x, y: xp.where(x > 0.5, x * x, y), (X, Y), True)
    yield Example("where, a number", lambda xp, x: xp.where(x > 0.5, x, 0.0), (X,), True)
    yield Example("clip", _call("clip", -1.0, 1.0), (X,), True)
    yield Example("clip from below", _call("clip", min=0.1), (X,), True)


def _creation() -> Iterator[Example]:
    for name in ("zeros", "ones"):
        yield Example(name, _call_on_shape(name), ())
        for dtype in ("float32", "float64", "int64", "bool"):
            yield Example(f"{name} {dtype}", _filled(name, dtype), ())
        yield Example(f"{name}_like", _call(f"{name}_like"), (X,))
        yield Example(f"{name}_like of integers", _call(f"{name}_like"), (WHOLE,))
    yield Example("full", lambda xp: xp.full((2, 2), 1.5, dtype=xp.float32), ())
    yield Example("full of integers", lambda xp: xp.full(3, 7), ())
    yield Example("full_like", _call("full_like", float("nan")), (X,))
    yield Example("arange", lambda xp: xp.arange(5), ())
    yield Example("arange, steps", lambda xp: xp.arange(1, 8, 3), ())
    yield Example("arange, floating", lambda xp: xp.arange(0.5, 2.0, 0.25), ())
    yield Example("eye", lambda xp: xp.eye(3), ())
    yield Example("eye, not square", lambda xp: xp.eye(2, 4, k=1, dtype=xp.float32), ())
    yield Example("asarray", lambda xp: xp.asarray([[1.0, 2.0], [3.0, 4.0]]), ())
    yield Example("asarray of integers", lambda xp: xp.asarray([1, 2]), ())
    yield Example("asarray, dtype", lambda xp: xp.asarray(2, dtype=xp.float32), ())
    yield Example("asarray of an array", lambda xp, x: xp.asarray(x, dtype=xp.float32), (X,))
    for dtype in ("float32", "int64", "bool"):
        yield Example(f"astype {dtype}", _cast(dtype), (X,))
    yield Example("astype of flags", lambda xp, x: xp.astype(x, xp.float64), (FLAGS,))


def _reductions() -> Iterator[Example]:
    for name in ("sum", "mean", "prod", "max", "min"):
        yield Example(name, _call(name), (CUBE,), True)
        yield Example(f"{name}, an axis", _call(name, axis=-2), (CUBE,), True)
        yield Example(f"{name}, axes", _call(name, axis=(0, 2), keepdims=True), (CUBE,), True)
    yield Example("sum of int32", _call("sum", axis=0), (WHOLE.astype(np.int32),))
    yield Example("sum of int64", _call("sum"), (WHOLE,))
    yield Example("prod of int32", _call("prod"), (WHOLE.astype(np.int32),))
    yield Example("sum of float32", _call("sum"), (X.astype(np.float32),))
    yield Example("sum, dtype", lambda xp, x: xp.sum(x, dtype=xp.float32), (X,))
    for name in ("any", "all"):
        yield Example(name, _call(name, axis=1), (FLAGS,))
    yield Example("cumulative_sum", _call("cumulative_sum", axis=1), (X,), True)


def _shapes() -> Iterator[Example]:
    yield Example("reshape", _call("reshape", (4, -1)), (CUBE,), True)
    yield Example("reshape to one axis", _call("reshape", (-1,)), (CUBE,), True)
    yield Example("permute_dims", _call("permute_dims", (2, 0, 1)), (CUBE,), True)
    yield Example("matrix_transpose", _call("matrix_transpose"), (CUBE,), True)
    yield Example("concat", lambda xp, x, y: xp.concat([x, y], axis=-1), (X, Y), True)
    yield Example("concat, default", lambda xp, x, y: xp.concat((x, y)), (X, Y), True)
    yield Example("concat, flat", lambda xp, x, y: xp.concat([x, y[0, :]], axis=None), (X, Y), True)
    yield Example("stack", lambda xp, x, y: xp.stack([x, y], axis=1), (X, Y), True)
    yield Example("unstack", lambda xp, x, y: xp.unstack(x)[0] * xp.unstack(y)[-1], (X, Y), True)
    yield Example("broadcast_to", _call("broadcast_to", (4, 2, 3)), (X,), True)
    yield Example("flip", _call("flip"), (CUBE,), True)
    yield Example("flip, an axis", _call("flip", axis=-2), (CUBE,), True)
    yield Example("slices", lambda xp, x: x[:, None, 1:, ..., 2] * x[0, 0, 1], (CUBE,), True)


def _indexing() -> Iterator[Example]:
    index = np.array([2, 0, 0])
    yield Example("take", lambda xp, x, i: xp.take(x, i, axis=1), (CUBE, index), True)
    yield Example("take of rows", lambda xp, x, i: xp.take(x * x, i, axis=0), (X.T, index), True)


def _products() -> Iterator[Example]:
    b = RNG.normal(size=(2, 4, 5))
    yield Example("matmul", _call("matmul"), (CUBE, b), True)
    yield Example("matmul, broadcast", _call("matmul"), (CUBE, b[0]), True)
    yield Example("matmul, row", _call("matmul"), (CUBE[0, 0], b[0]), True)
    yield Example("matmul, column", _call("matmul"), (CUBE, CUBE[0, 0]), True)
    yield Example("matmul, two vectors", _call("matmul"), (CUBE[0, 0], CUBE[0, 1]), True)


EXAMPLES = {
    example.name: example
    for group in (_unary, _binary, _creation, _reductions, _shapes, _indexing, _products)
    for example in group()
}
SMOOTH = [name for name, example in EXAMPLES.items() if example.smooth]


def _arrays(name: str) -> list[Any]:
    return [BACKEND.asarray(x) for x in EXAMPLES[name].arrays]


def _weighted(xp: Any, name: str, *arrays: Any) -> Any:
    """Return a scalar on which each number of the result has an influence of its own."""
    y = EXAMPLES[name].f(xp, *arrays)
    weights = np.cos(np.arange(math.prod(y.shape), dtype=np.float64)).reshape(tuple(y.shape))
    return xp.sum(y * xp.asarray(weights))


def _gradient(name: str, *arrays: Any) -> Any:
    """Return the gradient by the first array, as TensorFlow computes it."""
    first, *rest = arrays
    run = BACKEND.value_and_grad(lambda p: (_weighted(XP, name, p["x"], *rest), {}))
    return run({"x": first})[1]["x"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_values_and_dtypes_are_those_of_numpy(name: str) -> None:
    got = BACKEND.to_numpy(EXAMPLES[name].f(XP, *_arrays(name)))
    want = np.asarray(EXAMPLES[name].f(np_xp, *EXAMPLES[name].arrays))
    assert got.dtype == want.dtype
    same(got, want, rtol=_rtol(got))


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_the_slopes_of_numpys_values(name: str) -> None:
    first, *rest = EXAMPLES[name].arrays
    want = by_differences(lambda x: _weighted(np_xp, name, x, *rest), first, 1e-3)
    got = BACKEND.to_numpy(_gradient(name, *_arrays(name)))
    same(got, want, rtol=1e-7)


@pytest.mark.parametrize("xla", [False, True])
def test_compiled_functions_are_the_same(xla: bool) -> None:
    # One program of all examples: compiling each by itself would take a minute.
    @tf.function(autograph=False, jit_compile=xla)
    def everything(arrays: dict[str, list[Any]]) -> dict[str, Any]:
        found = {name: EXAMPLES[name].f(XP, *arrays[name]) for name in EXAMPLES}
        return found | {f"{name}, gradient": _gradient(name, *arrays[name]) for name in SMOOTH}

    arrays = {name: _arrays(name) for name in EXAMPLES}
    want = {name: EXAMPLES[name].f(XP, *arrays[name]) for name in EXAMPLES}
    want |= {f"{name}, gradient": _gradient(name, *arrays[name]) for name in SMOOTH}
    got = everything(arrays)
    assert {name: x.dtype for name, x in got.items()} == {n: x.dtype for n, x in want.items()}
    for name, x in got.items():
        same({name: x}, {name: want[name]}, rtol=_rtol(BACKEND.to_numpy(x), 1e-13))


def _rtol(x: np.ndarray, double: float = 1e-14) -> float:
    return double if x.dtype == np.float64 else 1e-6


def test_kinds_of_dtypes() -> None:
    assert XP.isdtype(XP.float32, "real floating")
    assert XP.isdtype(XP.int64, ("bool", "integral"))
    assert XP.isdtype(XP.float64, XP.float64)
    assert XP.isdtype(XP.bool, "bool")
    assert not XP.isdtype(XP.bool, "numeric")


def test_a_number_takes_the_dtype_of_the_array_beside_it() -> None:
    single = BACKEND.asarray(X.astype(np.float32))
    assert XP.maximum(single, 0.5).dtype == XP.float32
    assert XP.where(single > 0, 0.0, single).dtype == XP.float32
