"""Twenty training steps with each optimizer, as the training loop does them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from _batches import case, loss_config
from _check import Cell, on, to_numpy
from _compare import same
from _rows import OPTIMIZERS, TRAINED, TRAINS, cells
from _rows_dos import DOS_TRAINED

from multifit.backend import get_backend
from multifit.optim import adam as opt
from multifit.train.step.step import Objective, scalars, train_step

ROWS = TRAINED | DOS_TRAINED

STEPS, LR = 20, 1e-3


@functools.cache
def _trained(key: str, name: str) -> dict[str, Any]:
    """Return the metrics of every step, and parameters, moments and average after the last."""
    given, backend = ROWS[key], ROWS[key].adapter(name)
    adam, decay = OPTIMIZERS[given.optimizer]
    one = case(given.row, name)
    loss = loss_config(one.model, LR, given.loss)
    step = train_step(Objective(backend, one.model, loss), adam, decay)
    state = opt.init(one.trainable)
    if decay is not None:
        state["ema"] = dict(one.trainable)
    params, frozen, moments, batch = (
        on(backend, x) for x in (one.trainable, one.frozen, state, one.batch)
    )
    label = on(backend, one.label)
    metrics = []
    for t in range(1, STEPS + 1):
        values = on(backend, scalars(adam, LR * 0.95 ** (t - 1), t))
        params, moments, found = step(params, frozen, moments, batch, label, values)
        metrics.append(to_numpy(backend, found))
    curve = {k: np.stack([row[k] for row in metrics]) for k in metrics[0]}
    end = {"params": to_numpy(backend, params), **to_numpy(backend, moments)}
    return {"start": one.trainable, "curve": curve, "end": end}


@cells(ROWS, TRAINS[1:])
def test_parameters_after_twenty_steps(key: str, name: str) -> None:
    cell = Cell(f"parameters after {STEPS} steps", key, name, ROWS[key].row.precision)
    got, want = _trained(key, name), _trained(key, TRAINS[0])
    cell.check(got["curve"], want["curve"], "trained")
    cell.check(got["end"], want["end"], "trained", floor=1e-6)


@cells(ROWS, TRAINS)
def test_all_parameters_are_trained(key: str, name: str) -> None:
    found = _trained(key, name)
    for parameter, start in found["start"].items():
        assert not np.array_equal(found["end"]["params"][parameter], start), parameter


@pytest.mark.parametrize("name", TRAINS)
def test_a_step_whose_loss_is_not_finite_changes_nothing(name: str) -> None:
    key = next(iter(ROWS))
    given, backend = ROWS[key], ROWS[key].adapter(name)
    adam, _ = OPTIMIZERS[given.optimizer]
    one = case(given.row, name)
    step = train_step(
        Objective(backend, one.model, loss_config(one.model, LR, given.loss)), adam, None
    )
    state = dict.fromkeys(("m", "v"), one.trainable)
    params, frozen, moments, batch, label, values = (
        on(backend, x)
        for x in (one.trainable, one.frozen, state, one.batch, one.label, scalars(adam, LR, 1))
    )
    params, moments, found = step(
        params, frozen, moments, batch, {**label, "force": label["force"] * np.nan}, values
    )
    assert not np.isfinite(to_numpy(backend, found)["rmse"])
    same(to_numpy(backend, params), one.trainable, rtol=0.0)
    same(to_numpy(backend, moments), state, rtol=0.0)


def _updates(optimizer: str, name: str) -> Any:
    """Return what three updates with random gradients make of random parameters."""
    backend, (adam, decay), rng = get_backend(name), OPTIMIZERS[optimizer], np.random.default_rng(1)
    params = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=5)}
    grads = {str(t): {k: rng.normal(size=x.shape) for k, x in params.items()} for t in range(3)}
    values = {t: on(backend, scalars(adam, 1e-2, int(t) + 1)) for t in grads}

    def update(params: Any, state: Any, grads: Any, values: Any) -> Any:
        average = {k: x + 0.0 for k, x in params.items()}  # what is given may be changed
        for t in sorted(grads):
            some = (values[t][key] for key in ("lr", "correction1", "correction2"))
            given = (adam, params, grads[t], state, *some)
            params, state = opt.update(backend.xp, *given, kernel=backend.adam)
            average = opt.moving_average(backend.xp, average, params, decay or 0.0)
        return {"params": params, **state, "ema": average}

    given = (on(backend, x) for x in (params, opt.init(params), grads))
    return to_numpy(backend, backend.compile(update)(*given, values))


@cells(OPTIMIZERS, TRAINS)
def test_the_update_is_that_of_numpy(key: str, name: str) -> None:
    Cell("updates by an optimizer", key, name).check(_updates(key, name), _updates(key, "numpy"))
