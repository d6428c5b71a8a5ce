r"""The energy that a model adds for each type, and its fit to other data.

A model gives E = Σ_i [N_i + b_{t(i)}], an energy or each component of a density of states, where N
are its networks and the bias b of a type is the fitting net's ``bias_atom_e`` plus the model's
``out_bias``. With n_{fa} atoms of type a in frame f, labels E* and predictions E, the new bias
solves one of

.. math::

   \text{change:}\; \min_δ \sum_f (E^*_f - E_f - \sum_a n_{fa} δ_a)^2,\; b → b + δ, \qquad
   \text{set:}\; \min_b \sum_f (E^*_f - \sum_a n_{fa} b_a)^2.

If the data do not determine it (water is always H2O), δ or b is the shortest solution. Types that
do not occur keep their bias, and so do types with a ``preset_out_bias`` or an ``atom_ener``.
Atomic labels of a density of states leave no choice: for types that have some, δ or b is the mean
of their labels, less the predictions to change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import numpy as np

from ..data import System
from ..errors import ConfigError
from ..inference.potential import Potential
from ..models import Model
from ..statistics import output_bias
from ..tree import Tree, map_leaves
from .bias_data import BiasData, collect

Mode = Literal["change", "set"]


def type_bias(model: Model, params: Tree) -> np.ndarray:
    """Return the constant of each type besides the networks, (ntypes, dim_out)."""
    of_net: np.ndarray = np.array(params["fitting"]["bias_atom_e"])
    of_net[list(model.fitting.exclude_types)] = 0.0
    total: np.ndarray = of_net + np.asarray(params["out_bias"])
    return total


def fit_bias(model: Model, params: Tree, bias_data: BiasData, mode: Mode) -> np.ndarray:
    """Return the bias of each type, (ntypes, dim_out), that best fits the evidence.

    Parameters
    ----------
    mode
        ``"change"`` fits a shift to label − prediction, ``"set"`` fits the labels themselves.
    """
    old = type_bias(model, params)
    if model.fitting.tot_ener_zero:
        raise ConfigError(
            "the model's total energy is always zero (tot_ener_zero), so that no data say what the "
            "energies of its types are; give them (-b EV …)"
        )
    wanted = model.fixed_bias
    keep = bias_data.absent() & np.isnan(wanted).any(axis=1)
    wanted[keep] = old[keep]
    rcond, atoms = model.fitting.rcond, bias_data.atoms
    change = mode == "change"
    label = bias_data.label - bias_data.prediction if change else bias_data.label
    given = wanted - old if change else wanted
    if atoms is not None:
        mean = atoms.mean(atoms.label - atoms.prediction if change else atoms.label)
        given = np.where(np.isnan(given), mean, given)
    found = output_bias(bias_data.counts, label, given, rcond)
    new: np.ndarray = old + found if change else found
    return new


def with_type_bias(model: Model, params: Tree, bias: np.ndarray) -> np.ndarray:
    """Return the ``out_bias`` (ntypes, dim_out) that gives the types this bias.

    Raises
    ------
    ConfigError
        If a type would get a bias other than its ``atom_ener``.
    """
    fixed = model.fitting.atom_ener or (None,) * model.ntypes
    for name, own, (wanted, *_) in zip(model.type_map, fixed, bias, strict=True):
        if own is not None and not np.isclose(own, wanted, rtol=1e-12):
            raise ConfigError(
                f"the energy of {name} cannot become {wanted:g} eV: the model's atom_ener has "
                f"fixed it at {own:g} eV; give this value for it"
            )
    shift = np.asarray(bias) - type_bias(model, params)
    new: np.ndarray = np.asarray(params["out_bias"]) + shift
    return new


def shifted_bias(
    potential: Potential,
    systems: Iterable[System],
    nsample: int | None = None,
    coefficients: bool = False,
    fitted: Collection[str] | None = None,
) -> np.ndarray:
    """Return the ``out_bias`` (ntypes, dim_out) that best fits a model to the data.

    Without labels in the data, or an energy of the model (``tot_ener_zero``), it is unchanged.

    Parameters
    ----------
    nsample
        Number of frames of each system, evenly spread; all if None.
    coefficients, fitted
        As for :func:`multifit.evaluation.bias_data.collect`.
    """
    params = map_leaves(potential.backend.to_numpy, potential.params)
    if potential.model.fitting.tot_ener_zero:
        return np.asarray(params["out_bias"])
    bias_data = collect(potential, systems, nsample, coefficients=coefficients, fitted=fitted)
    if not len(bias_data.label) and bias_data.atoms is None:
        return np.asarray(params["out_bias"])
    model = potential.model
    return with_type_bias(model, params, fit_bias(model, params, bias_data, "change"))
