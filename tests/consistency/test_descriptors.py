"""The descriptor and its pullback to the distances."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from _batches import case
from _cases import describe
from _check import Cell, run
from _rows import DESCRIPTORS, cells

from multifit.backend import get_backend
from multifit.tree import Tree


@functools.cache
def _outputs(key: str, name: str) -> dict[str, Any]:
    """Return D of all atoms, and ∂/∂r of a sum of them."""
    one, backend = case(DESCRIPTORS[key], name), get_backend(name)
    config = one.model.descriptor

    counts = {int(a): len(atoms["mask"]) for a, atoms in one.batch["centres"].items()}

    def evaluate(params: Tree, batch: Tree, d_bar: Any) -> Any:
        d, pullback = describe(
            backend.xp,
            config,
            params,
            batch["atype"],
            counts,
            batch["tables"],
            batch.get("basis"),
        )
        return {"d": d, "slope": pullback(backend.xp.astype(d_bar, d.dtype) + 0.0 * d)}

    d_bar = np.random.default_rng(3).normal(size=(1, config.dim_out))
    return run(backend, evaluate, one.params["descriptor"], one.batch, d_bar)


@cells(DESCRIPTORS)
def test_descriptor(key: str, name: str) -> None:
    cell = Cell("descriptor se_e2_a", key, name, DESCRIPTORS[key].precision)
    got, want = _outputs(key, name), _outputs(key, "numpy")
    cell.check(got["d"], want["d"])
    cell.check(got["slope"], want["slope"], level="derivative")
