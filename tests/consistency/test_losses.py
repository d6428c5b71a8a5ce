"""The loss and its metrics, and the slope of the loss in the predictions."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from _batches import labels
from _check import NUMPY, Cell, run
from _derivatives import by_differences
from _rows import LOSSES, TRAINS, cells
from _rows_dos import DOS_LOSSES, POINTS

from multifit.backend import Backend, get_backend
from multifit.batching.batch import BatchAtoms
from multifit.loss import DosLossConfig, EnergyLossConfig, LossConfig, compute_loss

ROWS = LOSSES | DOS_LOSSES

LR, START = 4e-4, 1e-3

#: Frames of 4 and 3 atoms, and a place that pads.
NATOMS = 4
FRAME = np.array([0, 0, 0, 0, 1, 1, 1, 0])
MASK = np.array([1.0] * 7 + [0.0])
ATOMS = BatchAtoms(np.array([4.0, 3.0]), MASK, FRAME)


def _is_dos(key: str) -> bool:
    return "dos_loss" in ROWS[key].features


def _predictions(key: str) -> dict[str, np.ndarray]:
    rng, n = np.random.default_rng(12), len(FRAME)
    if _is_dos(key):
        return {"dos": rng.normal(size=(2, POINTS)), "atom_dos": rng.normal(size=(n, POINTS))}
    return {
        "energy": rng.normal(size=2),
        "force": rng.normal(size=(n, 3)),
        "virial": rng.normal(size=(2, 3, 3)),
        "atom_energy": rng.normal(size=n),
        "hessian": _of_real_atoms(rng.normal(size=(n, 3, 3 * NATOMS))),
    }


def _labels(key: str) -> dict[str, np.ndarray]:
    if _is_dos(key):
        return labels(2, len(FRAME), NATOMS, POINTS)
    found = labels(2, len(FRAME), NATOMS)
    return found | {"hessian": _of_real_atoms(found["hessian"])}


def _of_real_atoms(hessian: np.ndarray) -> np.ndarray:
    """Return the Hessian with zeros where the second frame has no fourth atom."""
    hessian[FRAME == 1, :, -3:] = 0.0
    return hessian


def _config(key: str) -> LossConfig:
    if _is_dos(key):
        return DosLossConfig(START, POINTS, **ROWS[key].options)
    return EnergyLossConfig(START, **ROWS[key].options)


def _objective(key: str, backend: Backend) -> Any:
    config = _config(key)

    def objective(prediction: Any, label: Any, natoms: Any, mask: Any, frame: Any, lr: Any) -> Any:
        return compute_loss(backend, config, lr, prediction, label, BatchAtoms(natoms, mask, frame))

    return objective


@functools.cache
def _outputs(key: str, name: str) -> dict[str, Any]:
    """Return the loss, its metrics, and its slope where the backend has a derivative."""
    backend = get_backend(name)
    objective = _objective(key, backend)
    given = (_predictions(key), _labels(key), *ATOMS[:3], np.asarray(LR))
    if name not in TRAINS:
        loss, metrics = objective(*given)
        return {"values": {"loss": loss, **metrics}}
    differentiate = backend.value_and_grad(objective)

    def both(*arguments: Any) -> Any:
        (loss, metrics), slope = differentiate(*arguments)
        return {"values": {"loss": loss, **metrics}, "slope": slope}

    return run(backend, both, *given)


@cells(ROWS)
def test_loss_and_metrics(key: str, name: str) -> None:
    got, want = _outputs(key, name)["values"], _outputs(key, "numpy")["values"]
    Cell("loss and metrics", key, name).check(got, want)


@functools.cache
def _slope(key: str) -> dict[str, np.ndarray]:
    """Return the slope of NumPy's loss, by differences; piecewise a parabola, so exact."""
    objective, given = _objective(key, NUMPY), _predictions(key)
    rest = (_labels(key), *ATOMS[:3], np.asarray(LR))

    def loss(which: str, x: np.ndarray) -> float:
        return float(objective(given | {which: x}, *rest)[0])

    return {
        which: by_differences(functools.partial(loss, which), x, 1e-3) for which, x in given.items()
    }


@cells(ROWS, TRAINS)
def test_slope_of_the_loss(key: str, name: str) -> None:
    Cell("slope of the loss", key, name).check(
        _outputs(key, name)["slope"], _slope(key), "derivative", floor=1e-3
    )


#: What is compared without a label → the row of its loss, the label, and a metric that is gone.
MISSING = {
    "label missing": ("mse", "virial", "rmse_v"),
    "dos, label of frames missing": ("dos, shift_agnostic", "dos", "rmse_global_cdf"),
    "dos, labels of atoms missing": ("dos, shift_agnostic", "atom_dos", "rmse_local_dos"),
}


@cells(list(MISSING))
def test_a_missing_label_switches_its_term_off(key: str, name: str) -> None:
    row, gone, metric = MISSING[key]
    found = []
    for backend in (get_backend(name), NUMPY):
        objective = _objective(row, backend)
        label = _labels(row) | {f"find_{gone}": np.asarray(0.0)}

        def values(*arguments: Any, objective: Any = objective) -> Any:
            loss, metrics = objective(*arguments)
            return {"loss": loss, **metrics}

        found.append(run(backend, values, _predictions(row), label, *ATOMS[:3], np.asarray(LR)))
    Cell("loss and metrics", key, name).check(*found)
    assert np.isnan(found[0][metric])
