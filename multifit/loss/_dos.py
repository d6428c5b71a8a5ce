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
moved by the s, |s| ≤ S, that fits its density of states best, and the means over points are over
the n − \|s\| where both sides are (:mod:`multifit.loss._shifts`). The metrics of whole frames are
divided by the mean number of atoms. Source: the DeePMD-kit documentation, "Fit DOS", and its NumPy
implementation's definitions; absolute errors, H and S are ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..backend import Backend
from ..batching.batch import BatchAtoms
from ._dos_config import DosLossConfig
from ._mean import Mean
from ._penalty import penalty
from ._shifts import best_shift, moved
from ._sum import weighted

Array = Any


class _Difference(NamedTuple):
    """Prediction − label on the grid, and how much each point counts (None: as much as others)."""

    error: Array
    weight: Array | None = None


def _shift(
    config: DosLossConfig, prediction: dict[str, Array], label: dict[str, Array], mean: Mean
) -> Array:
    """Return by how much the labels of each frame are moved, (nframes,) int64.

    It is found from the frames' own densities of states where there are labels of them, else from
    the sums of the atoms'.
    """
    mine, theirs = (_totals(config, x, label, mean) for x in (prediction, label))
    return best_shift(mean.xp, mine, theirs, config.shift_agnostic)


def _totals(
    config: DosLossConfig, side: dict[str, Array], label: dict[str, Array], mean: Mean
) -> Array:
    """Return the densities of states of frames, (nframes, numb_dos), of one side."""
    if "atom_dos" not in config.labels:
        return side["dos"]
    summed = mean.per_frame(side["atom_dos"] * mean.of.mask[:, None])
    if "dos" not in config.labels:
        return summed
    return mean.xp.where(label["find_dos"] > 0, side["dos"], summed)


def _differences(
    config: DosLossConfig, prediction: dict[str, Array], label: dict[str, Array], mean: Mean
) -> dict[str, _Difference]:
    """Return for each label how far the prediction is from it, moved to fit or as it is."""
    xp = mean.xp
    if not config.shift_agnostic:
        return {key: _Difference(prediction[key] - label[key]) for key in config.labels}
    shift, found = _shift(config, prediction, label, mean), {}
    for key in config.labels:
        per_row = xp.take(shift, mean.of.frame, axis=0) if config.kind(key).per_atom else shift
        theirs, weight = moved(xp, label[key], per_row)
        # What is out of reach is no error, nor part of a running sum.
        error = xp.where(weight > 0, prediction[key] - theirs, xp.zeros_like(theirs))
        found[key] = _Difference(error, weight)
    return found


def dos_loss(
    backend: Backend,
    config: DosLossConfig,
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
        ``dos`` (nframes, numb_dos), ``atom_dos`` (N, numb_dos): those that the terms need.
    label
        The same, and for each ``find_<label>``, a 0-d array, 1 if the data has the label. Without
        its label a term is off, and its metric is NaN.
    atoms
        From :func:`multifit.batching.batch.flat_atoms`.
    """
    mean = Mean(backend, atoms)
    xp, absolute = mean.xp, config.loss_func == "mae"
    cost = penalty(xp, config.loss_func, config.huber_delta if config.use_huber else None)
    differences = _differences(config, prediction, label, mean)

    def part(term: str) -> tuple[Array, dict[str, Array]]:
        key = config.prediction(term)
        error, weight = differences[key]
        if term in ("cdf", "acdf"):
            error = xp.cumulative_sum(error, axis=1)
        over = mean.atoms if config.kind(key).per_atom else mean.frames

        def average(x: Array) -> Array:
            return over(x if weight is None else weight * x)

        shown = average(xp.abs(error)) if absolute else xp.sqrt(average(error * error))
        if key == "dos":
            shown = shown / mean.size
        return average(cost(error)), {config.metric(term): shown}

    return weighted(xp, config, learning_rate, label, part, atoms.natoms.dtype)
