"""An energy model as a ``torch.nn.Module``."""

from __future__ import annotations

from typing import Any

import torch

from multifit import models as mdl
from multifit.batching.types import Batch
from multifit.tree import unflatten

from ._backend import TorchBackend


class Module(torch.nn.Module):
    """The model's parameters under their dotted names, and its forward pass.

    Parameters
    ----------
    model
        The settings.
    params
        The parameters as a nested dict of NumPy arrays, as from :func:`multifit.models.init`.

    Raises
    ------
    UnsupportedError
        If the backend does not have the precision of a net.
    """

    def __init__(self, model: mdl.Model, params: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self._backend = TorchBackend()
        for name, value, trainable in mdl.native_parameters(self._backend, model, params):
            self._register(name, value, trainable)

    def _register(self, name: str, value: torch.Tensor, trainable: bool) -> None:
        *path, last = name.split(".")
        owner: torch.nn.Module = self
        for key in path:
            if not hasattr(owner, key):
                owner.add_module(key, torch.nn.Module())
            owner = getattr(owner, key)
        if trainable:
            owner.register_parameter(last, torch.nn.Parameter(value))
        else:
            owner.register_buffer(last, value)

    def extra_repr(self) -> str:
        """Return a description of the model, for torch's listing of modules."""
        return str(self.model)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the outputs of :func:`multifit.models.evaluate` for a batch of tensors."""
        params = unflatten(dict(self.named_parameters()) | dict(self.named_buffers()))
        return mdl.evaluate(self._backend, self.model, params, batch)
