"""The energy loss: every term in every form against loops, missing labels, prefactors, slopes."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _compare import same
from test_config_parse import MINIMAL, with_

from multifit.backend import Backend, get_backend
from multifit.batching.batch import BatchAtoms
from multifit.config import parse
from multifit.errors import ConfigError
from multifit.loss import ENERGY_RULES, EnergyLoss, EnergyLossConfig, energy_loss
from multifit.rules import first_broken
from multifit.support import FEATURES

NUMPY = get_backend("numpy")
LR, START = 2e-4, 1e-3
PREFACTORS = {
    **{"e": (0.02, 1.5), "f": (1000.0, 1.0), "v": (0.3, 0.7), "ae": (0.0, 2.0)},
    **{"h": (0.4, 3.0), "pf": (5.0, 0.5), "gf": (0.7, 0.0)},
}
HUBER: dict[str, Any] = {"use_huber": True, "huber_delta": (0.05, 0.4, 0.1)}
MAE: dict[str, Any] = {"loss_func": "mae"}
RELATIVE, COEFFICIENTS = {"relative_f": 0.3}, {"enable_atom_ener_coeff": True}
FORMS: dict[str, dict[str, Any]] = {
    "mse": {},
    "mse, intensive": {"intensive_ener_virial": True},
    "mse, relative": RELATIVE,
    "mse, coefficients": COEFFICIENTS,
    "mse, default weights": {"use_default_pf": True},
    "huber": HUBER,
    "huber, norm": HUBER | {"f_use_norm": True},
    "huber, coefficients": HUBER | COEFFICIENTS,
    "mae": MAE,
    "mae, norm": MAE | {"f_use_norm": True},
    "mae, relative": MAE | RELATIVE,
    "mae, norm, relative": MAE | RELATIVE | {"f_use_norm": True},
    "mae, coefficients": MAE | COEFFICIENTS,
}
#: The option of a form → the terms that it changes: without them it is refused.
CHANGES = {
    "intensive_ener_virial": ("e", "v"),
    "relative_f": ("f", "pf"),
    "enable_atom_ener_coeff": ("e",),
    "use_default_pf": ("pf",),
    "f_use_norm": ("f",),
    "use_huber": ("e", "f", "v", "ae"),
}
CASES = [
    ((term,), name)
    for term in PREFACTORS
    for name, form in FORMS.items()
    if all(term in CHANGES.get(option, PREFACTORS) for option in form)
] + [(tuple(PREFACTORS), name) for name in FORMS]
#: The prediction of each label, and the terms that need it.
LIKE = {"atom_ener": "atom_energy"}
USERS = {
    **{"energy": ("e",), "force": ("f", "pf", "gf"), "virial": ("v",), "hessian": ("h",)},
    **{"atom_ener": ("ae",), "atom_pref": ("pf",), "drdq": ("gf",)},
}
#: Atoms of each frame, and the places of a flat list in which some pad.
NATOMS = (3, 5)
FRAME = (0, 1, 1, None, 0, 0, 1, 1, 1, None)
#: The atoms of each frame that are not virtual, in the order of the data.
REAL = ((0, 2, 3), (0, 1, 2, 3, 4))
#: Generalized coordinates.
NGC = 2


def _config(terms: tuple[str, ...] = tuple(PREFACTORS), **form: Any) -> EnergyLossConfig:
    """Return the settings of these terms, of those that the form allows."""
    if form.get("use_huber"):
        terms = tuple(term for term in terms if term in CHANGES["use_huber"])
    prefactors: dict[str, float] = {}
    for term, (start, limit) in PREFACTORS.items():
        on = float(term in terms)
        prefactors |= {f"start_pref_{term}": on * start, f"limit_pref_{term}": on * limit}
    return EnergyLossConfig(
        START, **prefactors, numb_generalized_coord=NGC * ("gf" in terms), **form
    )


def _numbers(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    n, nf = len(FRAME), len(NATOMS)
    hessian = rng.normal(size=(n, 3, 3 * max(NATOMS)))
    for place, f in enumerate(FRAME):
        virtual = set(range(max(NATOMS))) - set(REAL[f or 0])
        for atom in virtual:
            hessian[place, :, 3 * atom : 3 * atom + 3] = 0.0
    return {
        "energy": rng.normal(size=nf),
        "force": rng.normal(size=(n, 3)),
        "virial": rng.normal(size=(nf, 3, 3)),
        "hessian": hessian,
        "atom_energy": rng.normal(size=n),
    }


def _labels(seed: int, missing: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    numbers, rng, n = _numbers(seed), np.random.default_rng(seed + 100), len(FRAME)
    found = {key: numbers[LIKE.get(key, key)] for key in USERS if LIKE.get(key, key) in numbers}
    found["atom_pref"] = rng.uniform(size=n)
    found["drdq"] = rng.normal(size=(n, 3, NGC))
    found["atom_ener_coeff"] = rng.normal(size=n)
    return found | {f"find_{key}": np.asarray(float(key not in missing)) for key in found}


def _run(
    config: EnergyLossConfig,
    prediction: dict[str, Any],
    label: dict[str, Any],
    backend: Backend = NUMPY,
    lr: float = LR,
) -> tuple[Any, dict[str, Any]]:
    return energy_loss(
        backend,
        config,
        backend.asarray(np.asarray(lr)),
        {key: backend.asarray(x) for key, x in prediction.items()},
        {key: backend.asarray(x) for key, x in label.items()},
        _atoms(backend),
    )


def _atoms(backend: Backend) -> BatchAtoms:
    mask = np.array([float(f is not None) for f in FRAME])
    frame = np.array([f or 0 for f in FRAME])
    return BatchAtoms(*map(backend.asarray, (np.array(NATOMS, dtype=np.float64), mask, frame)))


# The same in loops.


def _penalty(config: EnergyLossConfig, delta: float) -> Callable[[float], float]:
    if config.loss_func == "mae":
        return abs
    if not config.use_huber:
        return lambda x: x * x
    return lambda x: 0.5 * x * x if abs(x) <= delta else delta * (abs(x) - 0.5 * delta)


def _energies(config: EnergyLossConfig, prediction: dict[str, Any], c: Any) -> list[float]:
    if not config.enable_atom_ener_coeff:
        return [float(x) for x in prediction["energy"]]
    total = [0.0] * len(NATOMS)
    for n, f in enumerate(FRAME):
        if f is not None:
            total[f] += c[n] * prediction["atom_energy"][n]
    return total


def _residuals(
    config: EnergyLossConfig, prediction: dict[str, Any], label: dict[str, Any]
) -> dict[str, list[list[float]]]:
    """Return for each term one list of components for each frame, or for each real atom."""
    found: dict[str, list[list[float]]] = {term: [] for term in PREFACTORS}
    energies = _energies(config, prediction, label["atom_ener_coeff"])
    for f in range(len(NATOMS)):
        found["e"].append([energies[f] - label["energy"][f]])
        found["v"].append(
            [prediction["virial"][f, i, j] - label["virial"][f, i, j] for i, j in np.ndindex(3, 3)]
        )
        found["gf"].append([0.0] * NGC)
        found["h"].append([])
    for n, f in enumerate(FRAME):
        if f is None:
            continue
        force = [prediction["force"][n, k] - label["force"][n, k] for k in range(3)]
        for j in range(NGC):
            found["gf"][f][j] += sum(label["drdq"][n, k, j] * force[k] for k in range(3))
        if config.relative_f is not None:
            size = math.sqrt(sum(label["force"][n, k] ** 2 for k in range(3)))
            force = [x / (size + config.relative_f) for x in force]
        found["f"].append(force)
        found["pf"].append(force)
        found["ae"].append([prediction["atom_energy"][n] - label["atom_ener"][n]])
        for k, atom, l in itertools.product(range(3), REAL[f], range(3)):
            column = 3 * atom + l
            found["h"][f].append(
                prediction["hessian"][n, k, column] - label["hessian"][n, k, column]
            )
    return found


def _weights(term: str, label: dict[str, Any]) -> list[float]:
    """Return a factor for each row: how much an atom counts, or a frame beside others."""
    if term == "pf":
        return [label["atom_pref"][n] for n, f in enumerate(FRAME) if f is not None]
    if term == "h":  # each frame is a mean of its own
        pairs = [(3 * natoms) ** 2 for natoms in NATOMS]
        return [sum(pairs) / (len(pairs) * number) for number in pairs]
    return [1.0] * len(FRAME)


def _term_by_hand(
    config: EnergyLossConfig, term: str, rows: list[list[float]], weights: list[float]
) -> float:
    delta = config.huber_delta[{"f": 1, "v": 2}.get(term, 0)]
    penalty = _penalty(config, delta) if term != "gf" else lambda x: x * x
    plain = config.loss_func == "mse" and not config.use_huber
    values = []
    for k, row in enumerate(rows):
        if term == "f" and config.f_use_norm:
            values.append(penalty(math.sqrt(sum(x * x for x in row))))
            continue
        for x in row:
            if term not in ("e", "v"):
                values.append(weights[k] * penalty(x))
            elif plain and not config.intensive_ener_virial:
                values.append(x * x / NATOMS[k])
            else:
                values.append(penalty(x / NATOMS[k]))
    return sum(values) / len(values)


def _metrics_by_hand(
    config: EnergyLossConfig, rows: dict[str, Any], label: dict[str, Any]
) -> dict[str, float]:
    found = {}
    for term in config.terms:
        weights = _weights(term, label)
        pairs = [
            (weights[k], x / (NATOMS[k] if term in ("e", "v") else 1))
            for k, row in enumerate(rows[term])
            for x in row
        ]
        if config.loss_func == "mae" and term != "gf":
            found[f"mae_{term}"] = sum(w * abs(x) for w, x in pairs) / len(pairs)
        else:
            found[f"rmse_{term}"] = math.sqrt(sum(w * x * x for w, x in pairs) / len(pairs))
    if config.loss_func == "mae" and "e" in config.terms:
        found["mae_e_all"] = sum(abs(row[0]) for row in rows["e"]) / len(rows["e"])
    return found


@pytest.mark.parametrize(("terms", "form"), CASES, ids=lambda x: x if isinstance(x, str) else x[-1])
def test_values_and_metrics_are_those_of_loops(
    terms: tuple[str, ...], form: str, strict: StrictBackend
) -> None:
    config, prediction, label = _config(terms, **FORMS[form]), _numbers(1), _labels(2)
    rows = _residuals(config, prediction, label)
    want = 0.0
    for term in config.terms:
        start, limit = PREFACTORS[term]
        weight = limit + (start - limit) * LR / START
        want += weight * _term_by_hand(config, term, rows[term], _weights(term, label))
    loss, metrics = _run(config, prediction, label)
    same(loss, want, rtol=1e-13)
    same(metrics, _metrics_by_hand(config, rows, label) | {"rmse": math.sqrt(want)}, rtol=1e-13)
    assert tuple(sorted(metrics)) == config.metric_names
    same(_run(config, prediction, label, strict), (loss, metrics), rtol=1e-13)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gone", USERS)
def test_a_missing_label_counts_for_nothing(gone: str, form: str) -> None:
    config, prediction = _config(**FORMS[form]), _numbers(1)
    off = [t for t in USERS[gone] if gone in ("force", *config.needs(t))]
    loss, metrics = _run(config, prediction, _labels(2, missing=(gone,)))
    names = {config.metric(term) for term in off} | ({"mae_e_all"} if "e" in off else set())
    want, others = _run(config, prediction, _labels(2))
    for term in set(off) & set(config.terms):
        row = _residuals(config, prediction, _labels(2))[term]
        start, limit = PREFACTORS[term]
        part = _term_by_hand(config, term, row, _weights(term, _labels(2)))
        want = want - (limit + (start - limit) * LR / START) * part
    same(loss, want, rtol=1e-11)
    for name, value in metrics.items():
        if name in names:
            assert np.isnan(value), name
        elif name != "rmse":
            same(value, others[name], rtol=1e-14)


def test_the_default_weight_keeps_the_term_without_a_file() -> None:
    label = _labels(2, missing=("atom_pref",))
    assert np.isnan(_run(_config(("pf",)), _numbers(1), label)[1]["rmse_pf"])
    config = _config(("f", "pf"), use_default_pf=True)
    assert config.needs("pf") == ("force",)
    assert config.labels == ("force", "atom_pref")
    metrics = _run(config, _numbers(1), label | {"atom_pref": np.ones(len(FRAME))})[1]
    same(metrics["rmse_pf"], metrics["rmse_f"], rtol=1e-14)


def test_coefficients_of_one_give_the_sum_of_the_atoms() -> None:
    prediction, label = _numbers(1), _labels(2)
    label["atom_ener_coeff"] = np.ones(len(FRAME))
    sums = _energies(_config(("e",), **COEFFICIENTS), prediction, label["atom_ener_coeff"])
    got = _run(_config(("e",), **COEFFICIENTS), prediction, label)
    same(got, _run(_config(("e",)), prediction | {"energy": np.array(sums)}, label), rtol=1e-13)


def test_without_any_label_the_loss_is_zero() -> None:
    loss, metrics = _run(_config(), _numbers(1), _labels(2, missing=tuple(USERS)))
    assert float(loss) == 0.0
    assert float(metrics["rmse"]) == 0.0


@pytest.mark.parametrize("term", PREFACTORS)
def test_prefactors_go_from_start_to_limit_with_the_learning_rate(term: str) -> None:
    config, prediction, label = _config((term,)), _numbers(1), _labels(2)
    start, limit = PREFACTORS[term]
    rows = _residuals(config, prediction, label)[term]
    value = _term_by_hand(config, term, rows, _weights(term, label))
    for lr, weight in ((START, start), (0.25 * START, 0.25 * start + 0.75 * limit), (0.0, limit)):
        same(_run(config, prediction, label, lr=lr)[0], weight * value, rtol=1e-13, atol=0.0)


def test_a_term_that_starts_at_zero_counts() -> None:
    config = EnergyLossConfig(1.0, start_pref_e=0, limit_pref_e=1, start_pref_f=0, limit_pref_f=0)
    assert config.terms == ("e",)
    assert not config.needs_forces
    config = EnergyLossConfig(1.0, start_pref_v=0, limit_pref_v=1)
    assert config.terms == ("e", "f", "v")
    assert config.labels == ("energy", "force", "virial")
    assert config.needs_forces
    assert not config.needs_hessian
    assert _config(("gf",)).needs_forces
    assert _config(("h",)).needs_hessian


EVERYTHING = {
    "mse": RELATIVE | COEFFICIENTS,
    "mae": MAE | RELATIVE | COEFFICIENTS | {"f_use_norm": True},
    "huber": HUBER | COEFFICIENTS | {"f_use_norm": True},
}


def _differentiate(name: str, form: dict[str, Any], label: dict[str, Any]) -> Callable[..., Any]:
    """Return a function of the predictions: the loss and its gradient as NumPy arrays."""
    backend, config = get_backend(name), _config(**form)
    theirs = {key: backend.asarray(x) for key, x in label.items()}

    def loss(p: dict[str, Any], target: dict[str, Any], lr: Any, atoms: Any) -> tuple[Any, Any]:
        return energy_loss(backend, config, lr, p, target, BatchAtoms(*atoms))

    run = backend.compile(backend.value_and_grad(loss))

    def at(prediction: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        mine = {key: backend.asarray(x) for key, x in prediction.items()}
        lr = backend.asarray(np.asarray(LR))
        (value, _), grads = run(mine, theirs, lr, tuple(_atoms(backend)))
        return float(backend.to_numpy(value)), {k: backend.to_numpy(g) for k, g in grads.items()}

    return at


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("form", EVERYTHING)
def test_the_gradient_is_zero_where_the_prediction_is_right(name: str, form: str) -> None:
    prediction, label = _numbers(1), _labels(1)
    config = _config(**EVERYTHING[form])
    label["energy"] = np.array(_energies(config, prediction, label["atom_ener_coeff"]))
    value, grads = _differentiate(name, EVERYTHING[form], label)(prediction)
    assert value < 1e-30
    for key, x in prediction.items():
        same(grads[key], np.zeros_like(x), atol=1e-14)


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_are_those_of_differences(name: str) -> None:
    # The squared error is a parabola, for which a central difference of any width is exact.
    prediction, label, step = _numbers(1), _labels(2), _numbers(3)
    config = _config(**EVERYTHING["mse"])
    ends = [
        _run(config, {key: x + sign * step[key] for key, x in prediction.items()}, label)[0]
        for sign in (1.0, -1.0)
    ]
    value, grads = _differentiate(name, EVERYTHING["mse"], label)(prediction)
    same(value, _run(config, prediction, label)[0])
    slope = sum(float((grads[key] * step[key]).sum()) for key in prediction)
    same(slope, 0.5 * float(ends[0] - ends[1]))


def _only(*terms: str) -> dict[str, Any]:
    """Return options in which these terms count, and no others."""
    off = {f"{when}_pref_{term}": 0.0 for when in ("start", "limit") for term in "ef"}
    return off | {f"limit_pref_{term}": 1.0 for term in terms}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"loss_func": "mea"}, "loss_func must be 'mse' or 'mae', but is 'mea'"),
    (_only(), "the loss has only prefactors 0, but must fit at least one label"),
    (MAE | {"use_huber": True}, 'use_huber is true, but must be false with loss_func "mae"'),
    (
        HUBER | _only("e", "pf"),
        "use_huber .* per atom term .start_pref_pf and limit_pref_pf",
    ),
    (
        HUBER | _only("e", "gf") | {"numb_generalized_coord": 1},
        "use_huber is true, but must be false with a generalized force term",
    ),
    (HUBER | _only("e", "h"), "use_huber is true, but must be false with a Hessian term"),
    (HUBER | RELATIVE, "use_huber is true, but must be false with relative_f"),
    ({"f_use_norm": True}, "f_use_norm is true, but must be false unless use_huber is true or"),
    (MAE | {"f_use_norm": True} | _only("e"), "f_use_norm .* must be false without a force term"),
    (MAE | {"intensive_ener_virial": True}, 'squared errors only, .* with loss_func "mae"'),
    (HUBER | {"intensive_ener_virial": True}, "squared errors only, .* with use_huber"),
    ({"intensive_ener_virial": True} | _only("f"), "without an energy or virial term"),
    (_only("gf"), "numb_generalized_coord is 0, but must be > 0 with a generalized force"),
    ({"numb_generalized_coord": 2}, "numb_generalized_coord is 2, but must be 0 without"),
    ({"use_default_pf": True}, "use_default_pf is true, but must be false without a weighted"),
    (RELATIVE | _only("e", "v"), "relative_f is given, but must be null without a force term"),
    (COEFFICIENTS | _only("f"), "enable_atom_ener_coeff is true, .* without an energy term"),
]


@pytest.mark.parametrize(("options", "says"), REFUSED, ids=[says[:40] for _, says in REFUSED])
def test_combinations_without_effect_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EnergyLoss(1.0, **options)
    if "huber_delta" in options:
        options = options | {"huber_delta": 0.01}
    data = with_(MINIMAL, *((f"loss.{key}", value) for key, value in options.items()))
    told = (
        says.removeprefix("the loss ") if options.get("loss_func") != "mea" else '"mea", but must'
    )
    key, is_, rest = told.partition(" is ")
    with pytest.raises(ConfigError, match=f"{key} in input is {rest}" if is_ else told):
        parse(data)


def test_every_rule_has_its_case() -> None:
    met = [
        first_broken(SimpleNamespace(**(_defaults() | options)), ENERGY_RULES)
        for options, _ in REFUSED
    ]
    assert {rule for rule in met if rule is not None} == set(ENERGY_RULES)
    assert first_broken(SimpleNamespace(**_defaults()), ENERGY_RULES) is None


def _defaults() -> dict[str, Any]:
    return vars(EnergyLossConfig(1.0))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"starter_learning_rate": 0.0}, "starter_learning_rate must be a number > 0, but is 0.0"),
        ({"start_pref_e": -1.0}, "start_pref_e must be a number ≥ 0, but is -1.0"),
        ({"limit_pref_h": math.nan}, "limit_pref_h must be a number ≥ 0, but is nan"),
        ({"limit_pref_f": "1"}, "limit_pref_f must be a number ≥ 0, but is '1'"),
        ({"relative_f": 0.0}, "relative_f must be a number > 0, but is 0.0"),
        ({"start_pref_gf": 1.0, "numb_generalized_coord": -1}, "must be a number ≥ 0, but is -1"),
        ({"start_pref_gf": 1.0, "numb_generalized_coord": 1.5}, "must be an integer, but is 1.5"),
        ({"use_huber": True, "huber_delta": 0.0}, "huber_delta must be > 0"),
        ({"huber_delta": [0.1, 0.2]}, "has 2 numbers"),
        ({"huber_delta": "0.1"}, r"must be a number or \[energy, force, virial\], but is '0.1'"),
        ({"huber_delta": [0.1, "0.2", 0.3]}, "huber_delta must hold three numbers, but has '0.2'"),
        ({"huber_delta": None}, "huber_delta must be a number or .* but is None"),
        ({"use_huber": "false"}, "use_huber must be True or False, but is 'false'"),
        ({"f_use_norm": 1}, "f_use_norm must be True or False, but is 1"),
        ({"enable_atom_ener_coeff": "no"}, "enable_atom_ener_coeff must be True or False"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EnergyLoss(**options)


# DeePMD's class.


def _whole(seed: int, nf: int = 2, na: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "energy": rng.normal(size=nf),
        "force": rng.normal(size=(nf, na, 3)),
        "virial": rng.normal(size=(nf, 3, 3)),
        "atom_energy": rng.normal(size=(nf, na)),
        "hessian": rng.normal(size=(nf, 3 * na, 3 * na)),
    }


def _whole_labels(seed: int, nf: int = 2, na: int = 4) -> dict[str, np.ndarray]:
    rng, found = np.random.default_rng(seed + 100), _whole(seed, nf, na)
    found["atom_ener"] = found.pop("atom_energy")
    return found | {
        "atom_pref": rng.uniform(size=(nf, na)),
        "drdq": rng.normal(size=(nf, na, 3, NGC)),
        "atom_ener_coeff": rng.normal(size=(nf, na)),
    }


def _class(backend: str = "numpy", **options: Any) -> EnergyLoss:
    """Return a loss with the terms that every form has, and the others where they are possible."""
    every = {"start_pref_v": 1.0, "limit_pref_v": 2.0, "start_pref_ae": 3.0}
    if not options.get("use_huber"):
        every |= {"start_pref_pf": 5.0, "limit_pref_gf": 0.7, "limit_pref_h": 2.0}
        every |= {"numb_generalized_coord": NGC}
    return EnergyLoss(START, backend=backend, **(every | options))


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
@pytest.mark.parametrize("form", ["mse, relative", "mae, coefficients"])
def test_the_class_computes_the_loss(name: str, form: str) -> None:
    loss, prediction, label = _class(name, **FORMS[form]), _whole(3), _whole_labels(4)
    mine, theirs = (
        {key: loss.backend.asarray(x) for key, x in d.items()} for d in (prediction, label)
    )
    value, metrics = loss(LR, mine, theirs)
    rows = {"hessian": (8, 3, 12), "force": (8, 3), "drdq": (8, 3, NGC)}
    rows |= dict.fromkeys(("atom_energy", "atom_ener", "atom_pref", "atom_ener_coeff"), (8,))
    flat = [{k: x.reshape(rows.get(k, x.shape)) for k, x in d.items()} for d in (prediction, label)]
    found = {f"find_{key}": np.asarray(1.0) for key in label}
    atoms = BatchAtoms(np.full(2, 4.0), np.ones(8), np.arange(8) // 4)
    want = energy_loss(NUMPY, loss.config, np.asarray(LR), flat[0], flat[1] | found, atoms)
    same(value, want[0])
    same(metrics, want[1])
    assert value.shape == ()


def test_what_the_class_fits_can_be_seen() -> None:
    want = "<EnergyLoss mae: e 0.02 → 1, f 1000 → 1, on numpy>"
    assert repr(EnergyLoss(START, loss_func="mae")) == want


@pytest.mark.parametrize("name", INSTALLED)
def test_the_class_takes_arrays_of_numpy_everywhere(name: str) -> None:
    prediction, label = _whole(3), _whole_labels(4)
    label["energy"], prediction["force"] = np.arange(2), prediction["force"].astype(np.float32)
    loss = _class(name)
    value, metrics = loss(LR, prediction, label)
    want = _class()(LR, prediction, label)
    same(loss.backend.to_numpy(value), want[0])
    same({key: loss.backend.to_numpy(x) for key, x in metrics.items()}, want[1])


def test_the_class_takes_labels_as_files_fold_them() -> None:
    loss, prediction, label = _class(), _whole(3), _whole_labels(4)
    folded = {key: x.reshape(2, -1) for key, x in label.items()}
    same(loss(LR, prediction, folded), loss(LR, prediction, label), rtol=0.0)
    says = (
        r"the label 'drdq' has the shape \(2, 12\), but must be \(2, 4, 3, 2\) or have as many "
        "numbers: the predictions are of 2 frames, and the arrays or natoms say 4 atoms"
    )
    with pytest.raises(ValueError, match=says):
        loss(LR, prediction, label | {"drdq": np.zeros((2, 12))})
    says = r"the prediction 'hessian' has the shape \(2, 3, 3\), but must be \(2, 12, 12\) or"
    with pytest.raises(ValueError, match=says):
        loss(LR, prediction | {"hessian": np.zeros((2, 3, 3))}, label)
    with pytest.raises(ValueError, match=r"'energy' has the shape \(3,\), but must be \(2,\)"):
        loss(LR, prediction, label | {"energy": np.zeros(3)})


def test_the_class_does_without_labels_and_predictions() -> None:
    loss, prediction = _class(), _whole(3)
    label = {"energy": np.zeros(2), "force": prediction["force"], "find_force": 0.0}
    value, metrics = loss(LR, {"energy": prediction["energy"]}, label, natoms=4)
    weight = 1.0 + (0.02 - 1.0) * LR / START
    same(value, weight * (prediction["energy"] ** 2).mean() / 4, rtol=1e-13)
    assert {key for key in metrics if not np.isnan(metrics[key])} == {"rmse", "rmse_e"}
    assert set(metrics) == set(loss.config.metric_names)


def test_the_class_leaves_padding_out() -> None:
    loss, prediction, label = _class(**COEFFICIENTS), _whole(3), _whole_labels(4)
    got = loss(LR, prediction, label, natoms=np.array([4, 2]))
    for key in ("force", "atom_ener", "atom_pref", "drdq", "atom_ener_coeff"):
        label[key][1, 2:] = 1e6
    label["hessian"][1, 6:] = 1e6
    label["hessian"][1, :, 6:] = 1e6
    same(loss(LR, prediction, label, natoms=np.array([4, 2])), got, rtol=0.0)


def test_the_class_fills_in_what_has_a_default() -> None:
    prediction, label = _whole(3), _whole_labels(4)
    options = _only("e", "f", "pf") | COEFFICIENTS
    del label["atom_pref"], label["atom_ener_coeff"]
    _, metrics = EnergyLoss(START, use_default_pf=True, **options)(LR, prediction, label)
    same(metrics["rmse_pf"], metrics["rmse_f"], rtol=1e-14)
    error = prediction["atom_energy"].sum(axis=1) - label["energy"]
    same(metrics["rmse_e"], np.sqrt((error**2).mean()) / 4, rtol=1e-13)
    _, metrics = EnergyLoss(START, **options)(LR, prediction, label)
    assert np.isnan(metrics["rmse_pf"])


def test_the_class_wants_to_know_how_many_atoms() -> None:
    with pytest.raises(ValueError, match="give natoms"):
        _class()(LR, {"energy": np.zeros(1)}, {"energy": np.zeros(1)})


def test_the_class_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ConfigError, match=r"no option 'start_pref_x' \(did you mean"):
        EnergyLoss(START, start_pref_x=1.0)
    assert EnergyLoss(START, start_pref_pf=0.0, huber_delta=0.5).config.huber_delta == (0.5,) * 3
    assert EnergyLoss(START, huber_delta=np.float32(0.5)).config.huber_delta == (0.5,) * 3
    assert EnergyLoss(START, huber_delta=np.full(3, 0.5)).config.huber_delta == (0.5,) * 3


@pytest.mark.parametrize(
    ("natoms", "says"),
    [
        (5, "natoms is 5 in frame 0, but must be at least 1 and at most 4"),
        ([4, 0], "natoms is 0 in frame 1, but must be at least 1 and at most 4"),
        ([4, 4, 4], "one for each of the 2 frames"),
        (4.0, "natoms must be an integer, .* but is 4.0"),
    ],
)
def test_the_class_refuses_numbers_of_atoms_that_are_not_there(natoms: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _class()(LR, _whole(3), _whole_labels(4), natoms=natoms)


def test_any_prediction_tells_the_number_of_frames() -> None:
    prediction, label = _whole(3), _whole_labels(4)
    force = {"force": prediction["force"]}
    _, metrics = EnergyLoss(START)(LR, force, {"force": label["force"]})
    same(metrics["rmse_f"], np.sqrt(((force["force"] - label["force"]) ** 2).mean()), rtol=1e-13)
    assert np.isnan(metrics["rmse_e"])
    with pytest.raises(ValueError, match="there is no prediction; give at least one of energy"):
        EnergyLoss(START)(LR, {}, label)
    with pytest.raises(ValueError, match="of no frames"):
        EnergyLoss(START)(LR, {"energy": np.zeros(0)}, {}, natoms=1)


@pytest.mark.parametrize(
    ("prediction", "label", "says"),
    [
        (
            ["energy"],
            ["energy", "force"],
            "the loss has a force term and there is a label 'force', but the prediction has no "
            "'force'",
        ),
        (["force"], ["force", "energy"], "has an energy term and .* the prediction has no 'energy"),
        (["energy", "force"], [], r"no label .* at least one of energy \(energy\), force \(force"),
        (["energy", "force"], ["virial"], "no label that the loss compares with"),
        (["energy", "forces"], ["energy"], r"no prediction 'forces' \(did you mean 'force'\?"),
        (["energy"], ["enrgy"], r"there is no label 'enrgy' \(did you mean 'energy'\?"),
        (["energy"], ["energy", "find_forces"], r"'find_forces' \(did you mean 'find_force'\?"),
        (["energy"], ["energy", "box"], "no label 'box'; known are energy, force, virial"),
        (["energy"], ["energy", "find_force"], "find_force is not 0, but there is no label 'for"),
    ],
)
def test_the_class_refuses_what_it_can_not_compare(
    prediction: list[str], label: list[str], says: str
) -> None:
    arrays = _whole(3) | {"forces": np.zeros((2, 4, 3)), "box": np.ones((2, 9))}
    arrays |= {"enrgy": np.zeros(2), "find_force": np.ones(()), "find_forces": np.ones(())}
    with pytest.raises(ValueError, match=says):
        EnergyLoss(START)(LR, *({k: arrays[k] for k in x} for x in (prediction, label)), natoms=4)


def test_labels_that_are_said_to_be_missing_are_no_labels() -> None:
    found = {"energy": np.zeros(2), "find_energy": 0.0}
    with pytest.raises(ValueError, match="no label that the loss compares with"):
        EnergyLoss(START)(LR, {"energy": np.ones(2)}, found, natoms=4)
    # The weighted force needs its weights too, without which it compares nothing.
    loss = EnergyLoss(START, start_pref_f=0.0, limit_pref_f=0.0, limit_pref_pf=1.0)
    label = {"energy": np.zeros(2), "force": np.zeros((2, 4, 3))}
    assert loss(LR, {"energy": np.ones(2)}, label)[0] > 0


#: DeePMD-kit 3.2's parameters in their order; the first has no default there.
SIGNATURE: tuple[tuple[str, Any], ...] = (
    *(("start_pref_e", 0.02), ("limit_pref_e", 1.0)),
    *(("start_pref_f", 1000), ("limit_pref_f", 1.0)),
    *(("start_pref_v", 0.0), ("limit_pref_v", 0.0)),
    *(("start_pref_ae", 0.0), ("limit_pref_ae", 0.0)),
    *(("start_pref_pf", 0.0), ("limit_pref_pf", 0.0)),
    *(("relative_f", None), ("enable_atom_ener_coeff", False)),
    *(("start_pref_gf", 0.0), ("limit_pref_gf", 0.0), ("numb_generalized_coord", 0)),
    *(("start_pref_h", 0.0), ("limit_pref_h", 0.0)),
    *(("use_huber", False), ("huber_delta", 0.01), ("loss_func", "mse"), ("f_use_norm", False)),
    *(("use_default_pf", False), ("intensive_ener_virial", False)),
)


def test_the_class_has_the_signature_of_deepmd_kits() -> None:
    first, *rest = inspect.signature(EnergyLoss).parameters.values()
    positional = [p for p in rest if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert first.name == "starter_learning_rate"
    assert [(p.name, p.default) for p in positional] == list(SIGNATURE)
    assert {p.name for p in rest} - {name for name, _ in SIGNATURE} == {"backend", "unknown"}
    # Weights of frames come with the data: they are no option of the class.
    known = {first.name, "frame_weights", *dict(SIGNATURE)}
    assert set(EnergyLossConfig.__dataclass_fields__) == known
    loss = EnergyLoss(1e-3, 0.1, 0.2, 0.3, 0.4)
    assert loss.config.prefactors("f") == (0.3, 0.4)


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_default_weights_are_refused_where_the_matrix_says_so(name: str) -> None:
    def make() -> EnergyLoss:
        return EnergyLoss(START, start_pref_pf=1.0, use_default_pf=True, backend=name)

    if name in FEATURES["use_default_pf"].backends:
        assert make().config.use_default_pf
        return
    with pytest.raises(NotImplementedError, match=f"the {name} backend .* use numpy or torch"):
        make()


def test_metric_names_are_sorted_for_the_learning_curve() -> None:
    for terms, form in itertools.product([("e",), tuple(PREFACTORS)], ["mse", "mae"]):
        names = _config(terms, **FORMS[form]).metric_names
        assert list(names) == sorted(names)
        assert "rmse" in names


# Another implementation.


def _waves(shift: float, *shape: int) -> np.ndarray:
    return np.sin(1.7 * np.arange(math.prod(shape)) + shift).reshape(shape)


def _of_waves(shift: float, nf: int = 2, na: int = 3) -> dict[str, np.ndarray]:
    return {
        "energy": _waves(shift, nf),
        "force": _waves(shift + 0.1, nf, na, 3),
        "virial": _waves(shift + 0.2, nf, 3, 3),
        "atom_energy": _waves(shift + 0.3, nf, na),
        "hessian": _waves(shift + 0.4, nf, 3 * na, 3 * na),
    }


NOTHING = {f"{when}_pref_{term}": 0.0 for when in ("start", "limit") for term in "ef"}
PF = {"start_pref_pf": 2.0, "limit_pref_pf": 0.5}
GF = {"start_pref_gf": 2.0, "limit_pref_gf": 0.5, "numb_generalized_coord": 2}
H = {"start_pref_h": 2.0, "limit_pref_h": 0.5}
FORCE = NOTHING | {"start_pref_f": 3.0, "limit_pref_f": 1.0, "relative_f": 0.3}
#: What deepmd-kit 3.2.0 gives (deepmd.dpmodel.loss.ener, 4e-4 of 1e-3) for the waves; the Hessian's
#: absolute error is not among its metrics.
PEER: dict[str, tuple[dict[str, Any], float, dict[str, float]]] = {
    "pf": (NOTHING | PF, 0.7485577817742876, {"rmse_pf": 0.8249285268071782}),
    "pf, mae": (NOTHING | PF | MAE, 0.7332117450407872, {"mae_pf": 0.6665561318552611}),
    "gf": (NOTHING | GF, 1.8791583120239854, {"rmse_gf": 1.3070293562899125}),
    "gf, mae": (NOTHING | GF | MAE, 1.8791583120239854, {"rmse_gf": 1.3070293562899125}),
    "h": (NOTHING | H, 1.017427379223592, {"rmse_h": 0.9617348808857649}),
    "h, mae": (NOTHING | H | MAE, 0.9505305187482743, {}),
    "relative": (
        FORCE | PF,
        1.0393859982767673,
        {"rmse_f": 0.628799029877479, "rmse_pf": 0.5457998320413657},
    ),
    "relative, mae": (
        FORCE | PF | MAE,
        1.4685946431710357,
        {"mae_f": 0.5479698899037345, "mae_pf": 0.43840803758573954},
    ),
    "relative, norm": (FORCE | MAE | {"f_use_norm": True}, 1.9398275787887083, {}),
    "coefficients": (
        COEFFICIENTS | {"start_pref_f": 0.0, "limit_pref_f": 0.0},
        0.45051798869911175,
        {"rmse_e": 0.49698542367779486},
    ),
    "all": (
        {
            **{"start_pref_v": 1.0, "limit_pref_v": 2.0, "start_pref_ae": 0.5},
            **{"limit_pref_ae": 0.1, "start_pref_pf": 2.0, "limit_pref_pf": 0.5},
            **{"start_pref_gf": 0.7, "limit_pref_gf": 0.2, "numb_generalized_coord": 2},
            **{"start_pref_h": 0.3, "limit_pref_h": 3.0, "relative_f": 0.2},
            **COEFFICIENTS,
        },
        186.04946695949175,
        {
            **{"rmse": 13.639995123147653, "rmse_ae": 0.931206486448705},
            **{"rmse_e": 0.49698542367779486, "rmse_f": 0.6741442555725032},
            **{"rmse_gf": 1.3070293562899125, "rmse_h": 0.9617348808857649},
            **{"rmse_pf": 0.5850852815953512, "rmse_v": 0.31519078749434026},
        },
    ),
}


@pytest.mark.parametrize("case", PEER)
def test_the_class_agrees_with_deepmd_kits(case: str) -> None:
    options, want, shown = PEER[case]
    label = _of_waves(2.0)
    label["atom_ener"] = label.pop("atom_energy")
    label |= {
        "atom_pref": 1.0 + _waves(3.0, 2, 3),
        "drdq": _waves(4.0, 2, 18),
        "atom_ener_coeff": _waves(5.0, 2, 3),
    }
    value, metrics = EnergyLoss(1e-3, **options)(4e-4, _of_waves(0.5), label)
    same(value, want, rtol=1e-13)
    for name, number in shown.items():
        same(metrics[name], number, rtol=1e-13)
