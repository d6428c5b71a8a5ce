"""Layers and networks: every activation, residual, timestep and precision."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _check import Cell, run

from multifit import precision as prec
from multifit.backend import get_backend
from multifit.nn import networks as net
from multifit.nn.activations import NAMES
from multifit.support import FEATURES
from multifit.tree import Tree, map_leaves

PRECISIONS = ("float64", "float32", "float16", "bfloat16")

#: Widths 3 → 3 → 6 → 5 → 2: the input is added, added twice, not added, and a linear end.
WIDTHS = (3, 6, 5)

#: Activation functions, and one that meets both of its branches; "" is tanh without timestep.
ACTIVATIONS = (*NAMES, "silut:0.1", "")


def _network(activation: str, precision: str) -> net.Network:
    return net.fitting_network(
        3,
        2,
        WIDTHS,
        activation_function=activation or "tanh",
        resnet_dt=bool(activation),
        precision=precision,
    )


@functools.cache
def _outputs(precision: str, name: str) -> dict[str, Any]:
    """Return y and x̄ of all networks: one program, as compiling is what takes the time."""
    backend, rng = get_backend(name), np.random.default_rng(0)
    networks = {activation: _network(activation, precision) for activation in ACTIVATIONS}
    params = {activation: net.init_network(one, 1) for activation, one in networks.items()}
    # From far below the branches of the activation functions to far above.
    x = rng.normal(scale=4.0, size=(6, 3)).astype(prec.numpy_dtype(precision))
    if not _has(name, precision):  # NumPy, which has no bfloat16, is exact instead
        networks = {activation: _network(activation, "float64") for activation in ACTIVATIONS}
        params, x = map_leaves(lambda w: w.astype(np.float64), params), x.astype(np.float64)

    def evaluate(params: Tree, x: Any) -> Any:
        found = {}
        for key, network in networks.items():
            y, pullback = net.apply_network(backend.xp, network, params[key], x)
            found[key] = {"y": y, "slope": pullback(backend.xp.ones_like(y))}
        return found

    return run(backend, evaluate, params, x)


def _has(name: str, precision: str) -> bool:
    return precision == "float64" or name in FEATURES[precision].backends


@pytest.mark.parametrize(
    ("precision", "name"), [(p, name) for p in PRECISIONS for name in INSTALLED if _has(name, p)]
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks(activation: str, precision: str, name: str) -> None:
    options = f"{activation or 'tanh without timestep'}, {precision}"
    cell = Cell("layers and networks", options, name, precision)
    got, want = _outputs(precision, name)[activation], _outputs(precision, "numpy")[activation]
    cell.check(got["y"], want["y"])
    cell.check(got["slope"], want["slope"], "derivative")
