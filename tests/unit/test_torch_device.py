"""PyTorch's devices: what is not there is refused, and an evaluation stays where it is."""

from __future__ import annotations

import pytest
from _backends import INSTALLED
from _cases import assemble, build, crystal, draw

from multifit import models as mdl
from multifit.errors import BackendError
from multifit.tree import map_leaves

pytestmark = pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")


def test_an_evaluation_stays_on_its_device() -> None:
    from multifit_torch import TorchBackend

    # The device without memory refuses to mix with the CPU.
    backend, model = TorchBackend(device="meta"), build()
    batch, _ = assemble(model, [crystal()])
    batch["directions"] = mdl.directions(6)
    arrays = map_leaves(backend.asarray, batch)
    out = mdl.evaluate_hessian(backend, model, map_leaves(backend.asarray, draw(model)), arrays)
    assert {x.device.type for x in out.values()} == {"meta"}
    assert out["hessian"].shape == (6, 3, 18)


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multifit_torch import TorchBackend

    monkeypatch.setenv("MULTIFIT_DEVICE", device)
    with pytest.raises(BackendError, match=f"no device '{device}' here; set MULTIFIT_DEVICE") as e:
        TorchBackend()
    assert "cpu" in str(e.value)
    assert "\n" not in str(e.value)
