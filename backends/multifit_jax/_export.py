"""Models as serialized StableHLO, for JAX and other programs with XLA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from multifit.backend import Argument, Arithmetic, Exporter, Function
from multifit.tree import map_leaves

#: The program holds code for each of these.
PLATFORMS = ("cpu", "cuda")


def _abstract(inputs: tuple[Argument, ...]) -> list[jax.ShapeDtypeStruct]:
    """Return the inputs without values; sizes with a name are variables."""
    names = {axis: None for each in inputs for axis in each.shape if isinstance(axis, str)}
    sizes = dict(zip(names, export.symbolic_shape(", ".join(names)), strict=True))
    shapes = [
        tuple(sizes[axis] if isinstance(axis, str) else axis for axis in each.shape)
        for each in inputs
    ]
    return [
        jax.ShapeDtypeStruct(shape, jnp.dtype(each.dtype))  # type: ignore[no-untyped-call]
        for shape, each in zip(shapes, inputs, strict=True)
    ]


def stablehlo(arithmetic: Arithmetic) -> Exporter:
    """Return the exporter of serialized ``jax.export.Exported``."""

    def write(function: Function, path: Path, about: str) -> None:
        params = map_leaves(jnp.asarray, function.params)

        def outputs(*inputs: Any) -> tuple[Any, ...]:
            return function(arithmetic, params, inputs)

        lower = export.export(jax.jit(outputs), platforms=PLATFORMS)
        path.write_bytes(bytes(lower(*_abstract(function.inputs)).serialize()))

    return Exporter(".stablehlo", write)
