"""What TensorFlow users hold: a ``tf.Module``; and when functions are traced."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _batches import case, density_slope
from _cases import assemble, build, draw, evaluate, molecule
from _check import on, to_numpy
from _compare import same
from _derivatives import by_differences
from _rows import MODELS
from _rows_dos import DENSITIES

from multifit import models as mdl
from multifit.backend import get_backend
from multifit.errors import BackendError
from multifit.loss import EnergyLossConfig
from multifit.optim import adam as opt
from multifit.train.step.step import Objective, scalars, train_step
from multifit.tree import flatten, map_leaves, unflatten

# In this order: the adapter keeps TensorFlow quiet.
adapter = pytest.importorskip("multifit_tensorflow")
tf = pytest.importorskip("tensorflow")

BACKEND, NUMPY = get_backend("tensorflow"), get_backend("numpy")
ONE = case(MODELS["fparam, aparam, softplus"])


@pytest.fixture
def module() -> Any:
    return adapter.Module(ONE.model, ONE.params)


@pytest.fixture
def batch() -> Any:
    return on(BACKEND, ONE.batch)


def _square(module: Any, batch: Any) -> Any:
    return tf.reduce_sum(tf.square(module(batch)["force"]))


def test_variables_have_the_dotted_names_and_know_what_is_trained(module: Any) -> None:
    flat = flatten(ONE.params)
    same({name: x.numpy() for name, x in module.parameters.items()}, flat, rtol=0.0)
    assert {x.name.removesuffix(":0") for x in module.variables} == set(flat)
    trained = {x.name.removesuffix(":0") for x in module.trainable_variables}
    assert trained == set(ONE.trainable)


def test_outputs_are_those_of_numpy(module: Any, batch: Any) -> None:
    want = mdl.evaluate(NUMPY, ONE.model, ONE.params, ONE.batch)
    same(to_numpy(BACKEND, module(batch)), want, rtol=1e-9)
    compiled = tf.function(module, autograph=False, jit_compile=True)
    same(to_numpy(BACKEND, compiled(batch)), want, rtol=1e-9)


def test_a_step_down_the_gradient_through_forces_descends(module: Any, batch: Any) -> None:
    before = module(batch)
    with tf.GradientTape() as tape:
        loss = _square(module, batch)
    variables = module.trainable_variables
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(1e-3 * gradient)
    assert float(_square(module, batch)) < float(loss)
    for name, x in flatten(ONE.params).items():
        module.parameters[name].assign(x)
    same(to_numpy(BACKEND, module(batch)), to_numpy(BACKEND, before), rtol=0.0)


@pytest.mark.parametrize(
    "name", ["descriptor.embeddings.1.layers.1.idt", "fitting.nets.0.layers.2.w"]
)
def test_gradients_are_the_slopes_of_the_forces(name: str, module: Any, batch: Any) -> None:
    with tf.GradientTape() as tape:
        loss = _square(module, batch)
    got = tape.gradient(loss, module.parameters[name]).numpy()

    def moved(x: np.ndarray) -> float:
        params = unflatten(flatten(ONE.params) | {name: x})
        return float((mdl.evaluate(NUMPY, ONE.model, params, ONE.batch)["force"] ** 2).sum())

    same(got, by_differences(moved, flatten(ONE.params)[name], 1e-4), rtol=1e-6)


def test_variables_go_through_a_checkpoint_of_tensorflow(
    module: Any, batch: Any, tmp_path: Path
) -> None:
    path = tf.train.Checkpoint(model=module).write(str(tmp_path / "ckpt"))
    other = adapter.Module(ONE.model, map_leaves(np.zeros_like, ONE.params))
    assert repr(other) == f"<Module {ONE.model}>"
    tf.train.Checkpoint(model=other).read(path).assert_consumed()
    same(to_numpy(BACKEND, other(batch)), to_numpy(BACKEND, module(batch)), rtol=0.0)


def test_the_module_takes_a_molecule() -> None:
    model = build()
    params = draw(model)
    host, layout = assemble(model, [molecule()])
    out = adapter.Module(model, params)(on(BACKEND, host))
    got = layout.gather(BACKEND.to_numpy(out["force"]), 1, 5)[0]
    same(got, evaluate(model, params, [molecule()])["force"], rtol=1e-10)


def test_the_module_gives_and_differentiates_densities_of_states() -> None:
    one = case(DENSITIES["dos, fparam, aparam, softplus"])
    module, given = adapter.Module(one.model, one.params), on(BACKEND, one.batch)
    with tf.GradientTape() as tape:
        out = module(given)
        total = tf.reduce_sum(tf.square(out["dos"]))
    same(to_numpy(BACKEND, out), mdl.evaluate(NUMPY, one.model, one.params, one.batch))
    name = "fitting.nets.0.layers.2.b"
    got = tape.gradient(total, module.parameters[name]).numpy()
    same(got, density_slope(one, name), rtol=1e-9)


# How functions are compiled.


def test_a_training_step_is_traced_once() -> None:
    traced = []

    class Counted(Objective):
        def __call__(self, *args: Any) -> Any:
            traced.append(1)
            return super().__call__(*args)

    adam, one = opt.Adam(max_norm=5.0), case(MODELS["plain"])
    step = train_step(Counted(BACKEND, one.model, EnergyLossConfig(1e-3)), adam, None)
    state = on(BACKEND, opt.init(one.trainable))
    params, frozen = on(BACKEND, one.trainable), on(BACKEND, one.frozen)
    for t in range(1, 4):
        given, label = on(BACKEND, one.batch), on(BACKEND, one.label)
        values = on(BACKEND, scalars(adam, 1e-3 * 0.9**t, t))
        params, state, _ = step(params, frozen, state, given, label, values)
    assert len(traced) == 1


def test_compiled_functions_take_lists_and_arrays_of_numpy_and_trace_once_for_each_shape() -> None:
    traced = []

    def f(arrays: list[Any], scale: tuple[Any, ...]) -> list[Any]:
        traced.append(1)
        return [x * scale[0] for x in arrays]

    run = BACKEND.compile(f)
    for k in range(1, 4):
        x = np.arange(3.0) + k
        one, two = run([BACKEND.asarray(x), x], (BACKEND.asarray(np.asarray(2.0)),))
        same(BACKEND.to_numpy(one), 2.0 * x)
        same(BACKEND.to_numpy(two), 2.0 * x)
    assert len(traced) == 1
    run([BACKEND.asarray(np.ones(5)), np.ones(3)], (BACKEND.asarray(np.asarray(2.0)),))
    assert len(traced) == 2


def test_gradients_of_what_is_gathered_from_are_dense() -> None:
    xp = BACKEND.xp
    index = BACKEND.asarray(np.array([2, 0, 2]))

    def f(p: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return xp.sum(xp.take(p["x"], index, axis=0) ** 2), {}

    x = np.arange(8.0).reshape(4, 2)
    for run in (BACKEND.value_and_grad(f), BACKEND.compile(BACKEND.value_and_grad(f))):
        _, grads = run({"x": BACKEND.asarray(x)})
        same(BACKEND.to_numpy(grads["x"]), np.array([[2], [0], [4], [0]]) * x)


def test_the_device_is_chosen_as_for_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = sys.modules[adapter.TensorFlowBackend.__module__]
    monkeypatch.setattr(backend, "_gpus", lambda: ["one", "another"])
    named = {"": "GPU:0", "cpu": "CPU:0", "cuda": "GPU:0", "cuda:1": "GPU:1", "gpu:1": "GPU:1"}
    for wanted, device in named.items():
        monkeypatch.setenv("MULTIFIT_DEVICE", wanted)
        assert adapter.TensorFlowBackend().device == device
    monkeypatch.setenv("MULTIFIT_DEVICE", "cuda:2")
    with pytest.raises(BackendError, match=r"'GPU:2' here; .* one of: cpu, cuda:0, cuda:1"):
        adapter.TensorFlowBackend()
    monkeypatch.setattr(backend, "_gpus", list)
    monkeypatch.delenv("MULTIFIT_DEVICE")
    assert adapter.TensorFlowBackend().device == "CPU:0"
