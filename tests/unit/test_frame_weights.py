"""Weights of frames in the losses: the mean of a term over frames has a factor for each frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _backends import StrictBackend
from _compare import same
from test_loss import CASES, FORMS, NATOMS, _config, _labels, _numbers, _run

from multifit.backend import get_backend
from multifit.batching.batch import BatchAtoms
from multifit.data import WEIGHTS
from multifit.loss import DosLossConfig, EnergyLossConfig, dos_loss

ALL = tuple(WEIGHTS)


def _weighted(config: EnergyLossConfig, backend: Any = None, **weights: list[float]) -> Any:
    """Return the loss and its metrics; what is not given is 1."""
    given = {key: np.array(weights.get(key, [1.0] * len(NATOMS))) for key in ALL}
    label = _labels(2) | given
    more = () if backend is None else (backend,)
    return _run(replace(config, frame_weights=ALL), _numbers(1), label, *more)


@pytest.mark.parametrize(("terms", "form"), CASES, ids=lambda x: x if isinstance(x, str) else x[-1])
def test_terms_are_linear_in_the_weights(
    terms: tuple[str, ...], form: str, strict: StrictBackend
) -> None:
    config = _config(terms, **FORMS[form])
    plain, metrics = _run(config, _numbers(1), _labels(2))
    same(_weighted(config), (plain, metrics), rtol=1e-14)
    first, second = (_weighted(config, weight=w)[0] for w in ([1.0, 0.0], [0.0, 1.0]))
    same(first + second, plain, rtol=1e-13)
    loss, found = _weighted(config, weight=[0.25, 3.0])
    same(loss, 0.25 * first + 3.0 * second, rtol=1e-13)
    # Metrics are errors in their units, without weights.
    same(
        {k: v for k, v in found.items() if k != "rmse"},
        {k: metrics[k] for k in found if k != "rmse"},
    )
    same(_weighted(config, strict, weight=[0.25, 3.0])[0], loss, rtol=1e-13)


def test_the_energy_by_hand() -> None:
    prediction, label = _numbers(1), _labels(2)
    square = (prediction["energy"] - label["energy"]) ** 2 / np.array(NATOMS)
    loss, _ = _weighted(_config(("e",)), weight=[2.0, 0.5], energy_weight=[1.0, 3.0])
    plain, _ = _run(_config(("e",)), prediction, label)
    same(loss, plain * (2.0 * square[0] + 1.5 * square[1]) / square.sum(), rtol=1e-13)


def test_each_label_has_its_weight() -> None:
    config = _config(("e", "f", "v", "pf", "ae"))
    off = {key: [0.0, 0.0] for key in ALL}
    for key, terms in {"energy": ("e",), "force": ("f", "pf"), "virial": ("v",)}.items():
        rest = _config(tuple(t for t in ("e", "f", "v", "pf", "ae") if t not in terms))
        want, _ = _run(rest, _numbers(1), _labels(2))
        name = f"{key}_weight"
        same(_weighted(config, **{name: off[name]})[0], want, rtol=1e-13)
    assert float(_weighted(config, weight=[0.0, 0.0])[0]) == 0.0


def test_only_weights_of_active_terms_are_labels() -> None:
    config = replace(_config(("e",)), frame_weights=("weight", "energy_weight", "force_weight"))
    assert config.labels == ("energy", "weight", "energy_weight")
    assert _config(("e",)).labels == ("energy",)


@pytest.mark.parametrize("form", [{}, {"loss_func": "mae"}, {"shift_agnostic": 1}])
def test_densities_of_states(form: dict[str, Any]) -> None:
    backend, rng, n = get_backend("numpy"), np.random.default_rng(0), 5
    shapes = {"dos": (2, n), "atom_dos": (5, n)}
    prediction = {key: rng.normal(size=shape) for key, shape in shapes.items()}
    label = {key: rng.normal(size=shape) for key, shape in shapes.items()}
    label |= {f"find_{key}": np.asarray(1.0) for key in shapes}
    atoms = BatchAtoms(np.array([2.0, 3.0]), np.ones(5), np.array([0, 0, 1, 1, 1]))
    config = DosLossConfig(1.0, n, start_pref_ados=1.0, start_pref_acdf=0.5, **form)

    def loss(config: DosLossConfig, **more: Any) -> Any:
        return dos_loss(backend, config, np.asarray(1.0), prediction, label | more, atoms)

    plain, metrics = loss(config)
    config = replace(config, frame_weights=("weight",))
    first, second = (loss(config, weight=np.eye(2)[k])[0] for k in range(2))
    same(first + second, plain, rtol=1e-13)
    total, found = loss(config, weight=np.array([0.5, 2.0]))
    same(total, 0.5 * first + 2.0 * second, rtol=1e-13)
    same(found | {"rmse": 0.0}, metrics | {"rmse": 0.0})
