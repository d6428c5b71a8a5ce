"""What JAX users hold: the parameters as a pytree, and a pure function of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import assemble, build, draw, molecule
from _compare import same
from _derivatives import by_differences

from multifit import model as mdl
from multifit.backend import get_backend
from multifit.tree import flatten, unflatten

pytestmark = pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")


def test_the_functions_evaluate_the_model_and_differentiate() -> None:
    import jax

    from multifit_jax import functions

    model = build()
    host = draw(model)
    batch, _ = assemble(model, [molecule()])
    params, apply = functions(model, host)
    assert set(flatten(params)) == set(flatten(host))
    assert all(isinstance(x, jax.Array) for x in flatten(params).values())
    want = mdl.evaluate(get_backend("numpy"), model, host, batch)
    same(jax.jit(apply)(params, batch), want, rtol=1e-9)

    @jax.jit
    def loss(params: Any) -> Any:
        return (apply(params, batch)["force"] ** 2).sum()

    grads = jax.grad(loss)(params)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    name = "fitting.nets.0.layers.0.w"

    def moved(w: np.ndarray) -> float:
        return float(loss(unflatten(flatten(params) | {name: w})))

    same(flatten(grads)[name], by_differences(moved, flatten(host)[name], 1e-4), rtol=1e-6)
