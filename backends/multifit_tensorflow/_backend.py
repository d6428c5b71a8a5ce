"""The adapter for TensorFlow; see :class:`multifit.backend.Backend`."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from multifit.backend import Exporter, Place
from multifit.errors import BackendError
from multifit.host import threads

from . import _namespace as xp
from ._export import saved_model

Array = Any  #: a tf.Tensor

#: Options of XLA for CPUs, and the TensorFlow they are for: an unknown flag ends the
#: process. Its older emitters and less of LLVM compile in three quarters of the time, and a step
#: takes a tenth less.
CPU_FLAGS, TOLD = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false", "2.21."


def _gpus() -> list[Any]:
    """Return the GPUs that TensorFlow can use."""
    return list(tf.config.list_physical_devices("GPU"))


def _default_device() -> str:
    """Return the device of ``$MULTIFIT_DEVICE`` in TensorFlow's spelling, else a GPU if any."""
    kind, _, number = (os.environ.get("MULTIFIT_DEVICE") or "").partition(":")
    if not kind:
        kind = "gpu" if _gpus() else "cpu"
    return f"{kind.upper().replace('CUDA', 'GPU')}:{number or 0}"


@functools.cache
def _tell_xla() -> None:
    """Make XLA read our flags, as it does at its first compilation; the user's take precedence."""
    if not tf.__version__.startswith(TOLD):
        return
    given = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{CPU_FLAGS} {given or ''}"
    try:
        with tf.device("CPU:0"):
            tf.function(tf.negative, jit_compile=True)(tf.constant(1.0))
    finally:  # JAX reads it, too, and may be of another version
        del os.environ["XLA_FLAGS"]
        if given is not None:
            os.environ["XLA_FLAGS"] = given


def limit_threads() -> None:
    """Set the number of threads, unless a variable of TensorFlow or the program does.

    It cannot be changed once TensorFlow has started.
    """
    own = tf.config.threading
    pools = (
        ("INTRA", own.get_intra_op_parallelism_threads, own.set_intra_op_parallelism_threads),
        ("INTER", own.get_inter_op_parallelism_threads, own.set_inter_op_parallelism_threads),
    )
    for name, current, put in pools:
        if f"TF_NUM_{name}OP_THREADS" not in os.environ:
            with contextlib.suppress(RuntimeError):  # it has started
                put(threads.limited(current() or threads.number()))


@dataclass(frozen=True)
class TensorFlowBackend:
    """Tensors on one device: ``$MULTIFIT_DEVICE``, else a GPU if there is any.

    ``MULTIFIT_XLA=0`` does without XLA: the first step comes sooner, the others take longer.
    """

    name: str = "tensorflow"
    xp: Any = xp
    can_train: bool = True
    static_shapes: bool = True
    eager: bool = False
    adam: None = None
    device: str = field(default_factory=_default_device)
    xla: bool = field(default_factory=lambda: os.environ.get("MULTIFIT_XLA") != "0")

    def __post_init__(self) -> None:
        """Raise for a missing device: TensorFlow would silently use another."""
        known = {"CPU:0": "cpu"} | {f"GPU:{k}": f"cuda:{k}" for k in range(len(_gpus()))}
        if self.device not in known:
            raise BackendError(
                f"TensorFlow has no device {self.device!r} here; set MULTIFIT_DEVICE to one of: "
                f"{', '.join(known.values())}"
            )

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return a tensor of the same values and dtype on the device."""
        with tf.device(self.device):
            return tf.constant(x)

    as_input = asarray

    @property
    def on_cpu(self) -> bool:
        """True if arrays are in host memory."""
        return self.device.startswith("CPU")

    def to_numpy(self, x: Array, /) -> np.ndarray:
        """Return the values."""
        return np.asarray(x)

    def segment_sum(self, x: Array, index: Array, n: int, /) -> Array:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        return tf.math.unsorted_segment_sum(x, index, n)

    def each(self, f: Callable[[Any], Any], blocks: Any, /) -> Any:
        """Return f of each block of arrays, stacked along first axes, one block at a time."""
        first = f(tf.nest.map_structure(lambda x: x[0], blocks))  # left out: only its types count
        kinds = tf.nest.map_structure(lambda x: x.dtype, first)
        return tf.map_fn(f, blocks, fn_output_signature=kinds, parallel_iterations=1)

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Turn f(params, *rest) → (scalar, aux) into one that returns ((scalar, aux), gradient).

        Within a compiled function it is compiled by XLA; see :meth:`compile`.
        """

        def differentiate(params: dict[str, Array], *rest: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                leaves = {name: tf.convert_to_tensor(x) for name, x in params.items()}
                tape.watch(leaves)
                value, aux = f(leaves, *rest)
            grads = tape.gradient(value, leaves, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            # What was gathered from has tf.IndexedSlices as its gradient.
            return (value, aux), {name: tf.convert_to_tensor(g) for name, g in grads.items()}

        compiled = tf.function(differentiate, autograph=False, jit_compile=self.xla)

        def run(params: dict[str, Array], *rest: Any) -> Any:
            return (differentiate if tf.executing_eagerly() else compiled)(params, *rest)

        return run

    def compile(self, f: Callable[..., Any], /, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Return f as a graph, traced once for each shape of its arguments.

        XLA compiles gradients, and as a whole a function that is to be called again and again with
        what it returns (``donate``): a training step, which then takes 40 ms instead of 46 for the
        water model of DeePMD-kit (192 atoms, two cores). A prediction takes two thirds of the time
        with XLA, but seconds to compile: the few of a validation would never pay them back.
        """
        xla = self.xla and bool(donate)
        if xla and self.on_cpu:
            _tell_xla()
        graph = tf.function(f, autograph=False, jit_compile=xla)

        def run(*args: Any) -> Any:
            with tf.device(self.device):
                return graph(*args)

        return run

    def engine(self, _place: Place, /) -> None:
        """Return None: processes of one host share memory, others cannot train together."""

    def exporters(self) -> dict[str, Exporter]:
        """Return the file formats that run without multifit."""
        return {"savedmodel": saved_model(self)}

    def describe(self) -> dict[str, str]:
        """Return the version, the devices and the number of threads, if it is known."""
        details = tf.config.experimental.get_device_details
        gpus = [details(each).get("device_name", each.name) for each in _gpus()]
        number = tf.config.threading.get_intra_op_parallelism_threads()
        return {
            "version": tf.__version__,
            "devices": ", ".join(gpus) or "cpu",
            "threads": str(number or os.environ.get("TF_NUM_INTRAOP_THREADS", "")),
        }
