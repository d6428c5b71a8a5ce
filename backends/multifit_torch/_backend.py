"""The adapter for PyTorch; see :class:`multifit.backend.Backend`."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from multifit.backend import Exporter, Place
from multifit.distributed import local_rank
from multifit.errors import BackendError
from multifit.host import threads
from multifit.optim.adam import Kernel, Step, is_usable

from ._engine import TorchEngine
from ._export import package, torchscript

Array = torch.Tensor

#: Functions that create arrays, which torch would put on the CPU.
_CREATION = frozenset({"arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros"})

#: Maximum number of programs compiled by torch.compile in a process.
MOST_SHAPES = 256


@dataclass(frozen=True)
class _OnDevice:
    """The namespace with new arrays on one device."""

    device: str

    def __getattr__(self, name: str) -> Any:
        found = getattr(xp, name)
        return functools.partial(found, device=self.device) if name in _CREATION else found


def _default_device() -> str:
    """Return ``$MULTIFIT_DEVICE``, else the GPU of this process, else the CPU."""
    given = os.environ.get("MULTIFIT_DEVICE")
    if given or not torch.cuda.is_available():
        return given or "cpu"
    number = local_rank()  # of the processes on this host, each takes another
    return f"cuda:{number % torch.cuda.device_count()}" if number else "cuda"


def _wants_inductor() -> bool:
    return os.environ.get("MULTIFIT_TORCH_COMPILE", "") not in ("", "0")


@dataclass(frozen=True)
class TorchBackend:
    """Tensors on one device: ``$MULTIFIT_DEVICE``, else CUDA if there is any.

    With ``$MULTIFIT_TORCH_COMPILE`` predictions and gradients are compiled by ``torch.compile``;
    else, and what updates parameters always, all is eager.
    """

    name: str = "torch"
    can_train: bool = True
    eager: bool = True
    device: str = field(default_factory=_default_device)
    inductor: bool = field(default_factory=_wants_inductor)

    def __post_init__(self) -> None:
        """Set the number of threads; raise an error for a missing device or compiler."""
        torch.set_num_threads(threads.limited(torch.get_num_threads()))
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError, ImportError) as exc:  # the last two without support
            gpus = range(torch.cuda.device_count())
            known = ", ".join(["cpu", *(f"cuda:{k}" for k in gpus)])
            raise BackendError(
                f"PyTorch has no device {self.device!r} here; set MULTIFIT_DEVICE to one of: "
                f"{known}"
            ) from exc
        if self.inductor:
            compiler = shlex.split(os.environ.get("CXX") or "g++")[0]
            if not shutil.which(compiler):
                raise BackendError(
                    "MULTIFIT_TORCH_COMPILE is set, but torch.compile needs a C++ compiler, and "
                    f"there is no {compiler}: install one, or name it in CXX"
                )

    @property
    def static_shapes(self) -> bool:
        """True if each new shape is compiled."""
        return self.inductor

    @property
    def xp(self) -> Any:
        """The namespace; its new arrays are on the device."""
        return xp if self.device == "cpu" else _OnDevice(self.device)

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return a tensor of the same values and dtype on the device."""
        return torch.tensor(np.asarray(x), device=self.device)

    def as_input(self, x: np.ndarray, /) -> Array:
        """Return a tensor that shares the array's memory, if possible."""
        if not self.on_cpu:
            return self.asarray(x)
        # torch.tensor copies parts of arrays slowly, number by number.
        return torch.from_numpy(np.require(x, requirements=("C", "W")))

    @property
    def on_cpu(self) -> bool:
        """True if arrays are in host memory."""
        return self.device.partition(":")[0] == "cpu"

    def to_numpy(self, x: Array, /) -> np.ndarray:
        """Return a copy of the values, cut from any gradient."""
        # A copy: parameters are updated in place.
        return np.array(x.detach().cpu().numpy())

    def segment_sum(self, x: Array, index: Array, n: int, /) -> Array:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        if n == 1:  # Inductor (2.13) has no code for adding up at one place
            return torch.sum(x, dim=0, keepdim=True)
        zeros = torch.zeros((n, *x.shape[1:]), dtype=x.dtype, device=x.device)
        return zeros.index_add(0, index, x)

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Turn f(params, *rest) → (scalar, aux) into one that returns ((scalar, aux), gradient)."""
        f = self._compiled(f)

        def run(params: dict[str, Array], *rest: Any) -> Any:
            with torch.enable_grad():
                leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
                value, aux = f(leaves, *rest)
                grads = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
            return (value.detach(), _detached(aux)), dict(zip(leaves, grads, strict=True))

        return run

    def compile(self, f: Callable[..., Any], /, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Return f without recording gradients, compiled if requested."""
        # Inductor cannot trace a step, which differentiates: its gradient is compiled alone.
        return torch.no_grad()(f if donate else self._compiled(f))

    def _compiled(self, f: Callable[..., Any]) -> Callable[..., Any]:
        if not self.inductor:
            return f
        # Beyond this number of shapes, eight by default, PyTorch would silently be eager.
        torch._dynamo.config.recompile_limit = MOST_SHAPES
        # A separate function: not every callable object can be compiled.
        made: Callable[..., Any] = torch.compile(lambda *args: f(*args), dynamic=False)
        return made

    @functools.cached_property
    def adam(self) -> Kernel | None:
        """PyTorch's kernel, a private function; None if it is missing or different."""
        return _fused_adam if is_usable(_fused_adam, self.asarray, self.to_numpy) else None

    def engine(self, place: Place, /) -> TorchEngine:
        """Start the communication between the processes of a run."""
        return TorchEngine(place, self.device)

    def exporters(self) -> dict[str, Exporter]:
        """Return the file formats that run without multifit."""
        return {"pt2": package(self), "torchscript": torchscript(self)}

    def describe(self) -> dict[str, str]:
        """Return the version, the devices and the number of threads."""
        gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        return {
            "version": torch.__version__,
            "devices": ", ".join(gpus) or "cpu",
            "threads": str(torch.get_num_threads()),
        }


def _fused_adam(x: Array, g: Array, m: Array, v: Array, step: Step) -> None:
    """Update x and its moments in place: by −rate · m/(√v + ε)."""
    forever = [torch.full((), torch.inf, device=x.device)]  # steps: β^∞ = 0 corrects nothing
    torch._fused_adam_(
        [x], [g.contiguous()], [m], [v], [], forever,  # it takes no notice of strides
        lr=step.rate, beta1=step.beta1, beta2=step.beta2, eps=step.epsilon,
        weight_decay=0.0, amsgrad=False, maximize=False,
    )  # fmt: skip


def _detached(aux: Any) -> Any:
    if isinstance(aux, dict):
        return {k: _detached(v) for k, v in aux.items()}
    return aux.detach() if isinstance(aux, torch.Tensor) else aux
