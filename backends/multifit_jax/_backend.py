"""The adapter for JAX; see :class:`multifit.backend.Backend`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multifit.backend import Exporter, Place
from multifit.host import cgroups, threads

from ._engine import JaxEngine
from ._export import stablehlo

# Energies are sums of many atoms: without this JAX silently computes in float32.
jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

Array = jax.Array

#: Options of XLA for CPUs, with JAX 0.10: its older emitters compile faster and in half of the
#: memory, LLVM needs a third less of the time for equally fast code, and each matrix product is
#: faster alone than fused with others.
CPU_OPTIONS: dict[str, bool | int | str] = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_backend_optimization_level": 1,
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
}


#: Linux's folder of the threads of this process, and the name of those of XLA.
TASKS, XLA_THREAD = Path("/proc/self/task"), "tf_XLAEigen"

#: Bytes below which compiled functions are given NumPy arrays: they convert and copy these faster
#: than a call of ``device_put``, which takes 0.1 ms.
SMALL = 1 << 20


@functools.cache
def _cpu_options() -> dict[str, bool | int | str]:
    """Return those of :data:`CPU_OPTIONS` that this XLA supports: others are errors."""
    known = {}
    for name, value in CPU_OPTIONS.items():
        try:
            jax.jit(jnp.negative, compiler_options={name: value})(1.0)
        except jax.errors.JaxRuntimeError:
            continue
        known[name] = value
    return known


def start() -> None:
    """Start XLA, unless the program has, with as many threads as this process may use.

    There is no option for their number but this variable.
    """
    with threads.environment(NPROC=str(threads.number())):
        jax.devices()


def _threads() -> str:
    """Return the number of XLA's threads, "" if the system does not tell."""
    names = [cgroups.read(path / "comm").strip() for path in TASKS.glob("*")]
    return str(names.count(XLA_THREAD)) if XLA_THREAD in names else ""


@dataclass(frozen=True)
class JaxBackend:
    """Arrays on JAX's default device (``JAX_PLATFORMS`` chooses it)."""

    name: str = "jax"
    xp: Any = jnp
    can_train: bool = True
    static_shapes: bool = True
    eager: bool = False
    adam: None = None

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return an array of the same values and dtype."""
        # Of a copy, whose memory it may share; jnp.asarray compiles for each new shape.
        made: Array = jax.device_put(np.array(x))
        return made

    def as_input(self, x: np.ndarray, /) -> Array | np.ndarray:
        """Return a small array itself, which a compiled function converts faster than a copy."""
        # A part of a larger array would keep all of it, and is slow to convert.
        whole = x if x.flags.c_contiguous else x.copy()
        return whole if x.nbytes < SMALL else jax.device_put(whole)

    @property
    def on_cpu(self) -> bool:
        """True if arrays are in host memory."""
        return jax.default_backend() == "cpu"

    def to_numpy(self, x: Array, /) -> np.ndarray:
        """Return the values."""
        return np.asarray(x)

    def segment_sum(self, x: Array, index: Array, n: int, /) -> Array:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        return jax.ops.segment_sum(x, index, num_segments=n)

    def each(self, f: Callable[[Any], Any], blocks: Any, /) -> Any:
        """Return f of each block of arrays, stacked along first axes, one block at a time."""
        return jax.lax.map(f, blocks)

    def with_rule(self, f: Callable[..., Any], rule: Callable[..., Any], /) -> Callable[..., Any]:
        """Return f, whose gradient is computed by the rule."""
        made = jax.custom_vjp(f)
        made.defvjp(lambda *given: (f(*given), given), rule)
        return made

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Turn f(params, *rest) → (scalar, aux) into one that returns ((scalar, aux), gradient)."""
        return jax.value_and_grad(f, has_aux=True)

    def compile(self, f: Callable[..., Any], /, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Return f compiled once for each shape of its arguments."""
        if self.on_cpu:  # where XLA would copy donated arrays before overwriting them
            return jax.jit(f, compiler_options=_cpu_options())
        return jax.jit(f, donate_argnums=donate)

    def engine(self, place: Place, /) -> JaxEngine:
        """Start the communication between the processes of a run."""
        with threads.environment(NPROC=str(threads.number())):
            return JaxEngine(place)

    def exporters(self) -> dict[str, Exporter]:
        """Return the file formats that run without multifit."""
        return {"stablehlo": stablehlo(self)}

    def describe(self) -> dict[str, str]:
        """Return the version, the devices and the number of threads, if it is known."""
        return {
            "version": jax.__version__,
            "devices": ", ".join(str(device) for device in jax.devices()),
            "threads": _threads(),
        }
