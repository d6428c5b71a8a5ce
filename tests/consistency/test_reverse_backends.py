"""Reverse mode on every backend: values, cotangents, and what the framework makes of them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE
from _check import run
from _compare import same
from _reverse_rows import ROWS, Row

from multifit.autodiff import ForwardArithmetic, with_pullback
from multifit.autodiff.forward import Dual
from multifit.backend import get_backend
from multifit.tree import Tree

NUMPY = get_backend("numpy")

#: Row → its inputs.
INPUTS: Tree = {name: {str(k): x for k, x in enumerate(row.inputs())} for name, row in ROWS.items()}


def _cotangent(row: Row) -> np.ndarray:
    y = row.function(NUMPY, *row.inputs())
    return np.random.default_rng(8).normal(size=np.shape(y))


#: Row → the cotangent of its result.
BARS: Tree = {name: _cotangent(row) for name, row in ROWS.items()}


@functools.cache
def _outputs(name: str) -> Tree:
    """Return y and x̄ of all rows: one program, as compiling is what takes the time."""
    backend = get_backend(name)

    def evaluate(inputs: Tree, bars: Tree) -> Tree:
        found: Tree = {}
        for key, row in ROWS.items():
            y, pull = with_pullback(backend, row.function, *inputs[key].values())
            found[key] = {"y": y} | {f"x{k}": x for k, x in enumerate(pull(bars[key]))}
        return found

    return run(backend, evaluate, INPUTS, BARS)


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("key", ROWS)
def test_values_and_cotangents(key: str, name: str) -> None:
    same(_outputs(name)[key], _outputs("numpy")[key])


def _twice(name: str) -> dict[str, Tree]:
    """Return the gradient of ½ Σ x̄² of each row as the framework differentiates it."""
    backend = get_backend(name)
    flat = {f"{key}.{k}": x for key, tree in INPUTS.items() for k, x in tree.items()}

    def loss(params: Tree, bars: Tree) -> Any:
        total = backend.xp.zeros((), dtype=backend.xp.float64)
        for key, row in ROWS.items():
            inputs = [params[f"{key}.{k}"] for k in range(len(row.shapes))]
            _, pull = with_pullback(backend, row.function, *inputs)
            for x_bar in pull(bars[key]):
                total = total + 0.5 * backend.xp.sum(x_bar * x_bar)
        return total, {}

    differentiate = backend.compile(backend.value_and_grad(loss))
    params = {key: backend.asarray(x) for key, x in flat.items()}
    _, grads = differentiate(params, {key: backend.asarray(x) for key, x in BARS.items()})
    found: dict[str, Tree] = {}
    for key, x in grads.items():
        row, _, k = key.rpartition(".")
        found.setdefault(row, {})[k] = backend.to_numpy(x)
    return found


def _expected(row: Row, y_bar: np.ndarray) -> Tree:
    """Return H x̄ by forward mode over reverse mode on NumPy, with x̄ as the direction."""
    xp = NUMPY.xp
    _, pull = with_pullback(NUMPY, row.function, *row.inputs())
    duals = [Dual(xp, x, t[None]) for x, t in zip(row.inputs(), pull(y_bar), strict=True)]
    _, pull = with_pullback(ForwardArithmetic(NUMPY), row.function, *duals)
    slopes = [x.tangent for x in pull(Dual(xp, y_bar))]
    return {
        str(k): np.zeros(shape) if slope is None else slope[0]
        for k, (shape, slope) in enumerate(zip(row.shapes, slopes, strict=True))
    }


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_framework_differentiates_cotangents(name: str) -> None:
    found = _twice(name)
    for key, row in ROWS.items():
        want = _expected(row, BARS[key])
        largest = max(float(np.abs(x).max(initial=0.0)) for x in want.values())
        for k, x in want.items():
            same({key: found[key][k]}, {key: x}, atol=1e-10 * max(largest, 1e-3))
