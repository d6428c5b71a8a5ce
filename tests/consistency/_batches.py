"""A row as parameters, a batch and labels, as NumPy arrays of the same shapes for every backend."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from _cases import assemble, draw, parameters, series
from _derivatives import by_differences
from _rows import MASKED, SYSTEMS, Row

from multifit import models as mdl
from multifit.backend import get_backend
from multifit.data import WEIGHTS
from multifit.loss import LABELS, DosLossConfig, EnergyLossConfig, LossConfig
from multifit.tree import Flat, Tree, flatten, unflatten


@dataclass(frozen=True)
class Case:
    """What a model is evaluated with, and compared with in training."""

    model: mdl.Model
    params: Tree
    batch: Tree
    label: dict[str, Any]

    @functools.cached_property
    def trainable(self) -> Flat:
        """The parameters that training changes, by their dotted names."""
        names = set(mdl.trainable_names(self.model))
        return {name: x for name, x in flatten(self.params).items() if name in names}

    @functools.cached_property
    def frozen(self) -> Flat:
        """The other parameters and the statistics."""
        flat = flatten(self.params)
        return {name: x for name, x in flat.items() if name not in self.trainable}


def join(frozen: Flat, trainable: Flat) -> Tree:
    """Return the nested parameters."""
    return unflatten({**frozen, **trainable})


def density_slope(one: Case, which: str) -> np.ndarray:
    """Return the slope of Σ D² in a parameter, by differences of NumPy's densities of states."""

    def total(x: np.ndarray) -> float:
        params = unflatten(flatten(one.params) | {which: x})
        out = mdl.evaluate(get_backend("numpy"), one.model, params, one.batch)
        return float((out["dos"] ** 2).sum())

    return by_differences(total, flatten(one.params)[which], 1e-3)


def case(row: Row, backend: str = "numpy") -> Case:
    """Return the row's model, parameters in which nothing is zero, batch and labels."""
    model, params = row.on(backend, row.model, draw(row.model))
    masked = row.virtual or model.fitting.use_aparam_as_mask
    systems = MASKED if masked else SYSTEMS
    batch, layout = assemble(model, systems, static_shapes=True, **parameters(model, systems))
    if row.coefficients:
        batch["plan"] = series(model, systems, row.coefficients)
    natoms = len(systems[0].atype)
    numb_dos = model.fitting.dim_out if model.output.type == "dos" else 0
    label = labels(len(systems), len(layout.real), natoms, numb_dos)
    return Case(model, params, batch, label)


def loss_config(model: mdl.Model, start: float, options: Mapping[str, Any]) -> LossConfig:
    """Return the settings of the loss of what a model predicts."""
    if model.output.type == "dos":
        return DosLossConfig(start, model.fitting.dim_out, **options)
    return EnergyLossConfig(start, **options)


def labels(nframes: int, n: int, natoms: int, numb_dos: int = 0) -> dict[str, np.ndarray]:
    """Return random labels for a flat list of n atoms of frames of natoms, all of them there.

    Those of densities of states are there with points of the energy grid only, and no others then.
    """
    rng, found = np.random.default_rng(11), {}
    for key, kind in LABELS.items():
        if ("numb_dos" in kind.shape) != (numb_dos > 0):
            continue
        rows = n if kind.per_atom else nframes
        found[key] = rng.normal(size=(rows, *kind.axes(natoms, 2, numb_dos)))
    for key in found.keys() & {"atom_pref", *WEIGHTS}:
        found[key] = np.abs(found[key])
    return found | {f"find_{key}": np.asarray(1.0) for key in found}
