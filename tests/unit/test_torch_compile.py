"""PyTorch with torch.compile, on request: the numbers of eager mode."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import assemble, build, crystal, draw, series
from _compare import same

from multifit import models as mdl
from multifit.backend import get_backend
from multifit.errors import BackendError
from multifit.tree import flatten, map_leaves, unflatten

if "torch" not in INSTALLED:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

from multifit_torch import TorchBackend

COMPILER = shutil.which("g++")


def gradients(backend: TorchBackend) -> tuple[float, dict[str, np.ndarray]]:
    """Return a loss of energies and forces of one frame, and its gradient."""
    model = build(type_one_side=False)
    batch, _ = assemble(model, [crystal()], True)
    batch["plan"] = series(model, [crystal()], 24)
    batch = mdl.prepared(get_backend("numpy").xp, model, draw(model), batch)
    flat = flatten(draw(model))
    names = set(mdl.trainable_names(model))

    def loss(moving: Any, rest: Any, batch: Any) -> Any:
        out = mdl.evaluate(backend, model, unflatten({**rest, **moving}), batch)
        return backend.xp.sum(out["energy"]) + backend.xp.sum(out["force"] ** 2), {}

    moving = {k: x for k, x in flat.items() if k in names}
    rest = {k: x for k, x in flat.items() if k not in names}
    arrays = [map_leaves(backend.asarray, x) for x in (moving, rest, batch)]
    (value, _), grads = backend.value_and_grad(loss)(*arrays)
    return float(value), {name: backend.to_numpy(x) for name, x in grads.items()}


@pytest.mark.filterwarnings("default")  # PyTorch warns of itself
@pytest.mark.skipif(COMPILER is None, reason="torch.compile needs g++")
def test_compiled_gradients_are_those_of_eager_mode() -> None:
    value, grads = gradients(TorchBackend(inductor=True))
    wanted, want = gradients(TorchBackend(inductor=False))
    same(value, wanted, rtol=1e-12)
    assert set(grads) == set(want)
    for name, x in grads.items():
        same(x, want[name], rtol=1e-10, atol=1e-12)


def test_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, wanted in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("MULTIFIT_TORCH_COMPILE", text)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        backend = TorchBackend()
        assert (backend.inductor, backend.static_shapes) == (wanted, wanted)
        assert backend.eager


def test_without_a_compiler_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BackendError, match="no g\\+\\+: install one, or name it in CXX"):
        TorchBackend(inductor=True)
    assert not TorchBackend(inductor=False).static_shapes
