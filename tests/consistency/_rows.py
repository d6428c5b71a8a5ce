"""The models that every backend must agree on: each option is there, on and off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from _cases import System, assemble, build, crystal, draw, parameters, series

from multifit import model as mdl
from multifit.backend import Backend
from multifit.loss import EnergyLossConfig
from multifit.tree import Tree, flatten, map_leaves, unflatten

WEIGHTS = {f"{when}_pref_{term}": 1.0 for when in ("start", "limit") for term in ("e", "f", "v")}
WEIGHTS |= {"start_pref_ae": 0.5, "limit_pref_ae": 2.0}


@dataclass(frozen=True)
class Row:
    """A model, what it is trained with, and how exact its arithmetic is."""

    options: dict[str, Any]
    loss: dict[str, Any] = field(default_factory=dict)
    coefficients: int = 0

    @property
    def rtol(self) -> float:
        return 1e-10 if self.options.get("precision") != "float32" else 2e-5


ROWS = {
    "plain": Row({"resnet_dt": False}),
    "two sides, gelu, huber": Row(
        {"type_one_side": False, "activation": "gelu"},
        {"use_huber": True, "huber_delta": (0.1, 0.2, 0.3)},
    ),
    "excluded, mixed types, silut, mae": Row(
        {"exclude_types": ((0, 1),), "mixed_types": True, "activation": "silut:0.1"},
        {"loss_func": "mae"},
    ),
    "float32": Row({"precision": "float32"}),
    "float32, fparam, excluded": Row(
        {"precision": "float32", "numb_fparam": 2, "exclude_types": ((1, 1),)},
        {"intensive_ener_virial": True},
    ),
    "fparam, aparam, softplus, norm": Row(
        {"numb_fparam": 1, "numb_aparam": 2, "activation": "softplus", "type_one_side": False},
        {"loss_func": "mae", "f_use_norm": True},
    ),
    "hidden, cut at sel, relu6": Row(
        {"pair_exclude_types": ((0, 0),), "sel": (3, 5), "activation": "relu6"},
    ),
    "excluded atoms, protected, sigmoid": Row(
        {"atom_exclude_types": (0,), "env_protection": 0.1, "activation": "sigmoid"},
    ),
    "series": Row({"type_one_side": False}, coefficients=96),
}

#: Frames of one size, with and without a cell: a batch of a system, and one more shape.
SYSTEMS: list[System] = [crystal(), crystal(3), System(crystal(4).coord, crystal().atype, None)]


@dataclass(frozen=True)
class Case:
    """A row as arrays of a backend."""

    model: mdl.EnergyModel
    params: Tree
    batch: Tree
    label: dict[str, Any]
    loss: EnergyLossConfig

    @property
    def split(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters that are trained and those that are not, flat."""
        names = set(mdl.trainable_names(self.model))
        flat = flatten(self.params)
        return (
            {name: x for name, x in flat.items() if name in names},
            {name: x for name, x in flat.items() if name not in names},
        )

    def join(self, trained: dict[str, Any]) -> Tree:
        """Return all parameters, with these trained ones."""
        return unflatten({**self.split[1], **trained})


def case(row: Row, backend: Backend) -> Case:
    """Return the row's model, batch and labels; tables have the same shapes on every backend."""
    model = build(**row.options)
    extra = parameters(model, SYSTEMS)
    batch, layout = assemble(model, SYSTEMS, static_shapes=True, **extra)
    if row.coefficients:
        batch["basis"] = series(model, SYSTEMS, row.coefficients)
    rng = np.random.default_rng(11)
    nf, n = len(SYSTEMS), len(layout.real)
    label = {
        "energy": rng.normal(size=nf),
        "force": rng.normal(size=(n, 3)),
        "virial": rng.normal(size=(nf, 3, 3)),
        "atom_ener": rng.normal(size=n),
    }
    label |= {f"find_{key}": np.asarray(1.0) for key in label}
    return Case(
        model,
        map_leaves(backend.asarray, draw(model)),
        map_leaves(backend.asarray, batch),
        map_leaves(backend.asarray, label),
        EnergyLossConfig(1e-3, **WEIGHTS, **row.loss),
    )
