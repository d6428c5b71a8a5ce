"""The descriptor and its pullback to the distances."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from _batches import case
from _check import Cell, run
from _rows import DESCRIPTORS, cells

from multifit import descriptor as dsc
from multifit.backend import get_backend
from multifit.tree import Tree


@functools.cache
def _outputs(key: str, name: str) -> dict[str, Any]:
    """Return D of the atoms of each type, and ∂/∂r of their sum."""
    one, backend = case(DESCRIPTORS[key], name), get_backend(name)
    config = one.model.descriptor

    def evaluate(params: Tree, batch: Tree, d_bar: Any) -> Any:
        found = {}
        for a, atoms in batch["centres"].items():
            n, basis = atoms["mask"].shape[0], batch.get("basis")
            d, pullback = dsc.describe(
                backend.xp, config, params, int(a), n, atoms["tables"], basis
            )
            found[a] = {"d": d, "slope": pullback(backend.xp.astype(d_bar, d.dtype) + 0.0 * d)}
        return found

    d_bar = np.random.default_rng(3).normal(size=(1, config.dim_out))
    return run(backend, evaluate, one.params["descriptor"], one.batch, d_bar)


@cells(DESCRIPTORS)
def test_descriptor(key: str, name: str) -> None:
    cell = Cell("descriptor se_e2_a", key, name, DESCRIPTORS[key].precision)
    got, want = _outputs(key, name), _outputs(key, "numpy")
    cell.check({a: x["d"] for a, x in got.items()}, {a: x["d"] for a, x in want.items()})
    slopes = [{a: x["slope"] for a, x in side.items()} for side in (got, want)]
    cell.check(*slopes, level="derivative")
