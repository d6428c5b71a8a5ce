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

from typing import Any

from ..backend import Backend
from ..batching.batch import BatchAtoms
from ._energy_config import EnergyLossConfig
from ._mean import Mean
from ._penalty import Penalty, penalty
from ._residuals import Residual, length, residual
from ._sum import weighted

Array = Any

#: term → its index in ``huber_delta`` [energy, force, virial]
_DELTA = {"e": 0, "f": 1, "v": 2, "ae": 0}


def _penalty(xp: Any, config: EnergyLossConfig, term: str) -> Penalty:
    if term == "gf":  # these have squared errors only
        return penalty(xp, "mse", None)
    delta = config.huber_delta[_DELTA[term]] if config.use_huber else None
    return penalty(xp, config.loss_func, delta)


def _extensive(
    config: EnergyLossConfig, term: str, error: Array, mean: Mean
) -> tuple[Array, dict[str, Array]]:
    """Return the loss and the metrics of energy or virial, which are divided by the atoms."""
    xp, name = mean.xp, config.metric(term)
    per_atom = error / mean.natoms[:, None]
    absolute = config.loss_func == "mae"
    if absolute or config.use_huber or config.intensive_ener_virial:
        loss = mean.frames(_penalty(xp, config, term)(per_atom))
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
    name = config.metric(term)

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
    atoms: BatchAtoms,
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
        From :func:`multifit.batching.batch.flat_atoms`.
    """
    mean = Mean(backend, atoms)

    def part(term: str) -> tuple[Array, dict[str, Array]]:
        found = residual(config, term, prediction, label, mean)
        if term in ("e", "v"):
            return _extensive(config, term, found.error, mean)
        return _intensive(config, term, found, mean.xp)

    return weighted(mean.xp, config, learning_rate, label, part, atoms.natoms.dtype)
