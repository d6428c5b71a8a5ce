"""The fitting net: its outputs, its pullback to the descriptor, and the class around it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from _check import Cell, run
from _rows import FITTINGS, cells
from _rows_dos import DOS_FITTINGS, POINTS

from multifit import fitting as fit
from multifit.backend import get_backend
from multifit.tree import Tree

ROWS = FITTINGS | DOS_FITTINGS

#: Atoms of each type.
NATOMS = 5


def _inputs(config: fit.Fitting) -> dict[str, np.ndarray]:
    """Return descriptors and parameters of the atoms of one type."""
    rng = np.random.default_rng(4)
    found = {"d": rng.normal(size=(NATOMS, config.dim_descrpt))}
    return found | {kind: rng.normal(size=(NATOMS, n)) for kind, n in config.parameters.items()}


@functools.cache
def _outputs(key: str, name: str) -> dict[str, Any]:
    """Return y of the atoms of each type, and ∂/∂D of their sum."""
    backend, row = get_backend(name), ROWS[key]
    model, params = row.on(name, row.model, _params(row.model.fitting))
    config = model.fitting

    def evaluate(params: Tree, inputs: dict[str, Any]) -> Any:
        found = {}
        for a in range(config.ntypes):
            y, pullback = fit.fit(backend.xp, config, params, a, **inputs)
            found[str(a)] = {"y": y, "slope": pullback(backend.xp.ones_like(y))}
        return found

    return run(backend, evaluate, params, _inputs(config))


def _params(config: fit.Fitting) -> Tree:
    """Return parameters in which nothing is zero or one."""
    params, rng = fit.init(config, 2), np.random.default_rng(5)
    for name in sorted(set(params) - {"nets"}):
        params[name] = rng.uniform(0.5, 2.0, size=params[name].shape)
    return params


@cells(ROWS)
def test_fitting(key: str, name: str) -> None:
    cell = Cell("fitting net", key, name, ROWS[key].precision)
    got, want = _outputs(key, name), _outputs(key, "numpy")
    cell.check({a: x["y"] for a, x in got.items()}, {a: x["y"] for a, x in want.items()})
    slopes = [{a: x["slope"] for a, x in side.items()} for side in (got, want)]
    cell.check(*slopes, level="derivative")


@cells(["class"])
def test_the_class_takes_and_gives_arrays_of_its_backend(key: str, name: str) -> None:
    config = FITTINGS["fparam and aparam"].model.fitting
    rng = np.random.default_rng(6)
    given = {
        "descriptor": rng.normal(size=(2, 4, config.dim_descrpt)),
        "atype": np.array([[0, 1, -1, 1], [1, 0, 0, -1]]),
        "fparam": rng.normal(size=(2, config.numb_fparam)),
        "aparam": rng.normal(size=(2, 4, config.numb_aparam)),
    }
    found = []
    for backend in (get_backend(name), get_backend("numpy")):
        net = fit.GeneralFitting(config, _params(config), backend=backend)
        out = net(**{k: backend.asarray(x) for k, x in given.items()})
        found.append({k: backend.to_numpy(x) for k, x in out.items()})
    Cell("fitting net", key, name).check(*found)


@cells(["dos, class, bias_dos"])
def test_the_class_of_densities_of_states(key: str, name: str) -> None:
    rng = np.random.default_rng(7)
    bias = rng.normal(size=(2, POINTS))
    given = {"descriptor": rng.normal(size=(2, 3, 4)), "atype": np.array([[0, 1, -1], [1, 1, 0]])}
    found = []
    for backend in (get_backend(name), get_backend("numpy")):
        net = fit.DOSFittingNet(2, 4, POINTS, [5, 5], bias_dos=bias, seed=1, backend=backend)
        out = net(**{k: backend.asarray(x) for k, x in given.items()})
        kept = {"dos": out["dos"], "bias_dos": net.bias_dos}
        found.append({k: backend.to_numpy(x) for k, x in kept.items()})
    Cell("fitting net", key, name).check(*found)
