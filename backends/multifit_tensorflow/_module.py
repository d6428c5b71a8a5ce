"""An energy model as a ``tf.Module``."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from multifit import models as mdl
from multifit.batching.types import Batch
from multifit.tree import Flat, unflatten

from ._backend import TensorFlowBackend


class Module(tf.Module):  # type: ignore[misc]
    """The model's parameters as variables under their dotted names, and its forward pass.

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
        super().__init__(name="energy")
        self.model = model
        self._backend = TensorFlowBackend()
        #: Every parameter under its dotted name.
        self.parameters: Flat = {
            name: tf.Variable(value, trainable=trainable, name=name)
            for name, value, trainable in mdl.native_parameters(self._backend, model, params)
        }

    def __repr__(self) -> str:
        """Return a one-line description of the model."""
        return f"<Module {self.model}>"

    def __call__(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Return the outputs of :func:`multifit.models.evaluate` for a batch of tensors."""
        # A variable lacks some attributes of a tensor, and a tape records the conversion.
        flat = {name: tf.convert_to_tensor(value) for name, value in self.parameters.items()}
        return mdl.evaluate(self._backend, self.model, unflatten(flat), batch)
