"""Every backend against NumPy, and every gradient against that of another backend.

A new backend is one line in ``tests/_backends.py``, a new option one row in ``_rows.py``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE
from _cases import molecule
from _compare import same
from _derivatives import by_differences
from _rows import ROWS, Case, Row, case

from multifit import descriptor as dsc
from multifit import fitting as fit
from multifit import model as mdl
from multifit import networks as net
from multifit import optimizer as opt
from multifit.activations import NAMES
from multifit.backend import Backend, get_backend
from multifit.batch import flat_atoms
from multifit.loss import energy_loss
from multifit.tree import Tree, flatten, map_leaves, unflatten

NUMPY = get_backend("numpy")
LR = 4e-4
STEPS = 10

every_backend = pytest.mark.parametrize("name", INSTALLED)
every_row = pytest.mark.parametrize("key", ROWS)


def _numpy(backend: Backend, tree: Any) -> Any:
    return map_leaves(backend.to_numpy, tree)


# The blocks.


@every_backend
@pytest.mark.parametrize("activation", NAMES)
def test_networks(name: str, activation: str) -> None:
    network = net.fitting_network(3, 2, (3, 6, 5), activation_function=activation)
    params, x = net.init_network(network, 1), np.random.default_rng(0).normal(size=(4, 3))

    def both(backend: Backend) -> tuple[Any, Any]:
        def run(params: Tree, x: Any) -> tuple[Any, Any]:
            y, pullback = net.apply_network(backend.xp, network, params, x)
            return y, pullback(y)

        return backend.compile(run)(map_leaves(backend.asarray, params), backend.asarray(x))

    same(both(get_backend(name)), both(NUMPY))


@functools.cache
def _case(key: str, name: str) -> Case:
    return case(ROWS[key], get_backend(name))


@functools.cache
def _blocks(key: str, name: str) -> dict[str, Any]:
    """Return descriptors and fitted values of each type, and the gradient of their sum."""
    one, backend = _case(key, name), get_backend(name)
    model, found = one.model, {}
    for a, centre in one.batch["centres"].items():

        def run(params: Tree, batch: Tree, a: str = a, centre: Tree = centre) -> dict[str, Any]:
            own, tables = batch["centres"][a], batch["centres"][a]["tables"]
            n = own["mask"].shape[0]
            d, pull_d = dsc.describe(
                backend.xp, model.descriptor, params["descriptor"], int(a), n, tables
            )
            fparam = batch.get("fparam")
            if fparam is not None:
                fparam = backend.xp.take(fparam, own["frame"], axis=0)
            y, pull_y = fit.fit(
                backend.xp, model.fitting, params["fitting"], int(a), d, fparam, own.get("aparam")
            )
            g = pull_d(pull_y(backend.xp.ones_like(y)))
            return {"descriptor": d, "fitting": y, "slope": g}

        found[a] = _numpy(backend, backend.compile(run)(one.params, one.batch))
    return found


@every_backend
@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if not row.coefficients][:6])
def test_descriptor_and_fitting(key: str, name: str) -> None:
    rtol = ROWS[key].rtol
    same(_blocks(key, name), _blocks(key, "numpy"), rtol=rtol)


# The model.


@every_backend
@every_row
@pytest.mark.parametrize("output", ["energy", "atom_energy", "force", "virial", "atom_virial"])
def test_model(key: str, output: str, name: str) -> None:
    rtol = ROWS[key].rtol * (1.0 if "energy" in output else 10.0)
    same(_values(key, name)["out"][output], _values(key, "numpy")["out"][output], rtol=rtol)


# The loss, and training.


def _objective(one: Case, backend: Backend) -> Any:
    """Return f(trained parameters, batch, label, lr) → loss, all that it is made of."""

    def objective(trained: dict[str, Any], batch: Tree, label: Any, lr: Any) -> tuple[Any, Any]:
        out = mdl.evaluate(backend, one.model, one.join(trained), batch, atom_virial=True)
        atoms = flat_atoms(backend.xp, batch)
        loss, metrics = energy_loss(backend, one.loss, lr, out, label, atoms)
        return loss, {"out": out, "metrics": metrics}

    return objective


@dataclass(frozen=True)
class Run:
    """Some steps of Adam: what the first one saw, and the parameters after the last."""

    loss: np.ndarray
    values: dict[str, Any]
    grads: dict[str, np.ndarray]
    trained: dict[str, np.ndarray]


@functools.cache
def _training(key: str, name: str) -> Run:
    one, backend = _case(key, name), get_backend(name)
    differentiate = backend.value_and_grad(_objective(one, backend))
    adam = opt.Adam(max_norm=5.0)

    # Forces, loss, gradient and update are one program: compiling is what takes the time.
    def step(trained: Any, state: Any, batch: Any, label: Any, lr: Any, c: Any) -> Any:
        value, grads = differentiate(trained, batch, label, lr)
        new, state = opt.update(backend.xp, adam, trained, grads, state, lr, *c)
        return new, state, grads, value

    run, trained = backend.compile(step), one.split[0]
    state = map_leaves(backend.asarray, opt.init(_numpy(backend, trained)))
    first: Any = None
    for t in range(1, STEPS + 1):
        scalars = [backend.asarray(np.asarray(x)) for x in (LR, *adam.corrections(t))]
        trained, state, grads, value = run(
            trained, state, one.batch, one.label, scalars[0], scalars[1:]
        )
        first = first or (value, grads)
    (loss, values), grads = first
    return Run(
        backend.to_numpy(loss),
        _numpy(backend, values),
        _numpy(backend, grads),
        _numpy(backend, trained),
    )


@functools.cache
def _values(key: str, name: str) -> dict[str, Any]:
    """Return outputs, metrics and the loss, as training reports them where the backend trains."""
    if name in TRAINABLE:
        return _training(key, name).values | {"loss": _training(key, name).loss}
    one, backend = _case(key, name), get_backend(name)
    run, lr = backend.compile(_objective(one, backend)), backend.asarray(np.asarray(LR))
    loss, values = run(one.split[0], one.batch, one.label, lr)
    return _numpy(backend, values | {"loss": loss})


@every_backend
@every_row
@pytest.mark.parametrize("part", ["loss", "metrics"])
def test_loss(key: str, part: str, name: str) -> None:
    rtol = 10.0 * ROWS[key].rtol
    same(_values(key, name)[part], _values(key, "numpy")[part], rtol=rtol)


@pytest.mark.parametrize("name", TRAINABLE[1:])
@every_row
def test_gradients(key: str, name: str) -> None:
    got, want = _training(key, name).grads, _training(key, TRAINABLE[0]).grads
    assert set(got) == set(mdl.trainable_names(_case(key, name).model))
    same(got, want, rtol=10.0 * ROWS[key].rtol, atol=_slack(ROWS[key], want))


@pytest.mark.parametrize("name", TRAINABLE[1:])
@every_row
def test_parameters_after_ten_steps(key: str, name: str) -> None:
    row = ROWS[key]
    got, want = _training(key, name).trained, _training(key, TRAINABLE[0]).trained
    # Adam divides by |g|: where a gradient is no more than rounding, a step may go either way.
    same(got, want, rtol=1e-8 if row.rtol < 1e-9 else 1e-3, atol=None if row.rtol < 1e-9 else 1e-3)


def _slack(row: Row, grads: dict[str, np.ndarray]) -> float:
    """Return what rounding does to the smallest gradients."""
    return row.rtol * 10.0 * max(float(np.abs(x).max()) for x in grads.values())


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("key", ["two sides, gelu, huber", "fparam, aparam, softplus, norm"])
def test_gradients_are_the_slopes_of_the_loss(key: str, name: str) -> None:
    one = _case(key, "numpy")
    objective, (trained, _) = _objective(one, NUMPY), one.split
    grads = _training(key, name).grads
    for parameter in ("descriptor.embeddings.1.layers.1.idt", "fitting.nets.0.layers.2.w"):

        def loss(x: np.ndarray, which: str = parameter) -> float:
            value, _ = objective(trained | {which: x}, one.batch, one.label, np.asarray(LR))
            return float(value)

        same(grads[parameter], by_differences(loss, trained[parameter], 1e-4), rtol=1e-6)


# torch.nn.Module.


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")
def test_the_torch_module_has_the_dotted_names_and_the_same_outputs() -> None:
    import torch

    from multifit_torch import EnergyModule

    one, backend = _case("fparam, aparam, softplus, norm", "torch"), get_backend("torch")
    module = EnergyModule(one.model, _numpy(backend, one.params))
    flat = flatten(one.params)
    assert set(module.state_dict()) == set(flat)
    same(module.state_dict(), flat, rtol=0.0)
    trained = set(mdl.trainable_names(one.model))
    assert {name for name, _ in module.named_parameters()} == trained
    want = mdl.evaluate(backend, one.model, one.params, one.batch)
    out = module(one.batch)
    same(out, want, rtol=1e-14)
    # One optimizer step of torch's own, through forces.
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    (out["force"] ** 2).sum().backward()
    optimizer.step()
    after = module(one.batch)["force"].detach()
    assert float((after**2).sum()) < float((want["force"] ** 2).sum())
    module.load_state_dict(flat)
    same(module(one.batch), want, rtol=1e-14)


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")
def test_a_torch_module_takes_a_molecule() -> None:
    from _cases import assemble, build, draw, evaluate

    from multifit_torch import EnergyModule

    model, backend = build(), get_backend("torch")
    params = draw(model)
    batch, layout = assemble(model, [molecule()])
    out = EnergyModule(model, params)(map_leaves(backend.asarray, batch))
    got = layout.gather(backend.to_numpy(out["force"]), 1, 5)[0]
    same(got, evaluate(model, params, [molecule()])["force"], rtol=1e-10)


# A pytree and a pure function.


@pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
def test_the_jax_functions_evaluate_the_model_and_differentiate() -> None:
    import jax
    from _cases import assemble, build, draw

    from multifit_jax import energy_functions

    model = build()
    host = draw(model)
    batch, _ = assemble(model, [molecule()])
    params, apply = energy_functions(model, host)
    assert set(flatten(params)) == set(flatten(host))
    assert all(isinstance(x, jax.Array) for x in flatten(params).values())
    same(jax.jit(apply)(params, batch), mdl.evaluate(NUMPY, model, host, batch), rtol=1e-9)

    @jax.jit
    def loss(params: Any) -> Any:
        return (apply(params, batch)["force"] ** 2).sum()

    grads = jax.grad(loss)(params)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    name = "fitting.nets.0.layers.0.w"

    def moved(w: np.ndarray) -> float:
        return float(loss(unflatten(flatten(params) | {name: w})))

    same(flatten(grads)[name], by_differences(moved, flatten(host)[name], 1e-4), rtol=1e-6)
