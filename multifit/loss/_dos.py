r"""The loss of densities of states, term by term.

.. math::

   L = \sum_\eta p_\eta(t) L_\eta, \qquad
   p_\eta(t) = p_\eta^\infty + (p_\eta^0 - p_\eta^\infty)\, \alpha(t)/\alpha(0),

over η = density of states D, its running sum C, and both of each atom. For frames f, atoms i and
points k of the energy grid, with :math:`C_k = \sum_{q \le k} D_q` (no width of a bin):

======  =================================  ==============  =================
term    squared                            absolute        Huber
======  =================================  ==============  =================
dos     ⟨ΔD²⟩ over frames and points       ⟨|ΔD|⟩          ⟨H(ΔD)⟩
cdf     ⟨ΔC²⟩ over frames and points       ⟨|ΔC|⟩          ⟨H(ΔC)⟩
ados    ⟨ΔDᵢ²⟩ over real atoms and points  ⟨|ΔDᵢ|⟩         ⟨H(ΔDᵢ)⟩
acdf    ⟨ΔCᵢ²⟩ over real atoms and points  ⟨|ΔCᵢ|⟩         ⟨H(ΔCᵢ)⟩
======  =================================  ==============  =================

H(x) = x²/2 for |x| ≤ δ, δ(|x| − δ/2) beyond. With ``shift_agnostic`` = S all labels of a frame are
shifted by the s, |s| ≤ S, that best fits its density of states, and the means over points are over
the n − \|s\| where both sides are (:mod:`multifit.loss._shifts`). With weights of frames, each ⟨…⟩
is a mean of the weight of the frame times the expression. The metrics of whole frames are
divided by the mean number of atoms. Source: the DeePMD-kit documentation, "Fit DOS", and its NumPy
implementation's definitions; absolute errors, H and S are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..backend import Backend
from ..batching.batch import BatchAtoms
from ..rules import require
from ._config import LossConfig
from ._penalty import penalty
from ._reduction import Reduction, Residual, Result, weighted_sum
from ._rules import DOS_RANGES, DOS_RULES, too_large_a_shift
from ._shifts import best_shift, shifted
from ._terms import DOS_TERMS, Table

Array = Any


@dataclass(frozen=True)
class DosLossConfig(LossConfig):
    """The settings of the loss of densities of states, under the names of ``input.json``.

    The defaults are those of DeePMD-kit's class; ``input.json`` has others.
    """

    numb_dos: int
    start_pref_dos: float = 1.0
    limit_pref_dos: float = 1.0
    start_pref_cdf: float = 1000.0
    limit_pref_cdf: float = 1.0
    start_pref_ados: float = 0.0
    limit_pref_ados: float = 0.0
    start_pref_acdf: float = 0.0
    limit_pref_acdf: float = 0.0
    huber_delta: float = 0.01
    shift_agnostic: int = 0

    def __post_init__(self) -> None:
        """Raise an error for numbers out of range, and options that would be ignored."""
        shift = too_large_a_shift(self.numb_dos, f"numb_dos, which is {self.numb_dos}")
        require(self, DOS_RANGES, (shift, *DOS_RULES), "the loss")

    @property
    def table(self) -> Table:
        """All terms of the loss."""
        return DOS_TERMS


def _shifts(
    config: DosLossConfig,
    prediction: Mapping[str, Array],
    label: Mapping[str, Array],
    reduction: Reduction,
) -> Array:
    """Return the shift of the labels of each frame, (nframes,) int64.

    It is computed from the frames' own densities of states if these have labels, else from
    the sums of the atomic ones.
    """
    predicted, target = (_totals(config, x, label, reduction) for x in (prediction, label))
    return best_shift(reduction.xp, predicted, target, config.shift_agnostic)


def _totals(
    config: DosLossConfig,
    arrays: Mapping[str, Array],
    label: Mapping[str, Array],
    reduction: Reduction,
) -> Array:
    """Return the densities of states of frames, (nframes, numb_dos), of predictions or labels."""
    if "atom_dos" not in config.labels:
        return arrays["dos"]
    summed = reduction.sum_atoms(arrays["atom_dos"] * reduction.atoms.mask[:, None])
    if "dos" not in config.labels:
        return summed
    return reduction.xp.where(label["find_dos"] > 0, arrays["dos"], summed)


def _residuals(
    config: DosLossConfig,
    prediction: Mapping[str, Array],
    label: Mapping[str, Array],
    reduction: Reduction,
) -> dict[str, Residual]:
    """Return the residual of each label, shifted for the best fit if the loss allows shifts."""
    xp, residuals = reduction.xp, {}
    shift = _shifts(config, prediction, label, reduction) if config.shift_agnostic else None
    for key in dict.fromkeys(config.table[term].label for term in config.terms):
        per_atom = config.kind(key).per_atom
        mean = reduction.over_atoms if per_atom else reduction.over_frames
        if shift is None:
            residuals[key] = Residual(prediction[key] - label[key], mean)
            continue
        rows = xp.take(shift, reduction.atoms.frame, axis=0) if per_atom else shift
        target, weight = shifted(xp, label[key], rows)
        # Points outside the overlap count neither as errors nor in a running sum.
        error = xp.where(weight > 0, prediction[key] - target, xp.zeros_like(target))
        residuals[key] = Residual(error, mean, weight)
    return residuals


def dos_loss(
    backend: Backend,
    config: DosLossConfig,
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
        ``dos`` (nframes, numb_dos), ``atom_dos`` (N, numb_dos): those required by the terms.
    label
        The same, the ``frame_weights`` of the settings (nframes,), and for each
        ``find_<label>``, a 0-d array, 1 if the data has the label. Without its label a term is
        off, and its metric is NaN.
    atoms
        From :func:`multifit.batching.batch.flat_atoms`.
    """
    reduction = Reduction(backend, atoms)
    xp, absolute = reduction.xp, config.loss_func == "mae"
    cost = penalty(xp, config.loss_func, config.huber_delta if config.use_huber else None)
    residuals = _residuals(config, prediction, label, reduction)

    def evaluate_term(term: str) -> Result:
        key = config.prediction(term)
        per_atom = config.kind(key).per_atom
        weight = reduction.frame_weights(config, term, label, per_atom)
        residual = residuals[key]._replace(frame_weight=weight)
        error, mean = residual.error, residual.mean
        if term in ("cdf", "acdf"):
            error = xp.cumulative_sum(error, axis=1)
        metric = mean(xp.abs(error)) if absolute else xp.sqrt(mean(error * error))
        if not per_atom:
            metric = metric / reduction.mean_natoms
        return residual.cost(cost(error)), {config.metric(term): metric}

    return weighted_sum(xp, config, learning_rate, label, evaluate_term, atoms.natoms.dtype)
