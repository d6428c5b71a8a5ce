"""Models as serialized StableHLO, which JAX and other programs with XLA run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from multifit.backend import Argument, Arithmetic, Exporter, Function
from multifit.files import write_bytes
from multifit.tree import map_leaves

#: Platforms for which the program is lowered.
PLATFORMS = ("cpu", "cuda")


def _abstract(inputs: tuple[Argument, ...]) -> list[Any]:
    """Return the inputs as shapes, some of whose sizes are variables."""
    names = {axis: None for each in inputs for axis in each.shape if isinstance(axis, str)}
    sizes = dict(zip(names, jax_export.symbolic_shape(",".join(names)), strict=True))
    return [
        jax.ShapeDtypeStruct(
            tuple(sizes.get(axis, axis) for axis in each.shape), jnp.dtype(each.dtype)
        )
        for each in inputs
    ]


def stablehlo(arithmetic: Arithmetic) -> Exporter:
    """Return the exporter of serialized ``jax.export.Exported`` objects."""

    def write(function: Function, path: Path, about: str) -> None:
        params = map_leaves(jnp.asarray, function.params)

        def outputs(*inputs: Any) -> tuple[Any, ...]:
            return function(arithmetic, params, inputs)

        lower = jax_export.export(jax.jit(outputs), platforms=PLATFORMS)
        write_bytes(path, bytes(lower(*_abstract(function.inputs)).serialize()))

    return Exporter(".stablehlo", write)
