"""The adapter for Paddle; see :class:`multifit.backend.Backend`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multifit.backend import Exporter, Place
from multifit.distributed import local_rank
from multifit.errors import BackendError
from multifit.optim.adam import Kernel, Step, is_usable

from . import _namespace as xp
from ._engine import PaddleEngine
from ._export import program
from ._start import paddle

Array = paddle.Tensor

#: Paddle's own number of threads.
FLAG = "FLAGS_paddle_num_threads"


def _gpus() -> list[str]:
    """Return the names of the GPUs that Paddle can use."""
    if not paddle.device.is_compiled_with_cuda():
        return []
    cuda = paddle.device.cuda
    return [cuda.get_device_name(k) for k in range(cuda.device_count())]


def _default_device() -> str:
    """Return the device of ``$MULTIFIT_DEVICE``, in Paddle's terms, else a GPU if there is any."""
    given, gpus = os.environ.get("MULTIFIT_DEVICE"), _gpus()
    # Of the processes on this host, each takes another GPU.
    device = given or (f"gpu:{local_rank() % len(gpus)}" if gpus else "cpu")
    return device.replace("cuda", "gpu")


@dataclass(frozen=True)
class PaddleBackend:
    """Tensors on one device, eager: ``$MULTIFIT_DEVICE``, else a GPU if there is any."""

    name: str = "paddle"
    xp: Any = xp
    can_train: bool = True
    static_shapes: bool = False
    eager: bool = True
    forks: bool = True  #: forked children compute as their parent does
    device: str = field(default_factory=_default_device)

    def __post_init__(self) -> None:
        """Make the device Paddle's default: arrays created by the core must be there, too."""
        try:
            paddle.device.set_device(self.device)
        except ValueError as exc:
            known = ", ".join(["cpu", *(f"cuda:{k}" for k in range(len(_gpus())))])
            raise BackendError(
                f"Paddle has no device {self.device!r} here; set MULTIFIT_DEVICE to one of: {known}"
            ) from exc

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return a tensor of the same values and dtype on the device."""
        return xp.from_numpy(np.asarray(x))

    as_input = asarray

    @property
    def on_cpu(self) -> bool:
        """True if arrays are in host memory."""
        return self.device.startswith("cpu")

    def to_numpy(self, x: Array, /) -> np.ndarray:
        """Return the values, cut from any gradient."""
        values: np.ndarray = x.numpy()
        return values

    def segment_sum(self, x: Array, index: Array, n: int, /) -> Array:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        # Twice as fast as index_add.
        zeros = paddle.zeros([n, *x.shape[1:]], x.dtype)
        return paddle.scatter(zeros, index, x, overwrite=False)

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Turn f(params, *rest) → (scalar, aux) into one that returns ((scalar, aux), gradient)."""

        def run(params: dict[str, Array], *rest: Any) -> Any:
            with paddle.enable_grad():
                leaves = {name: _leaf(x) for name, x in params.items()}
                value, aux = f(leaves, *rest)
                found = paddle.grad(value, list(leaves.values()), allow_unused=True)
            grads = {
                name: paddle.zeros_like(x) if g is None else g
                for (name, x), g in zip(params.items(), found, strict=True)
            }
            return (value.detach(), _detached(aux)), grads

        return run

    def compile(self, f: Callable[..., Any], /, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Return f without recording gradients.

        ``paddle.jit.to_static`` has no advantage: predicting for 192 atoms (networks of 1 M
        parameters, float64) takes 78 ms of a core with it and 53 ms without, after a compilation
        of 3 s for each shape; it rounds Python's numbers to float32; and differentiating the
        compiled loss crashes (Paddle 3.3.1).
        """
        return _without_gradients(f)

    @functools.cached_property
    def adam(self) -> Kernel | None:
        """Paddle's kernel, a private function; None if it is missing or different."""
        return _adam if is_usable(_adam, self.asarray, self.to_numpy) else None

    def engine(self, place: Place, /) -> PaddleEngine:
        """Start the communication between the processes of a run."""
        return PaddleEngine(place, self.on_cpu)

    def exporters(self) -> dict[str, Exporter]:
        """Return the file formats that run without multifit."""
        return {"paddle": program(self)}

    def describe(self) -> dict[str, str]:
        """Return the version, the devices and the number of threads."""
        return {
            "version": paddle.version.full_version,
            "devices": ", ".join(_gpus()) or "cpu",
            "threads": str(paddle.get_flags(FLAG)[FLAG]),
        }


def _adam(x: Array, g: Array, m: Array, v: Array, step: Step) -> None:
    """Update x and its moments in place: by −rate · m/(√v + ε)."""
    rate, first, second = _numbers(step.rate, x.dtype)
    kernel: Callable[..., Any] = paddle._C_ops.adam_  # its types are declared wrongly
    state = (m, v, None, first, second, None, None)
    flags = (False, 1000, False, False, False)  # lazy, its rows, mixed, shared powers, AMSGrad
    kernel(x, g, rate, *state, step.beta1, step.beta2, step.epsilon, *flags)


@functools.lru_cache(maxsize=4)
def _numbers(rate: float, dtype: Any) -> tuple[Array, Array, Array]:
    """Return the rate, and powers of β without a correction, for all parameters of a step."""
    return paddle.full([1], rate, dtype), paddle.zeros([1], dtype), paddle.zeros([1], dtype)


def _leaf(x: Array) -> Array:
    leaf = x.detach()
    leaf.stop_gradient = False
    return leaf


def _detached(aux: Any) -> Any:
    if isinstance(aux, dict):
        return {key: _detached(value) for key, value in aux.items()}
    return aux.detach() if isinstance(aux, Array) else aux


def _without_gradients(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, of which no gradient is recorded.

    Each call has a guard of its own: one that threads share would restore the state of another.
    """

    def call(*args: Any) -> Any:
        with paddle.no_grad():
            return f(*args)

    return call
