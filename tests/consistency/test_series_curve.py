"""Two hundred steps with Chebyshev series are two hundred steps with the nets at every pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _batches import labels, loss_config
from _cases import assemble, build, crystal, draw, series
from _check import on, to_numpy

from multifit import models as mdl
from multifit.backend import get_backend
from multifit.descriptors._planner import FEWEST
from multifit.optim import adam as opt
from multifit.train.step.step import Objective, scalars, train_step
from multifit.tree import flatten

STEPS, START, STOP = 200, 2e-3, 2e-4
#: Of energy and forces, as they are usual.
LOSS = {"start_pref_e": 0.02, "limit_pref_e": 1.0, "start_pref_f": 1000.0, "limit_pref_f": 1.0}


def _curve(name: str, batches: list[dict[str, Any]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the metrics of every step, (steps, n), and the parameters after the last."""
    backend, model = get_backend(name), build(neuron=(4, 8), fitting_neuron=(8, 8))
    params = flatten(draw(model))
    names, adam = set(mdl.trainable_names(model)), opt.Adam()
    trainable = {key: x for key, x in params.items() if key in names}
    frozen = on(backend, {key: x for key, x in params.items() if key not in names})
    state = on(backend, opt.init(trainable))
    trainable = on(backend, trainable)
    step = train_step(Objective(backend, model, loss_config(model, START, LOSS)), adam, None)
    ready, rows = [on(backend, x) for x in batches], []
    for t in range(1, STEPS + 1):
        one = ready[t % len(ready)]
        lr = START * (STOP / START) ** (t / STEPS)
        values = on(backend, scalars(adam, lr, t))
        trainable, state, metrics = step(
            trainable, frozen, state, one["batch"], one["label"], values
        )
        rows.append([float(backend.to_numpy(metrics[key])) for key in sorted(metrics)])
    return np.array(rows), to_numpy(backend, trainable)


@pytest.mark.parametrize("name", TRAINABLE[:2])
def test_the_curves_are_the_same(name: str) -> None:
    model = build(neuron=(4, 8), fitting_neuron=(8, 8))
    systems = [crystal(seed) for seed in range(4)]
    plain = []
    for system in systems:
        batch, layout = assemble(model, [system], static_shapes=True)
        found = {**labels(1, len(layout.real), 6)}
        plain.append({"batch": batch, "label": found})
    basis = series(model, systems, FEWEST["near"])
    with_series = [one | {"batch": one["batch"] | {"plan": basis}} for one in plain]
    (got, end), (want, definition) = (_curve(name, x) for x in (with_series, plain))
    # The run learns: the curve is not that of a model that stays as it is.
    assert want[-20:].mean() < 0.9 * want[:20].mean()
    np.testing.assert_allclose(got, want, rtol=1e-8)
    for key, x in definition.items():
        np.testing.assert_allclose(end[key], x, rtol=0.0, atol=1e-8 * np.abs(x).max(), err_msg=key)
