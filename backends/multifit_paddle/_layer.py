"""An energy model as a ``paddle.nn.Layer``."""

from __future__ import annotations

from typing import Any

from multifit import models as mdl
from multifit.batching.types import Batch
from multifit.tree import unflatten

from ._backend import Array, PaddleBackend
from ._start import paddle


class Layer(paddle.nn.Layer):
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
        self._backend = PaddleBackend()
        for name, value, trainable in mdl.native_parameters(self._backend, model, params):
            self._register(name, value, trainable)

    def _register(self, name: str, value: Array, trainable: bool) -> None:
        *path, last = name.split(".")
        owner: paddle.nn.Layer = self
        for key in path:
            if key not in owner._sub_layers:
                owner.add_sublayer(key, paddle.nn.Layer())
            owner = owner._sub_layers[key]
        if trainable:
            start = paddle.nn.initializer.Assign(value)
            parameter = owner.create_parameter(
                value.shape, dtype=value.dtype, default_initializer=start
            )
            owner.add_parameter(last, parameter)
        else:
            owner.register_buffer(last, value)

    def forward(self, batch: Batch) -> dict[str, Array]:
        """Return the outputs of :func:`multifit.models.evaluate` for a batch of tensors."""
        params = unflatten(dict(self.named_parameters()) | dict(self.named_buffers()))
        return mdl.evaluate(self._backend, self.model, params, batch)
