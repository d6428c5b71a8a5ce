"""Paddle's Array-API namespace against NumPy's: values, types, shapes and gradients."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as np_xp
import numpy as np
import pytest
from _compare import same
from _derivatives import by_differences

if importlib.util.find_spec("paddle") is None:
    pytest.skip("Paddle is not installed", allow_module_level=True)

from multifit.backend import get_backend
from multifit.errors import BackendError

BACKEND = get_backend("paddle")
NUMPY = get_backend("numpy")
RNG = np.random.default_rng(5)

X = RNG.uniform(0.2, 0.9, size=(3, 4)) * RNG.choice([-1.0, 1.0], size=(3, 4))
Y = RNG.uniform(1.1, 1.9, size=(3, 4))
STACK, OTHER = RNG.normal(size=(5, 3, 4)), RNG.normal(size=(5, 2, 4))
INDEX = np.array([2, 0, 2, 1])

Function = Callable[[Any, Any], Any]

#: name → f(xp, x) for x (3, 4), and whether it has a gradient. Where f makes arrays of Y, STACK, …
#: it says so by ``xp.asarray``.
SMOOTH: dict[str, Function] = {
    "abs": lambda xp, x: xp.abs(x),
    "square": lambda xp, x: xp.square(x),
    "sqrt": lambda xp, x: xp.sqrt(xp.abs(x)),
    "exp": lambda xp, x: xp.exp(x),
    "expm1": lambda xp, x: xp.expm1(x),
    "log": lambda xp, x: xp.log(xp.abs(x)),
    "log1p": lambda xp, x: xp.log1p(x),
    **{name: lambda xp, x, name=name: getattr(xp, name)(x) for name in ("sin", "cos", "tanh")},
    "negative": lambda xp, x: xp.negative(x),
    **{
        f"{name} of two": lambda xp, x, name=name: getattr(xp, name)(xp.asarray(Y), x)
        for name in (*("add", "subtract", "multiply", "divide", "pow", "maximum", "minimum"),)
    },
    **{
        f"{name} of a number": lambda xp, x, name=name: getattr(xp, name)(x, 0.37)
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
    },
    "pow of a number": lambda xp, x: xp.pow(xp.abs(x), 0.7),
    "a number by": lambda xp, x: xp.divide(0.37, x),
    "operators": lambda xp, x: 0.7 - (1.0 - x * 0.3) / (x * x + 0.1) - 2.0 / (3.0 + x) + x**2,
    "where": lambda xp, x: xp.where(x > 0.0, x * x, -x),
    "where with a number": lambda xp, x: xp.where(x > 0.0, x, 0.3),
    "clip": lambda xp, x: xp.clip(x, -0.3, 0.4),
    "clip on one side": lambda xp, x: xp.clip(x, max=0.4),
    "astype": lambda xp, x: xp.astype(xp.astype(x, xp.float64) * 2.0, xp.float64, copy=False),
    "sum": lambda xp, x: xp.sum(x),
    "sum of rows": lambda xp, x: xp.sum(x, axis=1),
    "sum, several axes": lambda xp, x: xp.sum(x[None, :, :], axis=(0, 2), keepdims=True),
    "sum, no axes": lambda xp, x: xp.sum(x, axis=()),
    "mean": lambda xp, x: xp.mean(x, axis=-1, keepdims=True),
    "prod": lambda xp, x: xp.prod(x, axis=0),
    "max": lambda xp, x: xp.max(x),
    "min": lambda xp, x: xp.min(x, axis=(0, 1)),
    "cumulative_sum": lambda xp, x: xp.cumulative_sum(x, axis=1),
    "reshape": lambda xp, x: xp.reshape(x, (2, -1)) * 2.0,
    "permute_dims": lambda xp, x: xp.permute_dims(x[None, :, :], (2, 0, 1)),
    "matrix_transpose": lambda xp, x: xp.matrix_transpose(x) * xp.asarray(Y.T),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x[:1, :], (3, 4)) * x,
    "concat": lambda xp, x: xp.concat([x, x[:, :2] * x[:, 2:]], axis=-1),
    "stack": lambda xp, x: xp.stack([x, x * x], axis=1),
    "unstack": lambda xp, x: xp.unstack(x)[0] * xp.unstack(x)[-1],
    "flip": lambda xp, x: xp.flip(x, axis=1) * x,
    "flip, all axes": lambda xp, x: xp.flip(x) * x,
    "take": lambda xp, x: xp.take(x, xp.asarray(INDEX), axis=0),
    "take from the last axis": lambda xp, x: xp.take(x, xp.asarray(INDEX), axis=1),
    "slices": lambda xp, x: x[1:, None, -1] + x[0, ::2],
    "matmul": lambda xp, x: xp.matmul(x, xp.asarray(STACK[0].T)),
    "matmul, turned": lambda xp, x: xp.matmul(xp.matrix_transpose(x), x),
    "matmul by turned": lambda xp, x: xp.matmul(x, xp.matrix_transpose(x)),
    "matmul of a stack": lambda xp, x: xp.matmul(xp.asarray(OTHER), xp.matrix_transpose(x)),
    "matmul of turned stacks": lambda xp, x: xp.matmul(
        xp.matrix_transpose(xp.asarray(STACK) * x), xp.matrix_transpose(xp.asarray(OTHER))[:, :3]
    ),
    "matmul of stacks of other ranks": lambda xp, x: xp.matmul(
        xp.matrix_transpose(xp.stack([x, 2.0 * x], axis=0))[:, None, :, :],
        xp.stack([x, x * x], axis=0),
    ),
    "matmul of a stack by stacks of it": lambda xp, x: xp.matmul(
        xp.stack([x, x * x], axis=0), xp.asarray(np.ones((3, 1, x.shape[-1], 2)))
    ),
    "matmul of a part": lambda xp, x: xp.matmul(xp.matrix_transpose(x[:, 1:3]), x),
    "matmul by a vector": lambda xp, x: xp.matmul(x, x[0, :]),
}

#: … and what has no gradient.
OTHERS: dict[str, Function] = {
    "sign": lambda xp, x: xp.sign(x),
    "ceil": lambda xp, x: xp.ceil(x) * x,
    "isfinite": lambda xp, x: xp.isfinite(xp.asarray([1.0, np.inf, np.nan])),
    "isnan": lambda xp, x: xp.isnan(xp.asarray([1.0, np.inf, np.nan])),
    **{
        name: lambda xp, x, name=name: getattr(xp, name)(xp.asarray(INDEX), 2)
        for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    },
    "logical": lambda xp, x: xp.logical_or(
        xp.logical_and(x > 0.0, x < 0.5), xp.logical_not(x > 0.2)
    ),
    "NaN goes through": lambda xp, x: (
        xp.maximum(xp.asarray([np.nan, 1.0]), 2.0) + xp.minimum(xp.asarray([1.0, np.nan]), 0.0)
    ),
    "zeros": lambda xp, x: xp.zeros((2, 3), dtype=xp.float32),
    "zeros without a type": lambda xp, x: xp.zeros(3),
    "ones": lambda xp, x: xp.ones((), dtype=xp.int64),
    "full": lambda xp, x: xp.full((2,), 0.7),
    "full of integers": lambda xp, x: xp.full(2, 3),
    "full_like": lambda xp, x: xp.full_like(x, 0.7),
    "zeros_like": lambda xp, x: xp.zeros_like(x, dtype=xp.int64),
    "ones_like": lambda xp, x: xp.ones_like(x),
    "arange": lambda xp, x: xp.arange(5),
    "arange with a step": lambda xp, x: xp.arange(1.0, 2.0, 0.25),
    "arange of a type": lambda xp, x: xp.arange(2, 5, dtype=xp.float64),
    "eye": lambda xp, x: xp.eye(2, 3),
    "asarray of lists": lambda xp, x: xp.asarray([[1, 2], [3, 4]], dtype=xp.float64),
    "asarray of a view": lambda xp, x: xp.asarray(STACK.T[::-1]),
    "sum of integers": lambda xp, x: xp.sum(xp.asarray(INDEX)),
    "any and all": lambda xp, x: xp.stack([xp.any(x > 0.0, axis=1), xp.all(x > 0.0, axis=1)]),
    "float32": lambda xp, x: xp.tanh(0.7 * xp.astype(x, xp.float32) + 0.1),
    "no rows": lambda xp, x: xp.matmul(xp.zeros((0, 3), dtype=xp.float64), x),
    "no columns": lambda xp, x: xp.matmul(xp.zeros((2, 0), dtype=xp.float64), x[:0, :]),
    "nothing to sum": lambda xp, x: xp.sum(xp.reshape(x[:0, :], (2, 0, 4)), axis=1),
    "take nothing": lambda xp, x: xp.take(x, xp.zeros((0,), dtype=xp.int64), axis=0),
}


def _of(f: Function, x: np.ndarray) -> np.ndarray:
    return BACKEND.to_numpy(f(BACKEND.xp, BACKEND.asarray(x)))


@pytest.mark.parametrize("name", [*SMOOTH, *OTHERS])
def test_the_same_values_shapes_and_types_as_numpy(name: str) -> None:
    f = (SMOOTH | OTHERS)[name]
    got, want = _of(f, X), np.asarray(f(np_xp, X))
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    same(got, want, rtol=1e-14 if got.dtype != np.float32 else 1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients(name: str) -> None:
    f, weights = SMOOTH[name], RNG.uniform(0.5, 1.5, size=np.shape(SMOOTH[name](np_xp, X)))

    def scalar(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return BACKEND.xp.sum(f(BACKEND.xp, params["x"]) * BACKEND.asarray(weights)), {}

    _, grads = BACKEND.value_and_grad(scalar)({"x": BACKEND.asarray(X)})
    want = by_differences(lambda x: np.sum(f(np_xp, x) * weights), X)
    same(BACKEND.to_numpy(grads["x"]), want, rtol=1e-7)


def test_types_and_their_kinds() -> None:
    xp = BACKEND.xp
    assert xp.isdtype(xp.float32, "real floating")
    assert not xp.isdtype(xp.int64, ("real floating", "bool"))
    assert xp.isdtype(xp.int32, xp.int32)
    x = xp.zeros(2)
    assert xp.astype(x, xp.float64, copy=False) is x
    assert xp.astype(x, xp.float64) is not x


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_segment_sum_and_its_gradient(shape: tuple[int, ...]) -> None:
    x, index = RNG.normal(size=(5, *shape)), np.array([3, 0, 3, 3, 1])
    got = BACKEND.segment_sum(BACKEND.asarray(x), BACKEND.asarray(index), 5)
    same(BACKEND.to_numpy(got), NUMPY.segment_sum(x, index, 5), rtol=1e-15)
    none = BACKEND.segment_sum(BACKEND.asarray(x[:0]), BACKEND.asarray(index[:0]), 2)
    assert BACKEND.to_numpy(none).tolist() == np.zeros((2, *shape)).tolist()
    weights = RNG.normal(size=(5, *shape))

    def scalar(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        y = BACKEND.segment_sum(params["x"], BACKEND.asarray(index), 5)
        return BACKEND.xp.sum(y * BACKEND.asarray(weights)), {}

    _, grads = BACKEND.value_and_grad(scalar)({"x": BACKEND.asarray(x)})
    same(BACKEND.to_numpy(grads["x"]), weights[index], rtol=1e-15)


def test_gradients_of_what_is_not_used_are_zero_and_nothing_else_is_differentiated() -> None:
    import paddle

    params = {"a": BACKEND.asarray(X), "b": BACKEND.asarray(Y[0].astype(np.float32))}

    def objective(p: dict[str, Any], scale: Any) -> Any:
        value = BACKEND.xp.sum(p["a"] * scale)
        return value, {"inner": {"value": value}}

    run = BACKEND.compile(BACKEND.value_and_grad(objective))
    (value, aux), grads = run(params, BACKEND.asarray(np.asarray(2.0)))
    same({k: BACKEND.to_numpy(g) for k, g in grads.items()}, {"a": 0 * X + 2, "b": 0 * Y[0]})
    assert grads["b"].dtype == paddle.float32
    assert value.stop_gradient
    assert aux["inner"]["value"].stop_gradient
    assert all(x.stop_gradient for x in params.values())
    parameter = paddle.to_tensor(X, stop_gradient=False)
    assert BACKEND.compile(lambda x: x * 2.0)(parameter).stop_gradient
    (_, _), grads = BACKEND.value_and_grad(lambda p: (BACKEND.xp.zeros(()), {}))(params)
    assert float(BACKEND.xp.sum(grads["a"])) == 0.0


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from multifit_paddle import PaddleBackend

    monkeypatch.setenv("MULTIFIT_DEVICE", "cuda:99")
    with pytest.raises(BackendError, match="Paddle has no device 'gpu:99' here; set MULTIFIT_DEV"):
        PaddleBackend()
    monkeypatch.setenv("MULTIFIT_DEVICE", "cpu")
    assert PaddleBackend().device == "cpu"


# The process that Paddle is imported into.


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter where nothing is set that Paddle or multifit read."""
    ours = ("FLAGS_", "GLOG_", "OMP_", "MKL_", "MULTIFIT_", "PYTHONWARNINGS")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=clean | environment,
    )


