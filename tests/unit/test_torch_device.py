"""Nothing of an evaluation is left on the CPU: PyTorch's device without memory refuses to mix."""

from __future__ import annotations

import pytest
from _backends import INSTALLED
from _cases import assemble, build, crystal, draw

from multifit import model as mdl
from multifit.tree import map_leaves

pytestmark = pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")


def test_an_evaluation_stays_on_its_device() -> None:
    from multifit_torch import TorchBackend

    backend, model = TorchBackend(device="meta"), build()
    batch, _ = assemble(model, [crystal()])
    batch["directions"] = mdl.directions(6)
    arrays = map_leaves(backend.asarray, batch)
    out = mdl.evaluate_hessian(backend, model, map_leaves(backend.asarray, draw(model)), arrays)
    assert {x.device.type for x in out.values()} == {"meta"}
    assert out["hessian"].shape == (6, 3, 18)
