r"""The energy loss, term by term.

.. math::

   L = \sum_\eta p_\eta(t) L_\eta, \qquad
   p_\eta(t) = p_\eta^\infty + (p_\eta^0 - p_\eta^\infty)\, \alpha(t)/\alpha(0),

over η = energy, force, virial, atomic energy. For frames f of N_f atoms:

======  ==========================  ========================  ==============================
term    squared                     absolute                  Huber
======  ==========================  ========================  ==============================
e       ⟨ΔE² N^−k⟩                  ⟨|ΔE|/N⟩                  ⟨H(ΔE/N)⟩
f       ⟨ΔF²⟩ over components       ⟨|ΔF|⟩ or ⟨‖ΔF‖⟩          ⟨H(ΔF)⟩ or ⟨H(‖ΔF‖)⟩
v       ⟨ΔΞ² N^−k⟩ over components  ⟨|ΔΞ|/N⟩                  ⟨H(ΔΞ/N)⟩
ae      ⟨Δe²⟩ over atoms            ⟨|Δe|⟩                    ⟨H(Δe)⟩
======  ==========================  ========================  ==============================

k = 2 with ``intensive_ener_virial``, else 1; H(x) = x²/2 for |x| ≤ δ, δ(|x| − δ/2) beyond.
Source: the DeePMD-kit documentation, "Fit energy", and its NumPy implementation's definitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..backend import Backend
from ..batch import Atoms
from ..errors import ConfigError

Array = Any

#: term → (key of the prediction, key of the label)
TERMS = {
    "e": ("energy", "energy"),
    "f": ("force", "force"),
    "v": ("virial", "virial"),
    "ae": ("atom_energy", "atom_ener"),
}

#: term → its index in ``huber_delta`` [energy, force, virial]
_DELTA = {"e": 0, "f": 1, "v": 2, "ae": 0}


@dataclass(frozen=True)
class EnergyLossConfig:
    """The settings of the energy loss, under the names of ``input.json``."""

    starter_learning_rate: float
    start_pref_e: float = 0.02
    limit_pref_e: float = 1.0
    start_pref_f: float = 1000.0
    limit_pref_f: float = 1.0
    start_pref_v: float = 0.0
    limit_pref_v: float = 0.0
    start_pref_ae: float = 0.0
    limit_pref_ae: float = 0.0
    loss_func: str = "mse"
    use_huber: bool = False
    huber_delta: tuple[float, float, float] = (0.01, 0.01, 0.01)
    f_use_norm: bool = False
    intensive_ener_virial: bool = False

    def __post_init__(self) -> None:
        """Refuse combinations that would be ignored."""
        if self.loss_func not in ("mse", "mae"):
            raise ConfigError(f"loss_func must be 'mse' or 'mae', but is {self.loss_func!r}")
        if self.use_huber and self.loss_func == "mae":
            raise ConfigError("use_huber needs loss_func 'mse'; with 'mae' it would have no effect")
        if self.f_use_norm and not (self.use_huber or self.loss_func == "mae"):
            raise ConfigError("f_use_norm needs loss_func 'mae' or use_huber")
        if self.intensive_ener_virial and (self.use_huber or self.loss_func == "mae"):
            raise ConfigError(
                "intensive_ener_virial has an effect on the squared error only; "
                "leave it out with loss_func 'mae' or use_huber"
            )

    def prefactors(self, term: str) -> tuple[float, float]:
        """Return the prefactor at the start and its limit."""
        return getattr(self, f"start_pref_{term}"), getattr(self, f"limit_pref_{term}")

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms that count: their prefactor is not zero at the start, or not in the limit."""
        return tuple(term for term in TERMS if any(self.prefactors(term)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the terms compare with."""
        return tuple(TERMS[term][1] for term in self.terms)

    @property
    def needs_forces(self) -> bool:
        """Whether a term needs the derivative of the energy."""
        return "f" in self.terms or "v" in self.terms


def metric_names(config: EnergyLossConfig) -> tuple[str, ...]:
    """Return the keys of the metrics, in the order of the columns of ``lcurve.out``."""
    kind = "mae" if config.loss_func == "mae" else "rmse"
    names = [f"{kind}_{term}" for term in config.terms]
    if kind == "mae" and "e" in config.terms:
        names.append("mae_e_all")
    return tuple(sorted(["rmse", *names]))


def _norm(xp: Any, x: Array) -> Array:
    """Return ‖x‖ over the last axis, with the gradient 0 where x = 0."""
    square = xp.sum(x * x, axis=-1, keepdims=True)
    positive = square > 0
    root = xp.sqrt(xp.where(positive, square, xp.ones_like(square)))
    return xp.where(positive, root, xp.zeros_like(root))


def _absolute(xp: Any, x: Array) -> Array:
    """Return |x|, with the gradient 0 at 0 on every backend (JAX has 1 there, PyTorch 0)."""
    return xp.where(x == 0.0, xp.zeros_like(x), xp.abs(x))


def _huber(xp: Any, x: Array, delta: float) -> Array:
    size = xp.abs(x)
    return xp.where(size <= delta, 0.5 * x * x, delta * (size - 0.5 * delta))


def _penalty(xp: Any, config: EnergyLossConfig, term: str) -> Callable[[Array], Array]:
    if config.loss_func == "mae":
        return lambda x: _absolute(xp, x)
    if config.use_huber:
        return lambda x: _huber(xp, x, config.huber_delta[_DELTA[term]])
    return lambda x: x * x


@dataclass(frozen=True)
class _Mean:
    """How the residuals of a term are averaged: over frames, or over the atoms that are real."""

    backend: Backend
    of: Atoms

    @property
    def xp(self) -> Any:
        """The namespace."""
        return self.backend.xp

    def frames(self, x: Array) -> Array:
        """Return the mean over frames (and components) of x (nframes, …)."""
        return self.xp.mean(x)

    def atoms(self, x: Array) -> Array:
        """Return the mean over real atoms and components of x (N, c)."""
        total = self.xp.sum(x * self.of.mask[:, None])
        return total / (self.xp.sum(self.of.natoms) * x.shape[1])


def _residual(xp: Any, term: str, prediction: dict[str, Array], label: dict[str, Array]) -> Array:
    """Return prediction − label: (nframes, 1), (nframes, 9) or (N, components)."""
    mine, theirs = TERMS[term]
    diff = prediction[mine] - label[theirs]
    return xp.reshape(diff, (diff.shape[0], math.prod(diff.shape[1:])))


def _term(
    config: EnergyLossConfig, term: str, diff: Array, mean: _Mean
) -> tuple[Array, dict[str, Array]]:
    """Return the loss of one term, and its metrics."""
    xp = mean.xp
    penalty = _penalty(xp, config, term)
    absolute = config.loss_func == "mae"
    if term in ("e", "v"):
        per_atom = diff / mean.of.natoms[:, None]
        if absolute or config.use_huber or config.intensive_ener_virial:
            loss = mean.frames(penalty(per_atom))
        else:
            loss = mean.frames(diff * per_atom)
        shown = mean.frames(xp.abs(per_atom) if absolute else per_atom * per_atom)
    else:
        loss = mean.atoms(penalty(_norm(xp, diff) if term == "f" and config.f_use_norm else diff))
        shown = mean.atoms(xp.abs(diff) if absolute else diff * diff)
    if not absolute:
        return loss, {f"rmse_{term}": xp.sqrt(shown)}
    metrics = {f"mae_{term}": shown}
    if term == "e":
        metrics["mae_e_all"] = mean.frames(xp.abs(diff))
    return loss, metrics


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
        ``energy`` (nframes,), ``force`` (N, 3), ``virial`` (nframes, 3, 3), ``atom_energy`` (N,).
    label
        The same under their file's names (``atom_ener``), and for each ``find_<label>``, a 0-d
        array, 1 if the data has the label; a missing label switches its term off, and its metrics
        are NaN.
    atoms
        From :func:`multifit.batch.flat_atoms`.
    """
    xp, mean = backend.xp, _Mean(backend, atoms)
    progress = learning_rate / config.starter_learning_rate
    total = xp.zeros((), dtype=atoms.natoms.dtype)
    metrics: dict[str, Array] = {}
    for term in config.terms:
        start, limit = config.prefactors(term)
        find = label[f"find_{TERMS[term][1]}"]
        loss, shown = _term(config, term, _residual(xp, term, prediction, label), mean)
        total = total + find * (limit + (start - limit) * progress) * loss
        for name, value in shown.items():
            metrics[name] = xp.where(find > 0, value, xp.full_like(value, float("nan")))
    metrics["rmse"] = xp.sqrt(total)
    return total, metrics