def test_the_import_is_silent_and_leaves_logging_alone() -> None:
    done = _python(
        "import logging\n"
        "from multifit.backend import get_backend\n"
        "xp = get_backend('paddle').xp\n"
        "root = logging.getLogger()\n"
        "print(float(xp.sum(xp.ones(3))), root.handlers, logging.getLevelName(root.level))\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3.0 [] WARNING\n", "")


def test_a_signal_ends_the_process_without_a_trace_of_paddle() -> None:
    done = _python("import multifit_paddle, os; os.kill(os.getpid(), 15)")
    assert (done.returncode, done.stdout, done.stderr) == (-15, "", "")


def test_what_the_user_set_is_kept_and_paddle_speaks_where_it_is_wanted() -> None:
    code = "import multifit_paddle, os; print(os.environ['OMP_NUM_THREADS'])"
    assert _python(code, OMP_NUM_THREADS="1").stdout == "1\n"
    loud = _python(code, OMP_NUM_THREADS="2", MULTIFIT_VERBOSE="1")
    assert loud.stdout == "2\n"
    assert "OMP_NUM_THREADS set to 2" in loud.stderr


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow")
def test_paddle_can_be_imported_after_tensorflow() -> None:
    code = (
        "import tensorflow as tf\n"
        "from multifit_paddle import backend\n"
        "pd = backend()\n"
        "print(float(pd.xp.sum(pd.xp.ones((2, 2)))), float(tf.reduce_sum(tf.ones((2, 2)))))\n"
    )
    done = _python(code, TF_CPP_MIN_LOG_LEVEL="3")
    assert (done.returncode, done.stdout) == (0, "4.0 4.0\n"), done.stderr
