"""``paddle.nn.Layer``: an energy model as users of Paddle hold it."""

from __future__ import annotations

import gc
import importlib.util
from typing import Any

import numpy as np
import pytest
from _batches import case, density_slope
from _cases import assemble, build, crystal, draw, evaluate, molecule, parameters
from _compare import same
from _derivatives import by_differences
from _rows_dos import DENSITIES

from multifit import models as mdl
from multifit.backend import get_backend
from multifit.tree import flatten, map_leaves, unflatten

if importlib.util.find_spec("paddle") is None:
    pytest.skip("Paddle is not installed", allow_module_level=True)

import paddle

from multifit_paddle import Layer

BACKEND, NUMPY = get_backend("paddle"), get_backend("numpy")
MODEL = build(numb_fparam=1, numb_aparam=2, activation="softplus", type_one_side=False)
SYSTEMS = [crystal(), crystal(3)]


@pytest.fixture
def params() -> dict[str, Any]:
    return draw(MODEL)


@pytest.fixture
def host() -> dict[str, Any]:
    batch, _ = assemble(MODEL, SYSTEMS, **parameters(MODEL, SYSTEMS))
    return batch


@pytest.fixture
def batch(host: dict[str, Any]) -> dict[str, Any]:
    return map_leaves(BACKEND.asarray, host)


def _numpy(tree: dict[str, Any]) -> dict[str, Any]:
    return map_leaves(BACKEND.to_numpy, tree)


def test_names_are_dotted_and_only_what_is_trained_is_a_parameter(params: dict[str, Any]) -> None:
    layer = Layer(MODEL, params)
    same(_numpy(layer.state_dict()), flatten(params), rtol=0.0)
    trained = {name for name, _ in layer.named_parameters()}
    assert trained == set(mdl.trainable_names(MODEL))
    assert {name for name, _ in layer.named_buffers()} == set(flatten(params)) - trained
    assert all(not x.stop_gradient for x in layer.parameters())


def test_outputs_are_those_of_numpy(
    params: dict[str, Any], host: dict[str, Any], batch: dict[str, Any]
) -> None:
    layer = Layer(MODEL, params)
    same(_numpy(layer(batch)), mdl.evaluate(NUMPY, MODEL, params, host), rtol=1e-9)


def test_an_optimizer_of_paddle_descends_through_the_forces(
    params: dict[str, Any], batch: dict[str, Any]
) -> None:
    layer = Layer(MODEL, params)
    want = _numpy(layer(batch))
    optimizer = paddle.optimizer.SGD(1e-3, parameters=layer.parameters())
    paddle.sum(layer(batch)["force"] ** 2).backward()
    optimizer.step()
    optimizer.clear_grad()
    after = BACKEND.to_numpy(layer(batch)["force"])
    assert (after**2).sum() < (want["force"] ** 2).sum()
    layer.set_state_dict({name: BACKEND.asarray(x) for name, x in flatten(params).items()})
    same(_numpy(layer(batch)), want, rtol=1e-14)


def test_gradients_are_the_slopes_of_the_loss(
    params: dict[str, Any], host: dict[str, Any], batch: dict[str, Any]
) -> None:
    layer = Layer(MODEL, params)
    paddle.sum(layer(batch)["force"] ** 2).backward()
    grads = {name: x.grad for name, x in layer.named_parameters()}
    for name in ("descriptor.embeddings.1.layers.1.idt", "fitting.nets.0.layers.2.w"):

        def loss(x: np.ndarray, which: str = name) -> float:
            changed = unflatten(flatten(params) | {which: x})
            return float((mdl.evaluate(NUMPY, MODEL, changed, host)["force"] ** 2).sum())

        same(BACKEND.to_numpy(grads[name]), by_differences(loss, flatten(params)[name], 1e-4), 1e-6)


def test_it_takes_a_molecule_and_leaves_the_given_parameters_alone() -> None:
    model = build()
    params = draw(model)
    before = {name: x.copy() for name, x in flatten(params).items()}
    batch, layout = assemble(model, [molecule()])
    out = Layer(model, params)(map_leaves(BACKEND.asarray, batch))
    got = layout.gather(BACKEND.to_numpy(out["force"]), 1, 5)[0]
    same(got, evaluate(model, params, [molecule()])["force"], rtol=1e-10)
    same(flatten(params), before, rtol=0.0)


def test_it_gives_and_differentiates_densities_of_states() -> None:
    one = case(DENSITIES["dos, fparam, aparam, softplus"])
    layer = Layer(one.model, one.params)
    out = layer(map_leaves(BACKEND.asarray, one.batch))
    same(_numpy(out), mdl.evaluate(NUMPY, one.model, one.params, one.batch))
    paddle.sum(out["dos"] ** 2).backward()
    name = "fitting.nets.0.layers.2.b"
    grad = dict(layer.named_parameters())[name].grad
    same(BACKEND.to_numpy(grad), density_slope(one, name), rtol=1e-9)


def test_conversions_leave_no_objects_behind() -> None:
    values = np.arange(6.0).reshape(2, 3)
    for x in (values, values.T, values[0, 0], np.zeros((0, 3)), np.array([True]), np.array(3)):
        same(BACKEND.to_numpy(BACKEND.asarray(x)), np.asarray(x))
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(100):
        BACKEND.asarray(values)
    gc.collect()
    assert len(gc.get_objects()) - before < 20
