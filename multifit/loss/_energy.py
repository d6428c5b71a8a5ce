r"""The energy loss, term by term.

.. math::

   L = \sum_\eta p_\eta(t) L_\eta, \qquad
   p_\eta(t) = p_\eta^\infty + (p_\eta^0 - p_\eta^\infty)\, \alpha(t)/\alpha(0),

over η = energy, force, virial, atomic energy, weighted force, generalized force, Hessian. For
frames f of N_f atoms:

======  ==========================  ========================  ==============================
term    squared                     absolute                  Huber
======  ==========================  ========================  ==============================
e       ⟨ΔE² N^−k⟩                  ⟨|ΔE|/N⟩                  ⟨H(ΔE/N)⟩
f       ⟨ΔF²⟩ over components       ⟨|ΔF|⟩ or ⟨‖ΔF‖⟩          ⟨H(ΔF)⟩ or ⟨H(‖ΔF‖)⟩
v       ⟨ΔΞ² N^−k⟩ over components  ⟨|ΔΞ|/N⟩                  ⟨H(ΔΞ/N)⟩
ae      ⟨Δe²⟩ over atoms            ⟨|Δe|⟩                    ⟨H(Δe)⟩
pf      ⟨q ΔF²⟩ over components     ⟨q |ΔF|⟩
gf      ⟨(Σ ∂r/∂q_j · ΔF)²⟩ over j  the same
h       ⟨ΔH²⟩ over pairs, frames    ⟨|ΔH|⟩
======  ==========================  ========================  ==============================

k = 2 with ``intensive_ener_virial``, else 1; H(x) = x²/2 for |x| ≤ δ, δ(|x| − δ/2) beyond; with
``relative_f`` = ν, ΔF of f and pf is ΔF/(‖F*‖ + ν); with ``enable_atom_ener_coeff``, E = Σ c_i e_i.
With weights of frames, each ⟨…⟩ is a mean of the weight of the frame times the expression.
Source: the DeePMD-kit documentation, "Fit energy", and its NumPy implementation's definitions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ..backend import Backend
from ..batching.batch import BatchAtoms
from ..errors import ConfigError
from ..rules import require
from ._config import LossConfig
from ._penalty import Penalty, norm, penalty
from ._reduction import Reduction, Residual, Result, weighted_sum
from ._rules import ENERGY_RANGES, ENERGY_RULES
from ._terms import ENERGY_TERMS, Table

Array = Any

#: Terms whose errors have a row for each frame; the others have one for each atom.
_OF_FRAMES = ("e", "v", "gf")

#: term → its index in ``huber_delta`` [energy, force, virial]
_DELTA = {"e": 0, "f": 1, "v": 2, "ae": 0}


@dataclass(frozen=True)
class EnergyLossConfig(LossConfig):
    """The settings of the energy loss, under the names of ``input.json``."""

    start_pref_e: float = 0.02
    limit_pref_e: float = 1.0
    start_pref_f: float = 1000.0
    limit_pref_f: float = 1.0
    start_pref_v: float = 0.0
    limit_pref_v: float = 0.0
    start_pref_ae: float = 0.0
    limit_pref_ae: float = 0.0
    start_pref_pf: float = 0.0
    limit_pref_pf: float = 0.0
    relative_f: float | None = None
    enable_atom_ener_coeff: bool = False
    start_pref_gf: float = 0.0
    limit_pref_gf: float = 0.0
    numb_generalized_coord: int = 0
    start_pref_h: float = 0.0
    limit_pref_h: float = 0.0
    huber_delta: tuple[float, float, float] = (0.01, 0.01, 0.01)
    f_use_norm: bool = False
    use_default_pf: bool = False
    intensive_ener_virial: bool = False

    def __post_init__(self) -> None:
        """Raise an error for numbers out of range, and options that would be ignored."""
        require(self, ENERGY_RANGES, ENERGY_RULES, "the loss")

    @property
    def table(self) -> Table:
        """All terms of the loss."""
        return ENERGY_TERMS


def huber_deltas(delta: float | Sequence[float]) -> tuple[float, float, float]:
    """Return [energy, force, virial] from one number or three.

    Raises
    ------
    ConfigError
        For anything else.
    """
    if isinstance(delta, Real):
        return (float(delta),) * 3
    if isinstance(delta, str) or not isinstance(delta, Sequence | np.ndarray):
        raise ConfigError(
            f"huber_delta must be a number or [energy, force, virial], but is {delta!r}"
        )
    if len(delta) != 3:
        raise ConfigError(
            f"huber_delta must be a number or [energy, force, virial], but has {len(delta)} numbers"
        )
    for number in delta:
        if not isinstance(number, Real):
            raise ConfigError(f"huber_delta must hold three numbers, but has {number!r}")
    e, f, v = delta
    return float(e), float(f), float(v)


def _residual(
    config: EnergyLossConfig,
    term: str,
    prediction: Mapping[str, Array],
    label: Mapping[str, Array],
    reduction: Reduction,
) -> Residual:
    """Return prediction − label of a term, in the form for its mean."""
    xp, mask = reduction.xp, reduction.atoms.mask
    predicted, target = prediction[config.prediction(term)], label[ENERGY_TERMS[term].label]
    if term == "e" and config.enable_atom_ener_coeff:
        predicted = reduction.sum_atoms(predicted * label["atom_ener_coeff"] * mask)
    error = predicted - target
    error = xp.reshape(error, (error.shape[0], math.prod(error.shape[1:])))
    if term == "gf":
        projected = label["drdq"] * error[:, :, None] * mask[:, None, None]
        return Residual(reduction.sum_atoms(xp.sum(projected, axis=1)), reduction.over_frames)
    if term in ("f", "pf") and config.relative_f is not None:
        error = error / (norm(xp, target) + config.relative_f)
    if term == "pf":
        return Residual(error, reduction.over_atoms, label["atom_pref"][:, None])
    if term == "h":
        return Residual(error, reduction.over_hessians)
    return Residual(error, reduction.over_frames if term in ("e", "v") else reduction.over_atoms)


def _penalty(xp: Any, config: EnergyLossConfig, term: str) -> Penalty:
    if ENERGY_TERMS[term].squared:
        return penalty(xp, "mse", None)
    delta = config.huber_delta[_DELTA[term]] if config.use_huber else None
    return penalty(xp, config.loss_func, delta)


def _extensive(
    config: EnergyLossConfig, term: str, residual: Residual, reduction: Reduction
) -> Result:
    """Return the loss and the metrics of energy or virial, normalized by the number of atoms."""
    xp, name, error, mean = reduction.xp, config.metric(term), residual.error, residual.mean
    per_atom = error / reduction.natoms[:, None]
    absolute = config.loss_func == "mae"
    if absolute or config.use_huber or config.intensive_ener_virial:
        loss = residual.cost(_penalty(xp, config, term)(per_atom))
    else:
        loss = residual.cost(error * per_atom)
    if not absolute:
        return loss, {name: xp.sqrt(mean(per_atom * per_atom))}
    metrics = {name: mean(xp.abs(per_atom))}
    if total := ENERGY_TERMS[term].total_metric:
        metrics[f"mae_{total}"] = mean(xp.abs(error))
    return loss, metrics


def _intensive(config: EnergyLossConfig, term: str, residual: Residual, xp: Any) -> Result:
    """Return the loss and the metric of an intensive term."""
    name, error, mean = config.metric(term), residual.error, residual.mean
    penalized = norm(xp, error) if term == "f" and config.f_use_norm else error
    loss = residual.cost(_penalty(xp, config, term)(penalized))
    if name.startswith("mae"):
        return loss, {name: mean(xp.abs(error))}
    return loss, {name: xp.sqrt(mean(error * error))}


def energy_loss(
    backend: Backend,
    config: EnergyLossConfig,
    learning_rate: Array,
    prediction: dict[str, Array],
    label: dict[str, Array],
    atoms: BatchAtoms,
) -> Result:
    """Return the loss (a 0-d array) and the metrics.

    Parameters
    ----------
    learning_rate
        0-d array.
    prediction
        ``energy`` (nframes,), ``force`` (N, 3), ``virial`` (nframes, 3, 3), ``atom_energy`` (N,),
        ``hessian`` (N, 3, 3·natoms), zero in the columns of virtual atoms: those required by the
        terms.
    label
        The same under their file's names (``atom_ener``), ``atom_pref`` and ``atom_ener_coeff``
        (N,), ``drdq`` (N, 3, numb_generalized_coord), the ``frame_weights`` of the settings
        (nframes,), and for each ``find_<label>``, a 0-d array,
        1 if the data has the label. Without a required label a term is off, and its metrics
        are NaN; labels with a default (``atom_ener_coeff``, with ``use_default_pf`` also
        ``atom_pref``) are used unchanged.
    atoms
        From :func:`multifit.batching.batch.flat_atoms`.
    """
    reduction = Reduction(backend, atoms)
    xp = reduction.xp

    def evaluate_term(term: str) -> Result:
        weight = reduction.frame_weights(config, term, label, term not in _OF_FRAMES)
        residual = _residual(config, term, prediction, label, reduction)
        residual = residual._replace(frame_weight=weight)
        if term in ("e", "v"):
            return _extensive(config, term, residual, reduction)
        return _intensive(config, term, residual, xp)

    return weighted_sum(xp, config, learning_rate, label, evaluate_term, atoms.natoms.dtype)
