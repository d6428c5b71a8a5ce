"""The support matrix: one case per cell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _cases import build, draw, molecule, section_of
from _water import recipe

from multifit import config, descriptors, support
from multifit import models as mdl
from multifit.backend import Backend, available, get_backend
from multifit.errors import DataError, UnsupportedError
from multifit.fitting import DOSFittingNet, EnergyFittingNet, Fitting
from multifit.inference.potential import Potential
from multifit.loss import DOSLoss, EnergyLoss
from multifit.support import ALL, FEATURES, markdown, require
from multifit.train import train


@pytest.mark.parametrize("backend", sorted(ALL))
@pytest.mark.parametrize("feature", FEATURES)
def test_every_cell(feature: str, backend: str) -> None:
    row = FEATURES[feature]
    if backend in row.backends:
        require(feature, backend)
        return
    with pytest.raises(UnsupportedError) as caught:
        require(feature, backend)
    text = str(caught.value)
    assert row.title in text
    assert backend in text
    assert all(name in text for name in row.backends)


def test_a_third_partys_backend_is_trusted() -> None:
    require("train", "somebodys")


def test_the_matrix_names_the_registered_backends() -> None:
    assert set(available()) >= ALL
    for row in FEATURES.values():
        assert row.backends <= ALL


def test_the_matrix_knows_who_trains() -> None:
    for name in ("numpy", *INSTALLED):
        assert get_backend(name).can_train == (name in TRAINABLE)


def test_the_table_has_a_row_for_each_feature() -> None:
    lines = markdown().splitlines()
    assert len(lines) == len(FEATURES) + 2
    assert {line.count("|") for line in lines} == {len(ALL) + 2}
    assert "| energy, atomic energy " + "| yes " * len(ALL) + "|" in lines
    assert sum("—" in line for line in lines) == sum(
        len(row.backends) < len(ALL) for row in FEATURES.values()
    )


def _load(backend: Backend, **options: Any) -> Potential:
    model = build(**options)
    return Potential(model, draw(model), backend)


def _train(backend: Backend, **changes: Any) -> None:
    """Train on data that are not there: what the backend lacks must be said before."""
    nowhere = Path("/nowhere")
    train(config.parse(recipe(**changes)), backend, base=nowhere, output=nowhere)


class Pair:
    """Two processes, of which this is the first, and which say the same."""

    rank, size, mates = 0, 2, 1

    def gather(self, value: Any) -> list[Any]:
        return [value, value]


def _train_together(backend: Backend) -> None:
    """Train with two processes on data that are not there."""
    nowhere, pair = Path("/nowhere"), cast(Any, Pair())
    train(config.parse(recipe()), backend, base=nowhere, output=nowhere, processes=pair)


def _predict(backend: Backend, **options: Any) -> None:
    system = molecule()
    _load(backend).predict(system.coord, system.atype, **options)


def _of_descriptor(name: str) -> list[Callable[[Backend], object]]:
    """Return the ways in which a user asks for a descriptor: a model, and an input."""
    descriptor = next(descriptors.available()[name].examples())
    section = section_of(descriptor)

    def load(backend: Backend) -> None:
        fitting = Fitting(descriptor.ntypes, descriptor.dim_out, neuron=(4,))
        model = mdl.Model(("O", "H"), descriptor, fitting)
        Potential(model, mdl.init(model, 0, 0), backend)

    def run(backend: Backend) -> None:
        _train(backend, model__descriptor=section)

    return [load, run]


DOS: dict[str, Any] = {
    "model__fitting_net__type": "dos",
    "model__fitting_net__numb_dos": 5,
    "loss": {"type": "dos"},
}
HESSIAN = {"start_pref_h": 1.0, "limit_pref_h": 1.0}
PF = {"start_pref_pf": 1.0, "limit_pref_pf": 1.0, "use_default_pf": True}


def _of_loss(options: dict[str, Any]) -> dict[str, Any]:
    return {f"loss__{key}": value for key, value in options.items()}


def _precision(name: str) -> list[Callable[[Backend], object]]:
    return [
        lambda backend: EnergyFittingNet(2, 3, [4], precision=name, backend=backend),
        lambda backend: _load(backend, precision=name),
        lambda backend: _train(backend, model__descriptor__precision=name),
        lambda backend: _train(backend, model__fitting_net__precision=name),
    ]


#: feature → the ways in which a user asks a backend for it
DOORS: dict[str, list[Callable[[Backend], object]]] = {
    "energy": [_load, _train, lambda backend: EnergyFittingNet(2, 3, [4], backend=backend)],
    "force": [_load, _train],
    "hessian": [
        lambda backend: _predict(backend, hessian=True),
        lambda backend: EnergyLoss(backend=backend, **HESSIAN),
        lambda backend: _train(backend, **_of_loss(HESSIAN)),
    ],
    **{f"descriptor {name}": _of_descriptor(name) for name in descriptors.available()},
    "ener": [_load, _train, lambda backend: EnergyFittingNet(2, 3, [4], backend=backend)],
    "fitting_options": [
        lambda backend: EnergyFittingNet(2, 3, [4], numb_fparam=1, backend=backend),
        lambda backend: EnergyFittingNet(2, 3, [4], numb_aparam=1, backend=backend),
        lambda backend: EnergyFittingNet(2, 3, [4], atom_ener=[None, 1.0], backend=backend),
        lambda backend: EnergyFittingNet(2, 3, [4], layer_name=["a", None], backend=backend),
        lambda backend: EnergyFittingNet(2, 3, [4], tot_ener_zero=True, backend=backend),
        lambda backend: EnergyFittingNet(2, 3, [4], dim_case_embd=2, backend=backend),
        lambda backend: DOSFittingNet(2, 3, 5, [4], numb_fparam=1, backend=backend),
        lambda backend: _load(backend, numb_fparam=1),
        lambda backend: _train(backend, model__fitting_net__numb_aparam=1),
        lambda backend: _train(
            backend,
            model__fitting_net__numb_aparam=1,
            model__fitting_net__use_aparam_as_mask=True,
        ),
    ],
    "dos": [
        lambda backend: DOSFittingNet(2, 3, 5, [4], backend=backend),
        lambda backend: _load(backend, numb_dos=5),
        lambda backend: _train(backend, **DOS),
    ],
    "float32": _precision("float32"),
    "float16": _precision("float16"),
    "bfloat16": _precision("bfloat16"),
    "mixed_precision": [
        lambda backend: _load(backend, precision="float32", output_precision="float64"),
        lambda backend: _train(backend, model__fitting_net__output_precision="float32"),
    ],
    "energy_loss": [lambda backend: EnergyLoss(backend=backend), _train],
    "loss_terms": [
        lambda backend: EnergyLoss(backend=backend),
        lambda backend: EnergyLoss(0.001, 0, 0, 0, 0, 0, 0, 1.0, 1.0, backend=backend),
        _train,
    ],
    "use_default_pf": [
        lambda backend: EnergyLoss(backend=backend, **PF),
        lambda backend: _train(backend, **_of_loss(PF)),
    ],
    "dos_loss": [
        lambda backend: DOSLoss(1e-3, 5, backend=backend),
        lambda backend: _train(backend, **DOS),
    ],
    "train": [_train],
    "processes": [_train_together],
}
CELLS = [
    pytest.param(feature, door, id=f"{feature}-{k}")
    for feature, doors in DOORS.items()
    for k, door in enumerate(doors)
]


def test_every_row_has_a_door() -> None:
    assert set(DOORS) == set(FEATURES)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> StrictBackend:
    """Return a backend that the matrix knows, with every feature."""
    backend = StrictBackend(name="listed")
    monkeypatch.setattr(support, "ALL", ALL | {backend.name})
    for feature, row in FEATURES.items():
        monkeypatch.setitem(FEATURES, feature, replace(row, backends=row.backends | {backend.name}))
    return backend


@pytest.mark.parametrize(("feature", "door"), CELLS)
def test_what_a_row_lacks_is_refused_at_every_door(
    feature: str,
    door: Callable[[Backend], object],
    listed: StrictBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = FEATURES[feature]
    others = row.backends - {listed.name}
    monkeypatch.setitem(FEATURES, feature, replace(row, backends=others))
    with pytest.raises(UnsupportedError) as caught:
        door(listed)
    who = " or ".join(sorted(others))
    assert str(caught.value) == f"the listed backend does not support {row.title}; use {who}"


@pytest.mark.parametrize(("feature", "door"), CELLS)
def test_nothing_else_is_refused(
    feature: str, door: Callable[[Backend], object], listed: StrictBackend
) -> None:
    """A door is closed by the row that it is for, and open for a backend of somebody else."""
    for backend in (listed, StrictBackend(name="somebodys")):
        with contextlib.suppress(DataError):  # beyond the guard training looks for its data
            door(backend)


def test_a_plain_model_asks_for_no_options(
    listed: StrictBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for feature in ("hessian", "fitting_options", "dos", "float32", "train", "dos_loss"):
        row = FEATURES[feature]
        monkeypatch.setitem(FEATURES, feature, replace(row, backends=frozenset()))
    _predict(listed)
    EnergyFittingNet(2, 3, [4], backend=listed)
    EnergyLoss(backend=listed)
