"""What PyTorch users hold: a ``torch.nn.Module`` with the model's parameters under their names."""

from __future__ import annotations

import pytest
from _backends import INSTALLED
from _batches import case, density_slope
from _cases import assemble, build, draw, evaluate, molecule
from _compare import same
from _rows import MODELS
from _rows_dos import DENSITIES

from multifit import models as mdl
from multifit.backend import get_backend
from multifit.tree import flatten, map_leaves

pytestmark = pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")


def test_the_module_has_the_dotted_names_and_the_same_outputs() -> None:
    import torch

    from multifit_torch import Module

    one, backend = case(MODELS["fparam, aparam, softplus"]), get_backend("torch")
    params, batch = (map_leaves(backend.asarray, x) for x in (one.params, one.batch))
    module, flat = Module(one.model, one.params), flatten(params)
    assert str(one.model) in repr(module)
    assert set(module.state_dict()) == set(flat)
    same(module.state_dict(), flat, rtol=0.0)
    assert {name for name, _ in module.named_parameters()} == set(one.trainable)
    want = mdl.evaluate(backend, one.model, params, batch)
    out = module(batch)
    same(out, want, rtol=1e-14)
    # One optimizer step of torch's own, through forces.
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    (out["force"] ** 2).sum().backward()
    optimizer.step()
    after = module(batch)["force"].detach()
    assert float((after**2).sum()) < float((want["force"] ** 2).sum())
    module.load_state_dict(flat)
    same(module(batch), want, rtol=1e-14)


def test_the_module_takes_a_molecule() -> None:
    from multifit_torch import Module

    model, backend = build(), get_backend("torch")
    params = draw(model)
    batch, layout = assemble(model, [molecule()])
    out = Module(model, params)(map_leaves(backend.asarray, batch))
    got = layout.gather(backend.to_numpy(out["force"]), 1, 5)[0]
    same(got, evaluate(model, params, [molecule()])["force"], rtol=1e-10)


def test_the_module_gives_and_differentiates_densities_of_states() -> None:
    from multifit_torch import Module

    one, backend = case(DENSITIES["dos, fparam, aparam, softplus"]), get_backend("torch")
    module = Module(one.model, one.params)
    out = module(map_leaves(backend.asarray, one.batch))
    same(out, mdl.evaluate(get_backend("numpy"), one.model, one.params, one.batch))
    (out["dos"] ** 2).sum().backward()
    name = "fitting.nets.0.layers.2.b"
    same(dict(module.named_parameters())[name].grad, density_slope(one, name), rtol=1e-9)
