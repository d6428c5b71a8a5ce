"""What JAX users hold: the parameters as a pytree, and a pure function of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _batches import case, density_slope
from _cases import assemble, build, draw, molecule
from _compare import same
from _derivatives import by_differences
from _rows_dos import DENSITIES

from multifit import models as mdl
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


def test_the_functions_give_and_differentiate_densities_of_states() -> None:
    import jax

    from multifit_jax import functions

    one = case(DENSITIES["dos, fparam, aparam, softplus"])
    params, apply = functions(one.model, one.params)
    want = mdl.evaluate(get_backend("numpy"), one.model, one.params, one.batch)
    same(jax.jit(apply)(params, one.batch), want)
    grads = jax.jit(jax.grad(lambda p: (apply(p, one.batch)["dos"] ** 2).sum()))(params)
    name = "fitting.nets.0.layers.2.b"
    same(flatten(grads)[name], density_slope(one, name), rtol=1e-9)
