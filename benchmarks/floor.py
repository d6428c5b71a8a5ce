"""The floor under a training step: the products of matrices of its fitting nets, and no more.

A step that fits forces passes over the weights W of every layer six times: x·W and g·Wᵀ, both again
for the derivative of the forces, and xᵀ·g for each of the two. Everything else could be free.

Run as a program, ``python -m benchmarks.floor BACKEND JSON``, it times them with a framework's own
products and prints a line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .processes import run
from .systems import Products

ROOT = Path(__file__).resolve().parent.parent

WARM_UP, CALLS = 5, 30

#: Arrays of one layer and one type: x and g (two each), W.
Layer = tuple[Any, Any, Any, Any, Any]


def measure(
    backend: str, products: Products, precision: str, environment: Mapping[str, str]
) -> float | str:
    """Return milliseconds of one step's products on a backend, or what went wrong."""
    command = [sys.executable, "-m", "benchmarks.floor", backend, precision]
    outcome = run([*command, json.dumps(asdict(products))], ROOT, environment, 300.0)
    if outcome.failure:
        return f"{outcome.failure}: {outcome.tail(3)}"
    return float(json.loads(outcome.lines[-1][1])["ms"])


def flops(products: Products) -> float:
    """Return the number of floating-point operations of the products."""
    weights = sum(n * m for n, m in products.layers)
    return 2.0 * 3 * products.repeats * sum(products.atoms) * weights


def main(backend: str, precision: str, text: str) -> None:
    """Time the products and print the result."""
    from multifit.backend import get_backend
    from multifit.cli._allocator import keep_freed_memory

    keep_freed_memory()
    adapter = get_backend(backend)  # the threads, precision and device of a training run
    content = json.loads(text)
    products = Products(
        tuple(content["atoms"]), tuple(map(tuple, content["layers"])), content["repeats"]
    )
    draw = np.random.default_rng(0).normal
    arrays: list[Layer] = []
    for atoms in products.atoms:
        for n, m in products.layers:
            shapes = ((atoms, n), (atoms, n), (atoms, m), (atoms, m), (n, m))
            made = [adapter.asarray(draw(size=shape).astype(precision)) for shape in shapes]
            arrays.append(tuple(made))
    best = min(_median(way, arrays) for way in WAYS[backend](products.repeats))
    print(json.dumps({"ms": best}))


def _median(way: Callable[[list[Layer]], Any], arrays: list[Layer]) -> float:
    spent = []
    for _ in range(WARM_UP + CALLS):
        began = time.perf_counter()
        way(arrays)
        spent.append((time.perf_counter() - began) * 1e3)
    return statistics.median(spent[WARM_UP:])


def _operators(repeats: int) -> Callable[[list[Layer]], list[Any]]:
    """Return the products written with the operators that NumPy, JAX and PyTorch share."""

    def products(arrays: list[Layer]) -> list[Any]:
        found = []
        for x, x2, g, g2, w in arrays:
            found += [x @ w, g @ w.T, x.T @ g]
            if repeats == 2:
                found += [x2 @ w, g2 @ w.T, x2.T @ g2]
        return found

    return products


def _named(matmul: Any, left: str, right: str, repeats: int) -> Callable[[list[Layer]], list[Any]]:
    """Return the products by a function whose keywords `left` and `right` transpose."""

    def products(arrays: list[Layer]) -> list[Any]:
        found = []
        for x, x2, g, g2, w in arrays:
            found += [matmul(x, w), matmul(g, w, **{right: True}), matmul(x, g, **{left: True})]
            if repeats == 2:
                found += [matmul(x2, w), matmul(g2, w, **{right: True})]
                found += [matmul(x2, g2, **{left: True})]
        return found

    return products


def _numpy(repeats: int) -> list[Callable[[list[Layer]], Any]]:
    return [_operators(repeats)]


def _torch(repeats: int) -> list[Callable[[list[Layer]], Any]]:
    import torch

    products = _operators(repeats)

    def run_all(arrays: list[Layer]) -> None:
        found = products(arrays)
        if found[0].is_cuda:
            torch.cuda.synchronize()

    return [run_all]


def _jax(repeats: int) -> list[Callable[[list[Layer]], Any]]:
    import jax

    compiled = jax.jit(_operators(repeats))
    return [lambda arrays: jax.block_until_ready(compiled(arrays))]  # type: ignore[no-untyped-call]


def _tensorflow(repeats: int) -> list[Callable[[list[Layer]], Any]]:
    import tensorflow as tf

    products = _named(tf.linalg.matmul, "transpose_a", "transpose_b", repeats)
    on_gpu = bool(tf.config.get_visible_devices("GPU"))

    def wait(way: Callable[[list[Layer]], Any]) -> Callable[[list[Layer]], Any]:
        def run_all(arrays: list[Layer]) -> None:
            way(arrays)
            if on_gpu:
                tf.test.experimental.sync_devices()

        return run_all

    return [
        wait(products),
        wait(tf.function(products)),
        wait(tf.function(products, jit_compile=True)),
    ]


def _paddle(repeats: int) -> list[Callable[[list[Layer]], Any]]:
    import paddle

    products = _named(paddle.matmul, "transpose_x", "transpose_y", repeats)

    def run_all(arrays: list[Layer]) -> None:
        found = products(arrays)
        if found[0].place.is_gpu_place():
            paddle.device.synchronize()

    return [run_all]


#: Backend → the ways in which its framework can be asked; the fastest counts.
WAYS: dict[str, Callable[[int], list[Callable[[list[Layer]], Any]]]] = {
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "tensorflow": _tensorflow,
    "paddle": _paddle,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
