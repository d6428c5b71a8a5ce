"""Every cell of the support matrix: yes is compared with NumPy, no is refused at every door."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _backends import INSTALLED
from _cases import build, draw
from _rows import DESCRIPTORS, FITTINGS, LOSSES, MODELS, TRAINED, Row
from _rows_dos import DENSITIES, DOS_FITTINGS, DOS_LOSSES, DOS_TRAINED, POINTS
from _water import recipe

from multifit import config, descriptors
from multifit.backend import get_backend
from multifit.errors import UnsupportedError
from multifit.fitting import DOSFittingNet, EnergyFittingNet
from multifit.inference.potential import Potential
from multifit.loss import EnergyLoss
from multifit.support import FEATURES
from multifit.train import train

TABLES = (DESCRIPTORS, FITTINGS, MODELS, LOSSES, DOS_FITTINGS, DENSITIES, DOS_LOSSES)

#: Which rows have a feature, besides those that name it.
EVERY_ROW_OF = {
    "energy": MODELS,
    "force": MODELS,
    "hessian": MODELS,
    "fitting_options": FITTINGS,
    "loss_terms": LOSSES,
    "train": TRAINED,
}

PF = {"start_pref_pf": 1.0, "limit_pref_pf": 1.0, "use_default_pf": True}


#: What makes the input one of densities of states.
DOS_INPUT: dict[str, Any] = {
    "model__fitting_net__type": "dos",
    "model__fitting_net__numb_dos": POINTS,
    "loss": {"type": "dos"},
}


def _train(name: str, **changes: Any) -> None:
    """Train on data that are not there: what the backend lacks must be said before."""
    nowhere = Path("/nowhere")
    train(config.parse(recipe(**changes)), get_backend(name), base=nowhere, output=nowhere)


def _share(name: str) -> None:
    """Train with several processes, of which this is the first."""
    nowhere = Path("/nowhere")
    processes = SimpleNamespace(rank=0, size=2)
    train(
        config.parse(recipe()),
        get_backend(name),
        base=nowhere,
        output=nowhere,
        processes=processes,  # type: ignore[arg-type]
    )


def _net(name: str, precision: str) -> None:
    EnergyFittingNet(2, 3, [4], precision=precision, backend=name)


def _dos_net(name: str, precision: str) -> None:
    DOSFittingNet(2, 3, POINTS, [4], precision=precision, backend=name)


def _potential(name: str, **options: Any) -> None:
    model = build(**options)
    Potential(model, draw(model), name)


def _native(name: str, **options: Any) -> None:
    """Make the framework's own object of a model: a module, a layer or a function."""
    model = build(**options)
    package = importlib.import_module(f"multifit_{name}")
    made = {
        "torch": "Module",
        "paddle": "Layer",
        "tensorflow": "Module",
        "jax": "functions",
    }[name]
    getattr(package, made)(model, draw(model))


def _precision_doors(precision: str) -> dict[str, Callable[[str], None]]:
    return {
        "class": lambda name: _net(name, precision),
        "class, dos": lambda name: _dos_net(name, precision),
        "model": lambda name: _potential(name, precision=precision),
        "model, dos": lambda name: _potential(name, precision=precision, numb_dos=POINTS),
        "native": lambda name: _native(name, precision=precision),
        "native, dos": lambda name: _native(name, precision=precision, numb_dos=POINTS),
        **{
            f"input, {section}": lambda name, section=section: _train(
                name, **{f"model__{section}__precision": precision}
            )
            for section in ("descriptor", "fitting_net")
        },
        "input, dos": lambda name: _train(
            name, **DOS_INPUT, model__fitting_net__precision=precision
        ),
    }


#: feature → the ways in which a user asks a backend for it
DOORS: dict[str, dict[str, Callable[[str], None]]] = {
    "train": {"input": _train},
    "processes": {"input": _share},
    "use_default_pf": {
        "class": lambda name: EnergyLoss(backend=name, **PF) and None,
        "input": lambda name: _train(name, **{f"loss__{key}": value for key, value in PF.items()}),
    },
    "float16": _precision_doors("float16"),
    "bfloat16": _precision_doors("bfloat16"),
}

CLOSED = [
    pytest.param(feature, name, door, id=f"{feature}-{name}-{door}")
    for feature, row in FEATURES.items()
    for name in ("numpy", *INSTALLED)
    if name not in row.backends
    for door in DOORS.get(feature, {"a door": None})
    # Without training there is no input to ask with, and NumPy has no objects of its own.
    if feature == "train"
    or name in FEATURES["train"].backends
    or not door.startswith(("input", "native"))
]


@pytest.mark.parametrize(("feature", "name", "door"), CLOSED)
def test_no_is_refused(feature: str, name: str, door: str) -> None:
    ask = DOORS[feature][door]
    with pytest.raises(UnsupportedError) as caught:
        ask(name)
    assert isinstance(caught.value, NotImplementedError)
    for word in (FEATURES[feature].title, name, *FEATURES[feature].backends):
        assert word in str(caught.value)


@pytest.mark.parametrize("feature", FEATURES)
def test_yes_is_compared(feature: str) -> None:
    rows: list[Row] = [
        *(row for table in TABLES for row in table.values()),
        *(one.row for one in (TRAINED | DOS_TRAINED).values()),
    ]
    if feature == "processes":  # tests/distributed compares several with one
        return
    if feature.startswith("descriptor "):  # tests/conformance compares them all
        assert feature.removeprefix("descriptor ") in descriptors.available()
        return
    assert feature in EVERY_ROW_OF or any(feature in row.features for row in rows)
