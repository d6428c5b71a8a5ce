"""The adapter for TensorFlow; see :class:`multifit.backend.Backend`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from . import _namespace as xp

Array = Any  #: a tf.Tensor


def _default_device() -> str:
    """Return TensorFlow's name of ``$MULTIFIT_DEVICE``, else the first GPU if there is any."""
    wanted = os.environ.get("MULTIFIT_DEVICE")
    if not wanted:
        return "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    kind, _, number = wanted.partition(":")
    return f"{kind.upper().replace('CUDA', 'GPU')}:{number or 0}"


@dataclass(frozen=True)
class TensorFlowBackend:
    """Tensors on one device: ``$MULTIFIT_DEVICE``, else a GPU if there is any."""

    name: str = "tensorflow"
    xp: Any = xp
    can_train: bool = True
    static_shapes: bool = True
    device: str = field(default_factory=_default_device)

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return a tensor of the same values and dtype on the device."""
        with tf.device(self.device):
            return tf.constant(x)

    def to_numpy(self, x: Array, /) -> np.ndarray:
        """Return the values."""
        return np.asarray(x)

    def segment_sum(self, x: Array, index: Array, n: int, /) -> Array:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        return tf.math.unsorted_segment_sum(x, index, n)

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Turn f(params, *rest) → (scalar, aux) into one that returns ((scalar, aux), gradient)."""

        def run(params: dict[str, Array], *rest: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                leaves = {name: tf.convert_to_tensor(x) for name, x in params.items()}
                tape.watch(leaves)
                value, aux = f(leaves, *rest)
            grads = tape.gradient(value, leaves, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            # What was gathered from has tf.IndexedSlices as its gradient.
            return (value, aux), {name: tf.convert_to_tensor(g) for name, g in grads.items()}

        return run

    def compile(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Return f compiled once for each shape of its arguments."""
        xla = os.environ.get("TFMODE", "xla") == "xla"
        compiled = tf.function(f, autograph=False, jit_compile=xla)

        def run(*args: Any) -> Any:
            with tf.device(self.device):
                return compiled(*args)

        return run

    def describe(self) -> dict[str, str]:
        """Return the version and the devices."""
        gpus = tf.config.list_physical_devices("GPU")
        details = tf.config.experimental.get_device_details
        names = [details(each).get("device_name", each.name) for each in gpus]
        return {"version": tf.__version__, "devices": ", ".join(names) or "cpu"}
