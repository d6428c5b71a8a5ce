"""The loss of densities of states: every term against loops, missing labels, shifts, slopes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _compare import same
from _derivatives import by_differences

from multifit.backend import Backend, get_backend
from multifit.batching.batch import BatchAtoms
from multifit.errors import ConfigError
from multifit.loss import (
    DOS_RULES,
    DOSLoss,
    DosLossConfig,
    EnergyLossConfig,
    compute_loss,
    dos_loss,
    energy_loss,
)
from multifit.rules import first_broken

NUMPY = get_backend("numpy")
LR, START = 2e-4, 1e-3
#: Points of the grid.
N = 8
PREFACTORS = {"dos": (0.4, 1.5), "cdf": (10.0, 1.0), "ados": (0.0, 2.0), "acdf": (0.7, 0.0)}
METRICS = {
    **{"dos": "global_dos", "cdf": "global_cdf"},
    **{"ados": "local_dos", "acdf": "local_cdf"},
}
HUBER: dict[str, Any] = {"use_huber": True, "huber_delta": 0.6}
MAE: dict[str, Any] = {"loss_func": "mae"}
FORMS: dict[str, dict[str, Any]] = {
    "mse": {},
    "mae": MAE,
    "huber": HUBER,
    "mse, moved": {"shift_agnostic": 3},
    "mae, moved": MAE | {"shift_agnostic": 2},
    "huber, moved": HUBER | {"shift_agnostic": N - 1},
}
CASES = [
    *(((term,), form) for term in PREFACTORS for form in FORMS),
    *((tuple(PREFACTORS), form) for form in FORMS),
]
#: Label → its terms.
USERS = {"dos": ("dos", "cdf"), "atom_dos": ("ados", "acdf")}
#: Atoms of each frame, and the places of a flat list in which some pad.
NATOMS = (3, 5)
FRAME = (0, 1, 1, None, 0, 0, 1, 1, 1, None)


def _config(terms: tuple[str, ...] = tuple(PREFACTORS), **form: Any) -> DosLossConfig:
    """Return the settings of these terms."""
    prefactors: dict[str, float] = {}
    for term, (start, limit) in PREFACTORS.items():
        on = float(term in terms)
        prefactors |= {f"start_pref_{term}": on * start, f"limit_pref_{term}": on * limit}
    return DosLossConfig(START, N, **prefactors, **form)


def _numbers(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"dos": rng.normal(size=(len(NATOMS), N)), "atom_dos": rng.normal(size=(len(FRAME), N))}


def _labels(seed: int, missing: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    found = _numbers(seed)
    return found | {f"find_{key}": np.asarray(float(key not in missing)) for key in found}


def _atoms(backend: Backend) -> BatchAtoms:
    mask = np.array([float(f is not None) for f in FRAME])
    frame = np.array([f or 0 for f in FRAME])
    return BatchAtoms(*map(backend.asarray, (np.array(NATOMS, dtype=np.float64), mask, frame)))


def _run(
    config: DosLossConfig,
    prediction: dict[str, Any],
    label: dict[str, Any],
    backend: Backend = NUMPY,
    lr: float = LR,
) -> tuple[Any, dict[str, Any]]:
    # As in training, there is nothing that the terms do not ask for.
    wanted = {*config.labels, *(f"find_{key}" for key in config.labels)}
    return dos_loss(
        backend,
        config,
        backend.asarray(np.asarray(lr)),
        {key: backend.asarray(x) for key, x in prediction.items() if key in wanted},
        {key: backend.asarray(x) for key, x in label.items() if key in wanted},
        _atoms(backend),
    )


# The same in loops.


def _sums(atoms: np.ndarray) -> np.ndarray:
    """Return the densities of states of the frames from those of the atoms."""
    total = np.zeros((len(NATOMS), N))
    for row, frame in zip(atoms, FRAME, strict=True):
        if frame is not None:
            total[frame] += row
    return total


def _moved(row: np.ndarray, shift: int) -> dict[int, float]:
    """Return point → the number that the moved label has there."""
    return {k + shift: float(row[k]) for k in range(N) if 0 <= k + shift < N}


def _shifts(config: DosLossConfig, prediction: Any, label: Any) -> list[int]:
    """Return by how much the label of each frame is moved."""
    mine, theirs = prediction["dos"], label["dos"]
    if "dos" not in config.labels or not label["find_dos"]:
        mine, theirs = _sums(prediction["atom_dos"]), _sums(label["atom_dos"])
    most, found = config.shift_agnostic, []
    for a, b in zip(mine, theirs, strict=True):
        scores = {}
        for s in sorted(range(-most, most + 1), key=abs):
            there = _moved(b, s)
            scores[s] = sum((a[k] - x) ** 2 for k, x in there.items()) / len(there)
        found.append(min(scores, key=lambda s: scores[s]))
    return found


def _rows(config: DosLossConfig, term: str, prediction: Any, label: Any) -> list[list[float]]:
    """Return the errors of a term, one list for each frame or real atom."""
    shifts, key = _shifts(config, prediction, label), config.prediction(term)
    frames = range(len(NATOMS)) if key == "dos" else FRAME
    found = []
    for a, b, f in zip(prediction[key], label[key], frames, strict=True):
        if f is None:
            continue
        there = _moved(b, shifts[f])
        row = [float(a[k]) - there[k] for k in sorted(there)]
        found.append(
            row if term in ("dos", "ados") else [sum(row[: k + 1]) for k in range(len(row))]
        )
    return found


def _mean(rows: list[list[float]], cost: Callable[[float], float]) -> float:
    return sum(sum(map(cost, row)) / len(row) for row in rows) / len(rows)


def _by_hand(
    config: DosLossConfig, prediction: Any, label: Any, lr: float = LR
) -> tuple[float, dict[str, float]]:
    total, metrics, delta = 0.0, {}, config.huber_delta
    for term in config.terms:
        rows, (start, limit) = _rows(config, term, prediction, label), PREFACTORS[term]
        error = math.sqrt(_mean(rows, lambda x: x * x))
        value = error**2
        if config.loss_func == "mae":
            error = value = _mean(rows, abs)
        elif config.use_huber:
            value = _mean(
                rows,
                lambda x: 0.5 * x * x if abs(x) <= delta else delta * (abs(x) - 0.5 * delta),
            )
        total += (limit + (start - limit) * lr / START) * value
        per = 4.0 if term in USERS["dos"] else 1.0  # atoms, in the mean over the frames
        metrics[f"{'mae' if config.loss_func == 'mae' else 'rmse'}_{METRICS[term]}"] = error / per
    return total, metrics | {"rmse": math.sqrt(total)}


@pytest.mark.parametrize(("terms", "form"), CASES, ids=lambda x: x if isinstance(x, str) else x[-1])
def test_values_and_metrics_are_those_of_loops(
    terms: tuple[str, ...], form: str, strict: StrictBackend
) -> None:
    config, prediction, label = _config(terms, **FORMS[form]), _numbers(1), _labels(2)
    got = _run(config, prediction, label)
    same(got, _by_hand(config, prediction, label), rtol=1e-14)
    assert tuple(sorted(got[1])) == config.metric_names
    same(_run(config, prediction, label, strict), got, rtol=1e-14)


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("form", FORMS)
def test_every_backend_has_the_same_numbers(form: str, name: str) -> None:
    config, prediction, label = _config(**FORMS[form]), _numbers(1), _labels(2)
    got = _run(config, prediction, label, get_backend(name))
    same(got, _run(config, prediction, label), rtol=1e-13)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gone", USERS)
def test_a_missing_label_counts_for_nothing(gone: str, form: str) -> None:
    left = next(terms for label, terms in USERS.items() if label != gone)
    label = _labels(2, missing=(gone,)) | {gone: np.zeros_like(_labels(2)[gone])}
    loss, metrics = _run(_config(**FORMS[form]), _numbers(1), label)
    want, others = _by_hand(_config(left, **FORMS[form]), _numbers(1), label)
    same(loss, want, rtol=1e-14)
    assert {name for name, x in metrics.items() if not np.isnan(x)} == set(others)
    same({name: metrics[name] for name in others}, others, rtol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_virtual_atoms_count_for_nothing(form: str) -> None:
    config, prediction, label = _config(**FORMS[form]), _numbers(1), _labels(2)
    want = _run(config, prediction, label)
    for row, frame in enumerate(FRAME):
        if frame is None:
            label["atom_dos"][row], prediction["atom_dos"][row] = 1e6, -1e6
    same(_run(config, prediction, label), want, rtol=0.0)


def test_without_any_label_the_loss_is_zero() -> None:
    loss, metrics = _run(_config(), _numbers(1), _labels(2, missing=tuple(USERS)))
    assert float(loss) == 0.0
    assert float(metrics["rmse"]) == 0.0


@pytest.mark.parametrize("term", PREFACTORS)
def test_prefactors_go_from_start_to_limit_with_the_learning_rate(term: str) -> None:
    config, prediction, label = _config((term,)), _numbers(1), _labels(2)
    start, limit = PREFACTORS[term]
    value = _mean(_rows(config, term, prediction, label), lambda x: x * x)
    for lr, weight in ((START, start), (0.25 * START, 0.25 * start + 0.75 * limit), (0.0, limit)):
        same(_run(config, prediction, label, lr=lr)[0], weight * value, rtol=1e-14, atol=1e-14)


def test_losses_are_evaluated_by_their_settings() -> None:
    config, prediction, label = _config(), _numbers(1), _labels(2)
    got = compute_loss(NUMPY, config, np.asarray(LR), prediction, label, _atoms(NUMPY))
    same(got, _run(config, prediction, label), rtol=0.0)
    energies, only = EnergyLossConfig(START), {"energy": np.ones(2), "force": np.ones((10, 3))}
    zeros = {"energy": np.zeros(2), "force": np.zeros((10, 3))}
    zeros |= {"find_energy": np.asarray(1.0), "find_force": np.asarray(1.0)}
    given = (NUMPY, energies, np.asarray(LR), only, zeros, _atoms(NUMPY))
    same(compute_loss(*given), energy_loss(*given), rtol=0.0)


def test_both_losses_answer_the_same_questions() -> None:
    def public(config: type) -> set[str]:
        return {name for name in vars(config) if not name.startswith("_")}

    settings = set(DosLossConfig.__dataclass_fields__) | set(EnergyLossConfig.__dataclass_fields__)
    assert public(DosLossConfig) - settings == public(EnergyLossConfig) - settings
    config = _config(("dos", "acdf"))
    assert config.terms == ("dos", "acdf")
    assert config.labels == ("dos", "atom_dos")
    assert config.prefactors("acdf") == PREFACTORS["acdf"]
    assert config.needs("acdf") == ("atom_dos",)
    assert config.title("cdf") == "running sum of the density of states"
    assert config.axes("dos", 5) == config.axes("atom_dos", 5) == (N,)
    assert config.kind("atom_dos").per_atom
    assert not config.kind("dos").per_atom
    assert not any((config.needs_forces, config.needs_hessian, config.coefficients))
    assert config.metric_names == ("rmse", "rmse_global_dos", "rmse_local_cdf")
    assert _config(("dos",), **MAE).metric_names == ("mae_global_dos", "rmse")


# Shifts.


def _spectrum(shift: int, n: int = N) -> np.ndarray:
    """Return a density of states, and each other one moved upwards by whole points."""
    k = np.arange(n) - shift
    return np.exp(-0.5 * (k - 3.3) ** 2) + 0.3 * np.sin(2.0 * k)


@pytest.mark.parametrize("form", [name for name in FORMS if "moved" in name])
@pytest.mark.parametrize("shift", [-2, -1, 0, 1, 2])
def test_a_rigid_shift_is_no_error(shift: int, form: str) -> None:
    scale = 1.0 + np.arange(len(FRAME))[:, None]
    mine, theirs = scale * _spectrum(0), scale * _spectrum(-shift)
    prediction, label = {"dos": _sums(mine), "atom_dos": mine}, _labels(2)
    label |= {"dos": _sums(theirs), "atom_dos": theirs}
    for terms in (tuple(PREFACTORS), USERS["dos"], USERS["atom_dos"]):
        config = _config(terms, **FORMS[form])
        assert _shifts(config, prediction, label) == [shift, shift]
        loss, metrics = _run(config, prediction, label)
        same(loss, 0.0, atol=1e-28 if "mae" not in form else 1e-13)
        same(metrics[config.metric_names[0]], 0.0, atol=1e-13)
        exact = _run(_config(terms, loss_func=config.loss_func), prediction, label)[0]
        assert (exact > 0.01) == (shift != 0)


def test_a_shift_beyond_the_largest_is_an_error() -> None:
    prediction, label = _numbers(1), _labels(2)
    prediction["dos"] = np.stack([_spectrum(0)] * 2)
    label["dos"] = np.stack([_spectrum(3), _spectrum(2)])
    one = {m: _run(_config(("dos",), shift_agnostic=m), prediction, label)[0] for m in (1, 2, 3)}
    assert one[1] > 1e-2
    assert one[2] > 1e-2
    assert one[3] < 1e-28


def test_each_frame_has_a_shift_of_its_own_and_of_equal_ones_the_shortest() -> None:
    prediction, label = _numbers(1), _labels(2)
    prediction["dos"] = np.stack([_spectrum(0), np.ones(N)])
    label["dos"] = np.stack([_spectrum(2), np.ones(N)])
    assert _shifts(_config(shift_agnostic=3), prediction, label) == [-2, 0]
    # Of the atoms of the second frame nothing may be moved then.
    for row, frame in enumerate(FRAME):
        prediction["atom_dos"][row] = _spectrum(0 if frame else 1)
        label["atom_dos"][row] = _spectrum(0 if frame else 3)
    loss, _ = _run(_config(shift_agnostic=3), prediction, label)
    same(loss, 0.0, atol=1e-28)


def test_no_shift_is_the_plain_loss() -> None:
    prediction, label = _numbers(1), _labels(2)
    plain = _run(_config(), prediction, label)
    same(_run(_config(shift_agnostic=0), prediction, label), plain, rtol=0.0)
    # Nothing is better than no shift where both are all but the same.
    near = label | {key: x + 1e-3 * _numbers(3)[key] for key, x in prediction.items()}
    same(_run(_config(shift_agnostic=4), prediction, near), _run(_config(), prediction, near))


@pytest.mark.parametrize("name", INSTALLED)
def test_numbers_that_are_none_do_not_break_the_choice_of_a_shift(name: str) -> None:
    prediction = {key: np.full_like(x, np.nan) for key, x in _numbers(1).items()}
    loss, _ = _run(_config(shift_agnostic=3), prediction, _labels(2), get_backend(name))
    assert np.isnan(get_backend(name).to_numpy(loss))


# Slopes.


def _differentiate(name: str, config: DosLossConfig, label: dict[str, Any]) -> Callable[..., Any]:
    """Return a function of the predictions: the loss and its gradient as NumPy arrays."""
    backend = get_backend(name)
    theirs = {key: backend.asarray(x) for key, x in label.items()}

    def loss(p: dict[str, Any], target: dict[str, Any], lr: Any, atoms: Any) -> tuple[Any, Any]:
        return dos_loss(backend, config, lr, p, target, BatchAtoms(*atoms))

    run = backend.compile(backend.value_and_grad(loss))

    def at(prediction: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        mine = {key: backend.asarray(x) for key, x in prediction.items()}
        lr = backend.asarray(np.asarray(LR))
        (value, _), grads = run(mine, theirs, lr, tuple(_atoms(backend)))
        return float(backend.to_numpy(value)), {k: backend.to_numpy(g) for k, g in grads.items()}

    return at


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("form", ["mse", "mse, moved", "huber, moved", "mae, moved"])
def test_gradients_are_those_of_differences(form: str, name: str) -> None:
    # Pieces of parabolas or of straight lines, for which differences of any width are exact.
    prediction, label, config = _numbers(1), _labels(2), _config(**FORMS[form])
    value, grads = _differentiate(name, config, label)(prediction)
    same(value, _run(config, prediction, label)[0])
    for key, x in prediction.items():

        def at(x: np.ndarray, key: str = key) -> float:
            return float(_run(config, prediction | {key: x}, label)[0])

        same(grads[key], by_differences(at, x, 1e-3))


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_is_zero_where_the_prediction_is_right(form: str, name: str) -> None:
    prediction = _numbers(1)
    value, grads = _differentiate(name, _config(**FORMS[form]), _labels(1))(prediction)
    assert value == 0.0
    same(grads, {key: np.zeros_like(x) for key, x in prediction.items()}, atol=0.0)


# Settings.


def _only(*terms: str) -> dict[str, Any]:
    """Return options in which these terms count, and no others."""
    off = {f"{when}_pref_{term}": 0.0 for when in ("start", "limit") for term in PREFACTORS}
    return off | {f"limit_pref_{term}": 1.0 for term in terms}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"starter_learning_rate": 0.0}, "starter_learning_rate must be a number > 0, but is 0.0"),
        ({"start_pref_dos": -1.0}, "start_pref_dos must be a number ≥ 0, but is -1.0"),
        ({"limit_pref_acdf": math.nan}, "limit_pref_acdf must be a number ≥ 0, but is nan"),
        ({"limit_pref_ados": math.inf}, "limit_pref_ados must be a number ≥ 0, but is inf"),
        ({"limit_pref_cdf": "1"}, "limit_pref_cdf must be a number ≥ 0, but is '1'"),
        ({"numb_dos": 0}, "numb_dos must be a number > 0, but is 0"),
        ({"numb_dos": 2.0}, "numb_dos must be an integer, but is 2.0"),
        ({"numb_dos": True}, "numb_dos must be an integer, but is True"),
        ({"shift_agnostic": -1}, "shift_agnostic must be a number ≥ 0, but is -1"),
        ({"shift_agnostic": 0.5}, "shift_agnostic must be an integer, but is 0.5"),
        ({"shift_agnostic": N}, "shift_agnostic is 8, but must be below numb_dos, which is 8"),
        ({"use_huber": True, "huber_delta": 0.0}, "huber_delta must be a number > 0, but is 0.0"),
        ({"huber_delta": [0.1, 0.1]}, r"huber_delta must be a number > 0, but is \[0.1, 0.1\]"),
        ({"use_huber": 1}, "use_huber must be True or False, but is 1"),
        ({"loss_func": "mea"}, "loss_func must be 'mse' or 'mae', but is 'mea'"),
        (_only(), "the loss has only prefactors 0, but must fit at least one label"),
        (MAE | HUBER, 'use_huber is true, but must be false with loss_func "mae"'),
        ({"start_pref_e": 1.0}, "DOSLoss has no option 'start_pref_e'"),
        ({"start_perf_dos": 1.0}, r"no option 'start_perf_dos' \(did you mean 'start_pref_dos'\?"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        DOSLoss(**({"starter_learning_rate": 1.0, "numb_dos": N} | options))


def test_every_rule_has_its_case() -> None:
    usual = vars(_config())
    met = [first_broken(SimpleNamespace(**(usual | x)), DOS_RULES) for x in (_only(), MAE | HUBER)]
    assert met == list(DOS_RULES)
    assert first_broken(SimpleNamespace(**usual), DOS_RULES) is None


def test_numbers_of_numpy_are_taken() -> None:
    one = DOSLoss(1.0, np.int64(N), np.float32(0.5), shift_agnostic=np.int64(2))
    assert one.config == DosLossConfig(1.0, N, 0.5, shift_agnostic=2)


# DeePMD's class.


def _whole(seed: int, nf: int = 2, na: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"dos": rng.normal(size=(nf, N)), "atom_dos": rng.normal(size=(nf, na, N))}


def _class(backend: str = "numpy", **options: Any) -> DOSLoss:
    return DOSLoss(START, N, start_pref_ados=2.0, limit_pref_acdf=3.0, backend=backend, **options)


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
@pytest.mark.parametrize("form", ["mse", "mae, moved"])
def test_the_class_computes_the_loss(name: str, form: str) -> None:
    loss, prediction, label = _class(name, **FORMS[form]), _whole(3), _whole(4)
    mine, theirs = (
        {key: loss.backend.asarray(x) for key, x in d.items()} for d in (prediction, label)
    )
    value, metrics = loss(LR, mine, theirs)
    flat = [d | {"atom_dos": d["atom_dos"].reshape(8, N)} for d in (prediction, label)]
    found = {f"find_{key}": np.asarray(1.0) for key in label}
    atoms = BatchAtoms(np.full(2, 4.0), np.ones(8), np.arange(8) // 4)
    want = dos_loss(NUMPY, loss.config, np.asarray(LR), flat[0], flat[1] | found, atoms)
    same(value, want[0])
    same(metrics, want[1])
    assert value.shape == ()
    value, metrics = loss(LR, prediction, label)  # NumPy's arrays
    same(loss.backend.to_numpy(value), want[0])


def test_what_the_class_fits_can_be_seen() -> None:
    want = "<DOSLoss mse: dos 1 → 1, cdf 1000 → 1, on numpy>"
    assert repr(DOSLoss(START, N)) == want


def test_the_class_takes_labels_as_files_fold_them() -> None:
    loss, prediction, label = _class(), _whole(3), _whole(4)
    folded = label | {"atom_dos": label["atom_dos"].reshape(2, -1)}
    same(loss(LR, prediction, folded), loss(LR, prediction, label), rtol=0.0)


def test_the_class_says_what_does_not_fit() -> None:
    loss, prediction, label = _class(), _whole(3), _whole(4)
    says = (
        r"the label 'dos' has the shape \(2, 9\), but must be \(2, 8\) or have as many numbers: "
        "the predictions are of 2 frames, and the arrays or natoms say 4 atoms, and numb_dos is 8"
    )
    with pytest.raises(ValueError, match=says):
        loss(LR, prediction, label | {"dos": np.zeros((2, 9))})
    # As many numbers, but of other atoms.
    with pytest.raises(ValueError, match=r"'atom_dos' has the shape \(2, 8, 4\), but must be"):
        loss(LR, prediction | {"atom_dos": np.zeros((2, 8, 4))}, label)
    with pytest.raises(ValueError, match=r"'atom_dos' has the shape \(2, 3, 8\), but must be"):
        loss(LR, prediction, label | {"atom_dos": np.zeros((2, 3, 8))})


def test_the_class_does_without_labels_and_predictions() -> None:
    loss, prediction = _class(shift_agnostic=2), _whole(3)
    label = _whole(4)
    only = {"atom_dos": label["atom_dos"]}
    value, metrics = loss(LR, {"atom_dos": prediction["atom_dos"]}, only)
    shown = {key for key in metrics if not np.isnan(metrics[key])}
    assert shown == {"rmse", "rmse_local_dos", "rmse_local_cdf"}
    assert set(metrics) == set(loss.config.metric_names)
    same(loss(LR, prediction, label | {"find_dos": 0.0})[0], value, rtol=0.0)
    value, _ = loss(LR, {"dos": prediction["dos"]}, {"dos": label["dos"]}, natoms=4)
    same(loss(LR, prediction, label | {"find_atom_dos": 0.0})[0], value, rtol=0.0)
    with pytest.raises(ValueError, match="give natoms"):
        loss(LR, {"dos": prediction["dos"]}, {"dos": label["dos"]})


def test_the_class_leaves_padding_out() -> None:
    loss, prediction, label = _class(shift_agnostic=2), _whole(3), _whole(4)
    got = loss(LR, prediction, label, natoms=np.array([4, 2]))
    label["atom_dos"][1, 2:] = 1e6
    same(loss(LR, prediction, label, natoms=np.array([4, 2])), got, rtol=0.0)
    same(got[1]["rmse_global_dos"], loss(LR, prediction, label)[1]["rmse_global_dos"] * 4 / 3)


@pytest.mark.parametrize(
    ("prediction", "label", "says"),
    [
        ([], ["dos"], "there is no prediction; give at least one of dos, atom_dos"),
        (
            ["atom_dos"],
            ["dos"],
            "has a density of states term and .* 'dos', but the prediction has no 'dos'",
        ),
        (["dos"], [], r"no label .* at least one of dos \(density of states\), dos \(running sum"),
        (["dos", "atomdos"], ["dos"], r"no prediction 'atomdos' \(did you mean 'atom_dos'\?"),
        (["dos"], ["atomic_dos"], r"there is no label 'atomic_dos' \(did you mean 'atom_dos'\?"),
        (["dos"], ["dos", "energy"], "no label 'energy'; known are dos, atom_dos"),
        (["dos", "atom_virial"], ["dos"], "no prediction 'atom_virial'; known are dos, atom_dos"),
        (["dos"], ["dos", "find_atom_dos"], "find_atom_dos is not 0, but there is no label 'atom"),
    ],
)
def test_the_class_refuses_what_it_can_not_compare(
    prediction: list[str], label: list[str], says: str
) -> None:
    arrays = _whole(3) | {"atomdos": np.zeros((2, 4, N)), "atomic_dos": np.zeros((2, 4, N))}
    arrays |= {"energy": np.zeros(2), "atom_virial": np.zeros(2), "find_atom_dos": np.ones(())}
    with pytest.raises(ValueError, match=says):
        _class()(LR, *({k: arrays[k] for k in x} for x in (prediction, label)), natoms=4)


#: DeePMD-kit 3.2's parameters in their order.
SIGNATURE = (
    *(("starter_learning_rate", inspect.Parameter.empty), ("numb_dos", inspect.Parameter.empty)),
    *(("start_pref_dos", 1.0), ("limit_pref_dos", 1.0)),
    *(("start_pref_cdf", 1000), ("limit_pref_cdf", 1.0)),
    *(("start_pref_ados", 0.0), ("limit_pref_ados", 0.0)),
    *(("start_pref_acdf", 0.0), ("limit_pref_acdf", 0.0)),
)


def test_the_class_has_the_signature_of_deepmd_kits() -> None:
    given = inspect.signature(DOSLoss).parameters.values()
    positional = [p for p in given if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert tuple((p.name, p.default) for p in positional) == SIGNATURE
    ours = {p.name for p in given if p not in positional} - {"backend", "unknown"}
    assert ours == {"loss_func", "use_huber", "huber_delta", "shift_agnostic"}
    assert set(DosLossConfig.__dataclass_fields__) == {"frame_weights", *dict(SIGNATURE), *ours}
    assert DOSLoss(1e-3, N, 0.1, 0.2, 0.3, 0.4).config.prefactors("cdf") == (0.3, 0.4)


# Another implementation.


def _waves(shift: float, *shape: int) -> np.ndarray:
    return np.sin(1.7 * np.arange(math.prod(shape)) + shift).reshape(shape)


DOS = {"start_pref_dos": 2.0, "limit_pref_dos": 0.5}
CDF = {"start_pref_cdf": 2.0, "limit_pref_cdf": 0.5}
ADOS = {"start_pref_ados": 2.0, "limit_pref_ados": 0.5}
ACDF = {"start_pref_acdf": 0.0, "limit_pref_acdf": 0.5}
#: What deepmd-kit 3.2.0 gives (deepmd.dpmodel.loss.dos, 4e-4 of 1e-3) for the waves; the atoms of
#: the last case are 3 and 2.
PEER: dict[str, tuple[dict[str, Any], float, dict[str, float]]] = {
    "dos": (_only() | DOS, 0.9618125202703395, {"rmse_global_dos": 0.3116934067722428}),
    "cdf": (_only() | CDF, 1.063193065739661, {"rmse_global_cdf": 0.3277090767183633}),
    "ados": (_only() | ADOS, 0.9991273394356238, {"rmse_local_dos": 0.9530464738432814}),
    "acdf": (_only() | ACDF, 0.2993057173982876, {"rmse_local_cdf": 0.998842192070879}),
    "default": (
        {},
        388.06995877779866,
        {"rmse_global_dos": 0.3116934067722428, "rmse_global_cdf": 0.3277090767183633},
    ),
    "virtual": (
        DOS | CDF | ADOS | ACDF,
        3.31954732856871,
        {
            **{"rmse_local_dos": 0.9622112889935707, "rmse_local_cdf": 0.9593506856643084},
            **{"rmse_global_dos": 0.3740320881266913, "rmse_global_cdf": 0.39325089206203595},
        },
    ),
}


@pytest.mark.parametrize("case", PEER)
def test_the_class_agrees_with_deepmd_kits(case: str) -> None:
    options, want, shown = PEER[case]
    prediction, label = (
        {"dos": _waves(shift, 2, 6), "atom_dos": _waves(shift + 0.1, 2, 3, 6)}
        for shift in (0.5, 2.0)
    )
    natoms = np.array([3, 2]) if case == "virtual" else 3
    value, metrics = DOSLoss(1e-3, 6, **options)(4e-4, prediction, label, natoms)
    same(value, want, rtol=1e-13)
    same(metrics, shown | {"rmse": math.sqrt(want)}, rtol=1e-13)
