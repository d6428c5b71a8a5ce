"""The energy loss: every term in every form against loops, missing labels, prefactors, slopes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _compare import same

from multifit.backend import Backend, get_backend
from multifit.batch import Atoms
from multifit.errors import ConfigError, UnsupportedError
from multifit.loss import EnergyLoss, EnergyLossConfig, energy_loss, metric_names

NUMPY = get_backend("numpy")
LR, START = 2e-4, 1e-3
PREFACTORS = {"e": (0.02, 1.5), "f": (1000.0, 1.0), "v": (0.3, 0.7), "ae": (0.0, 2.0)}
FORMS: dict[str, dict[str, Any]] = {
    "mse": {},
    "mse, intensive": {"intensive_ener_virial": True},
    "huber": {"use_huber": True, "huber_delta": (0.05, 0.4, 0.1)},
    "huber, norm": {"use_huber": True, "huber_delta": (0.05, 0.4, 0.1), "f_use_norm": True},
    "mae": {"loss_func": "mae"},
    "mae, norm": {"loss_func": "mae", "f_use_norm": True},
}
TERMS = {"energy": "energy", "force": "force", "virial": "virial", "atom_energy": "atom_ener"}
#: Atoms of each frame, and the places of a flat list in which some pad.
NATOMS = (3, 5)
FRAME = (0, 1, 1, None, 0, 0, 1, 1, 1, None)


def _config(terms: str | tuple[str, ...] = ("e", "f", "v", "ae"), **form: Any) -> EnergyLossConfig:
    chosen = (terms,) if isinstance(terms, str) else terms
    prefactors: dict[str, float] = {}
    for term, (start, limit) in PREFACTORS.items():
        on = float(term in chosen)
        prefactors |= {f"start_pref_{term}": on * start, f"limit_pref_{term}": on * limit}
    return EnergyLossConfig(START, **prefactors, **form)


def _numbers(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    n, nf = len(FRAME), len(NATOMS)
    return {
        "energy": rng.normal(size=nf),
        "force": rng.normal(size=(n, 3)),
        "virial": rng.normal(size=(nf, 3, 3)),
        "atom_energy": rng.normal(size=n),
    }


def _labels(seed: int, missing: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    found = {TERMS[key]: x for key, x in _numbers(seed).items()}
    return found | {f"find_{key}": np.asarray(float(key not in missing)) for key in found}


def _run(
    config: EnergyLossConfig,
    prediction: dict[str, Any],
    label: dict[str, Any],
    backend: Backend = NUMPY,
    lr: float = LR,
) -> tuple[Any, dict[str, Any]]:
    mask = np.array([float(f is not None) for f in FRAME])
    frame = np.array([f or 0 for f in FRAME])
    atoms = (np.array(NATOMS, dtype=np.float64), mask, frame)
    return energy_loss(
        backend,
        config,
        backend.asarray(np.asarray(lr)),
        {key: backend.asarray(x) for key, x in prediction.items()},
        {key: backend.asarray(x) for key, x in label.items()},
        Atoms(*map(backend.asarray, atoms)),
    )


# The same in loops.


def _penalty(config: EnergyLossConfig, delta: float) -> Callable[[float], float]:
    if config.loss_func == "mae":
        return abs
    if not config.use_huber:
        return lambda x: x * x
    return lambda x: 0.5 * x * x if abs(x) <= delta else delta * (abs(x) - 0.5 * delta)


def _residuals(prediction: dict[str, Any], label: dict[str, Any]) -> dict[str, list[list[float]]]:
    """Return for each term one list of components for each frame, or for each real atom."""
    found: dict[str, list[list[float]]] = {"e": [], "v": [], "f": [], "ae": []}
    for f in range(len(NATOMS)):
        found["e"].append([prediction["energy"][f] - label["energy"][f]])
        found["v"].append(
            [prediction["virial"][f, i, j] - label["virial"][f, i, j] for i, j in np.ndindex(3, 3)]
        )
    for n, f in enumerate(FRAME):
        if f is not None:
            found["f"].append([prediction["force"][n, k] - label["force"][n, k] for k in range(3)])
            found["ae"].append([prediction["atom_energy"][n] - label["atom_ener"][n]])
    return found


def _term_by_hand(config: EnergyLossConfig, term: str, rows: list[list[float]]) -> float:
    delta = config.huber_delta[{"e": 0, "f": 1, "v": 2, "ae": 0}[term]]
    penalty = _penalty(config, delta)
    plain = config.loss_func == "mse" and not config.use_huber
    values = []
    for k, row in enumerate(rows):
        if term == "f" and config.f_use_norm:
            values.append(penalty(math.sqrt(sum(x * x for x in row))))
            continue
        for x in row:
            if term in ("f", "ae"):
                values.append(penalty(x))
            elif plain and not config.intensive_ener_virial:
                values.append(x * x / NATOMS[k])
            else:
                values.append(penalty(x / NATOMS[k]))
    return sum(values) / len(values)


def _metrics_by_hand(config: EnergyLossConfig, rows: dict[str, Any]) -> dict[str, float]:
    found = {}
    for term in config.terms:
        per_atom = [
            x / (NATOMS[k] if term in ("e", "v") else 1)
            for k, row in enumerate(rows[term])
            for x in row
        ]
        if config.loss_func == "mae":
            found[f"mae_{term}"] = sum(map(abs, per_atom)) / len(per_atom)
        else:
            found[f"rmse_{term}"] = math.sqrt(sum(x * x for x in per_atom) / len(per_atom))
    if config.loss_func == "mae" and "e" in config.terms:
        found["mae_e_all"] = sum(abs(row[0]) for row in rows["e"]) / len(rows["e"])
    return found


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("terms", ["e", "f", "v", "ae", ("e", "f", "v", "ae")])
def test_values_and_metrics_are_those_of_loops(
    terms: Any, form: dict[str, Any], strict: StrictBackend
) -> None:
    config, prediction, label = _config(terms, **form), _numbers(1), _labels(2)
    rows = _residuals(prediction, label)
    want = 0.0
    for term in config.terms:
        start, limit = PREFACTORS[term]
        weight = limit + (start - limit) * LR / START
        want += weight * _term_by_hand(config, term, rows[term])
    loss, metrics = _run(config, prediction, label)
    same(loss, want, rtol=1e-13)
    same(metrics, _metrics_by_hand(config, rows) | {"rmse": math.sqrt(want)}, rtol=1e-13)
    assert tuple(sorted(metrics)) == metric_names(config)
    same(_run(config, prediction, label, strict), (loss, metrics), rtol=1e-13)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("gone", TERMS.values())
def test_a_missing_label_counts_for_nothing(gone: str, form: dict[str, Any]) -> None:
    config, prediction = _config(**form), _numbers(1)
    loss, metrics = _run(config, prediction, _labels(2, missing=(gone,)))
    term = {"energy": "e", "force": "f", "virial": "v", "atom_ener": "ae"}[gone]
    rest = _config(tuple(t for t in PREFACTORS if t != term), **form)
    want, others = _run(rest, prediction, _labels(2))
    same(loss, want, rtol=1e-14)
    for name, value in metrics.items():
        if name in others:
            same(value, others[name], rtol=1e-14)
        else:
            assert np.isnan(value), name


def test_without_any_label_the_loss_is_zero() -> None:
    loss, metrics = _run(_config(), _numbers(1), _labels(2, missing=tuple(TERMS.values())))
    assert float(loss) == 0.0
    assert float(metrics["rmse"]) == 0.0


def test_prefactors_go_from_start_to_limit_with_the_learning_rate() -> None:
    prediction, label = _numbers(1), _labels(2)
    term = _term_by_hand(_config("ae"), "ae", _residuals(prediction, label)["ae"])
    for lr, weight in ((START, 0.0), (0.25 * START, 1.5), (0.0, 2.0)):
        same(_run(_config("ae"), prediction, label, lr=lr)[0], weight * term, rtol=1e-13, atol=0.0)


def test_a_term_that_starts_at_zero_counts() -> None:
    config = EnergyLossConfig(1.0, start_pref_e=0, limit_pref_e=1, start_pref_f=0, limit_pref_f=0)
    assert config.terms == ("e",)
    assert not config.needs_forces
    config = EnergyLossConfig(1.0, start_pref_v=0, limit_pref_v=1)
    assert config.terms == ("e", "f", "v")
    assert config.labels == ("energy", "force", "virial")
    assert config.needs_forces


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_gradient_is_zero_where_the_prediction_is_right(
    name: str, form: dict[str, Any]
) -> None:
    backend, config = get_backend(name), _config(**form)
    prediction = _numbers(1)
    label = {TERMS[key]: x for key, x in prediction.items()} | {
        f"find_{key}": np.asarray(1.0) for key in TERMS.values()
    }

    def loss(p: dict[str, Any]) -> tuple[Any, Any]:
        theirs = {key: backend.asarray(x) for key, x in label.items()}
        lr, n = backend.asarray(np.asarray(LR)), len(FRAME)
        atoms = (np.array([5.0, 5.0]), np.ones(n), np.arange(n) // 5)
        return energy_loss(backend, config, lr, p, theirs, Atoms(*map(backend.asarray, atoms)))

    run = backend.compile(backend.value_and_grad(loss))
    (value, _), grads = run({key: backend.asarray(x) for key, x in prediction.items()})
    assert float(backend.to_numpy(value)) == 0.0
    for key, x in prediction.items():
        same(grads[key], np.zeros_like(x), atol=0.0)


def test_combinations_without_effect_are_refused() -> None:
    for form, message in (
        ({"loss_func": "mea"}, "loss_func must be 'mse' or 'mae', but is 'mea'"),
        ({"loss_func": "mae", "use_huber": True}, "use_huber needs loss_func 'mse'"),
        ({"f_use_norm": True}, "f_use_norm needs"),
        ({"loss_func": "mae", "intensive_ener_virial": True}, "intensive_ener_virial has"),
        ({"use_huber": True, "intensive_ener_virial": True}, "intensive_ener_virial has"),
    ):
        with pytest.raises(ConfigError, match=message):
            EnergyLossConfig(1.0, **form)


# DeePMD's class.


def _whole(seed: int, nf: int = 2, na: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "energy": rng.normal(size=nf),
        "force": rng.normal(size=(nf, na, 3)),
        "virial": rng.normal(size=(nf, 3, 3)),
        "atom_energy": rng.normal(size=(nf, na)),
    }


def _class(backend: str = "numpy", **options: Any) -> EnergyLoss:
    every = {"start_pref_v": 1.0, "limit_pref_v": 2.0, "start_pref_ae": 3.0}
    return EnergyLoss(START, backend=backend, **(every | options))


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
@pytest.mark.parametrize("form", ["mse", "huber, norm", "mae, norm"])
def test_the_class_computes_the_loss(name: str, form: str) -> None:
    loss = _class(name, **FORMS[form])
    prediction = _whole(3)
    label = {TERMS[key]: x for key, x in _whole(4).items()}
    mine, theirs = (
        {key: loss.backend.asarray(x) for key, x in d.items()} for d in (prediction, label)
    )
    value, metrics = loss(LR, mine, theirs)
    want = energy_loss(
        NUMPY,
        loss.config,
        np.asarray(LR),
        prediction
        | {
            "force": prediction["force"].reshape(-1, 3),
            "atom_energy": prediction["atom_energy"].reshape(-1),
        },
        label
        | {"force": label["force"].reshape(-1, 3), "atom_ener": label["atom_ener"].reshape(-1)}
        | {f"find_{key}": np.asarray(1.0) for key in label},
        Atoms(np.full(2, 4.0), np.ones(8), np.arange(8) // 4),
    )
    same(value, want[0])
    same(metrics, want[1])
    assert value.shape == ()


def test_the_class_does_without_labels_and_predictions() -> None:
    loss, prediction = _class(), _whole(3)
    label = {"energy": np.zeros(2), "force": prediction["force"], "find_force": 0.0}
    value, metrics = loss(LR, {"energy": prediction["energy"]}, label, natoms=4)
    weight = 1.0 + (0.02 - 1.0) * LR / START
    same(value, weight * (prediction["energy"] ** 2).mean() / 4, rtol=1e-13)
    assert [key for key in metrics if np.isnan(metrics[key])] == ["rmse_f", "rmse_v", "rmse_ae"]


def test_the_class_leaves_padding_out() -> None:
    loss, prediction = _class(), _whole(3)
    label = {TERMS[key]: x for key, x in _whole(4).items()}
    got = loss(LR, prediction, label, natoms=np.array([4, 2]))
    for x in (label["force"], label["atom_ener"]):
        x[1, 2:] = 1e6
    same(loss(LR, prediction, label, natoms=np.array([4, 2])), got, rtol=0.0)


def test_the_class_wants_to_know_how_many_atoms() -> None:
    with pytest.raises(ValueError, match="give natoms"):
        _class()(LR, {"energy": np.zeros(1)}, {"energy": np.zeros(1)})


def test_the_class_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UnsupportedError, match="start_pref_pf is not available"):
        EnergyLoss(START, start_pref_pf=1.0)
    with pytest.raises(ConfigError, match=r"no option 'start_pref_x' \(did you mean"):
        EnergyLoss(START, start_pref_x=1.0)
    with pytest.raises(ConfigError, match="has 2 numbers"):
        EnergyLoss(START, huber_delta=[0.1, 0.2])
    assert EnergyLoss(START, start_pref_pf=0.0, huber_delta=0.5).config.huber_delta == (0.5,) * 3


def test_metric_names_are_sorted_for_the_learning_curve() -> None:
    for terms, form in itertools.product([("e",), ("e", "f")], ["mse", "mae"]):
        names = metric_names(_config(terms, **FORMS[form]))
        assert list(names) == sorted(names)
        assert "rmse" in names
