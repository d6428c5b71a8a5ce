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
Source: the DeePMD-kit documentation, "Fit energy", and its NumPy implementation's definitions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import Backend
from ..batch import Atoms
from ._config import EnergyLossConfig, metric_name
from ._residuals import Mean, Residual, length, residual

Array = Any

#: term → its index in ``huber_delta`` [energy, force, virial]
_DELTA = {"e": 0, "f": 1, "v": 2, "ae": 0}


def _absolute(xp: Any, x: Array) -> Array:
    """Return |x|, with the gradient 0 at 0 on every backend (JAX has 1 there, PyTorch 0)."""
    return xp.where(x == 0.0, xp.zeros_like(x), xp.abs(x))


def _huber(xp: Any, x: Array, delta: float) -> Array:
    size = xp.abs(x)
    return xp.where(size <= delta, 0.5 * x * x, delta * (size - 0.5 * delta))


def _penalty(xp: Any, config: EnergyLossConfig, term: str) -> Callable[[Array], Array]:
    if config.loss_func == "mae" and term != "gf":
        return lambda x: _absolute(xp, x)
    if config.use_huber:
        return lambda x: _huber(xp, x, config.huber_delta[_DELTA[term]])
    return lambda x: x * x


def _extensive(
    config: EnergyLossConfig, term: str, error: Array, mean: Mean
) -> tuple[Array, dict[str, Array]]:
    """Return the loss and the metrics of energy or virial, which are divided by the atoms."""
    xp, penalty = mean.xp, _penalty(mean.xp, config, term)
    name = metric_name(config, term)
    per_atom = error / mean.of.natoms[:, None]
    absolute = config.loss_func == "mae"
    if absolute or config.use_huber or config.intensive_ener_virial:
        loss = mean.frames(penalty(per_atom))
    else:
        loss = mean.frames(error * per_atom)
    if not absolute:
        return loss, {name: xp.sqrt(mean.frames(per_atom * per_atom))}
    metrics = {name: mean.frames(xp.abs(per_atom))}
    if term == "e":
        metrics["mae_e_all"] = mean.frames(xp.abs(error))
    return loss, metrics


def _intensive(
    config: EnergyLossConfig, term: str, found: Residual, xp: Any
) -> tuple[Array, dict[str, Array]]:
    """Return the loss and the metric of a term whose size does not grow with the system."""
    name = metric_name(config, term)

    def average(x: Array) -> Array:
        return found.mean(x if found.weight is None else found.weight * x)

    penalized = length(xp, found.error) if term == "f" and config.f_use_norm else found.error
    loss = average(_penalty(xp, config, term)(penalized))
    if name.startswith("mae"):
        return loss, {name: average(xp.abs(found.error))}
    return loss, {name: xp.sqrt(average(found.error * found.error))}


def energy_loss(
    backend: Backend,
    config: EnergyLossConfig,
    learning_rate: Array,
    prediction: dict[str, Array],
    label: dict[str, Array],
    atoms: Atoms,
) -> tuple[Array, dict[str, Array]]:
    """Return the loss (a 0-d array) and the metrics.

    Parameters
    ----------
    learning_rate
        0-d array.
    prediction
        ``energy`` (nframes,), ``force`` (N, 3), ``virial`` (nframes, 3, 3), ``atom_energy`` (N,),
        ``hessian`` (N, 3, 3·natoms), zero in the columns of virtual atoms: those that the terms
        need.
    label
        The same under their file's names (``atom_ener``), ``atom_pref`` and ``atom_ener_coeff``
        (N,), ``drdq`` (N, 3, numb_generalized_coord), and for each ``find_<label>``, a 0-d array,
        1 if the data has the label. Without a label that it needs a term is off, and its metrics
        are NaN; what has a default (``atom_ener_coeff``, with ``use_default_pf`` also
        ``atom_pref``) is taken as it is.
    atoms
        From :func:`multifit.batch.flat_atoms`.
    """
    xp, mean = backend.xp, Mean(backend, atoms)
    progress = learning_rate / config.starter_learning_rate
    total = xp.zeros((), dtype=atoms.natoms.dtype)
    metrics: dict[str, Array] = {}
    for term in config.terms:
        start, limit = config.prefactors(term)
        find = xp.ones((), dtype=atoms.natoms.dtype)
        for key in config.needs(term):
            find = find * label[f"find_{key}"]
        found = residual(config, term, prediction, label, mean)
        if term in ("e", "v"):
            loss, shown = _extensive(config, term, found.error, mean)
        else:
            loss, shown = _intensive(config, term, found, xp)
        total = total + find * (limit + (start - limit) * progress) * loss
        for name, value in shown.items():
            metrics[name] = xp.where(find > 0, value, xp.full_like(value, float("nan")))
    metrics["rmse"] = xp.sqrt(total)
    return total, metrics
