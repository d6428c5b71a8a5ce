r"""Calibration of the uncertainty of energies, with the last layer of the fitting net.

:mod:`multifit.inference.uncertainty` has the formulas. With x = h/N of the training frames and s =
xᵀ (C + λ)⁻¹ x, the same without the frame itself is s/(1 − s). λ is that for which errors r of the
training frames, drawn from normal distributions of these variances times one factor, are likeliest:
the minimum of

.. math::

   \frac1F \sum_f \ln \frac{s_f}{1 - s_f} + \ln \sum_f \frac{r_f^2 (1 - s_f)}{s_f}.

The held-out frames, which determine the factor, are not used for λ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..data import System, where
from ..errors import DataError
from ..inference.potential import Potential
from ..inference.request import Request
from ..inference.uncertainty import Uncertainty, rigidity
from .predictions import spread_frames, structures

#: λ in units of the mean eigenvalue of C.
GRID = tuple(10.0**k for k in range(-10, 1))

#: Frames that are read at a time to compare them.
CHUNK = 64

#: Fewest held-out frames: with these, 90 % of errors can be covered.
FEWEST = 10


@dataclass(frozen=True)
class Evidence:
    """Frames with energies.

    Attributes
    ----------
    features
        Sums over the atoms of each frame, (nframes, size).
    natoms
        Numbers of real atoms, (nframes,).
    error
        Predicted minus labelled energy in eV, (nframes,).
    """

    features: np.ndarray
    natoms: np.ndarray
    error: np.ndarray


def repeated(
    training: Sequence[System], held_out: Sequence[System], limit: int | None = None
) -> list[str]:
    """Return the places of held-out frames that are training frames, too.

    Parameters
    ----------
    limit
        Number of held-out frames of each system that are used; all if None or 0.
    """
    known = {
        digest for x in training for digest in _digests(x, np.arange(x.nframes, dtype=np.int64))
    }
    found = []
    for system in held_out:
        frames = spread_frames(system, limit)
        pairs = zip(frames, _digests(system, frames), strict=True)
        found += [where(system, int(frame)) for frame, digest in pairs if digest in known]
    return found


def _digests(system: System, frames: np.ndarray) -> Iterator[bytes]:
    """Yield what is the same for the same atoms at the same places with the same fparam."""
    for some in np.array_split(frames, -(-len(frames) // CHUNK)):
        arrays, types = system.load(some, ("fparam",)), system.atype(some)
        columns = [types, *(arrays[key] for key in ("coord", "cell", "fparam") if key in arrays)]
        for rows in zip(*columns, strict=True):
            yield hashlib.sha256(b"".join(row.tobytes() for row in rows)).digest()


def evidence(
    potential: Potential,
    systems: Sequence[System],
    limit: int | None = None,
    watch: Callable[[int], None] = lambda n: None,
    *,
    coefficients: bool = False,
) -> Evidence:
    """Return the features and errors of frames.

    Parameters
    ----------
    limit
        Number of frames of each system, evenly spread; all by default.
    watch
        Called with numbers of finished frames.
    coefficients
        True if energies, and with them features, are sums with the coefficients of
        ``atom_ener_coeff.npy``, if present; otherwise with 1.

    Raises
    ------
    DataError
        If a system has no energies.
    """
    model, layer = potential.model, potential.last_layer
    weights, atomic = model.output.coefficients, model.output.atomic.key
    keys = ("energy", "fparam", "aparam", *[weights] * coefficients)
    totals: list[np.ndarray] = []
    natoms: list[int] = []
    errors: list[float] = []
    for system in systems:
        if "energy" not in system.labels:
            raise DataError(
                f"{system.name} has no energy, to which an uncertainty is calibrated; leave it out"
            )
        chosen = spread_frames(system, limit)
        size = max(1, potential.runner.at_once // max(system.natoms, 1))
        for start in range(0, len(chosen), size):
            frames = chosen[start : start + size]
            arrays = system.load(frames, keys)
            given = structures(model, system, frames, arrays)
            rows = potential.runner.run(given, Request())
            features, energies = layer.features(given), [row["energy"] for row in rows]
            if weights in arrays:
                weight = arrays[weights]
                features = [c[:, None] * x for c, x in zip(weight, features, strict=True)]
                energies = [(c * row[atomic]).sum() for c, row in zip(weight, rows, strict=True)]
            totals += [layer.total(x, s.atype) for x, s in zip(features, given, strict=True)]
            natoms += [int((s.atype >= 0).sum()) for s in given]
            errors += list(np.array(energies) - arrays["energy"])
            watch(len(frames))
    return Evidence(np.array(totals), np.array(natoms), np.array(errors))


def calibrate(training: Evidence, held_out: Evidence) -> Uncertainty:
    """Return the uncertainty of a model.

    Parameters
    ----------
    training
        Frames that the model was trained on.
    held_out
        Others of the same kind; their errors determine the scale.

    Raises
    ------
    DataError
        If there are too few held-out frames, or the model has no features in them.
    """
    if len(held_out.error) < FEWEST:
        raise DataError(
            f"the held-out data have {len(held_out.error)} frames, but at least {FEWEST} are "
            "needed to calibrate an uncertainty; give more"
        )
    factor = _factor(training)
    spread = rigidity(factor, held_out.features)
    if not (np.isfinite(spread).all() and (spread > 0).all()):
        frame = int(np.argmin(np.where(np.isfinite(spread), spread, -1.0)))
        raise DataError(
            f"the fitting net gives frame {frame} of the held-out data no features, so that its "
            "energy has no uncertainty; leave the frame out"
        )
    return Uncertainty(factor, np.sort(np.abs(held_out.error) / spread))


def coverage(known: Uncertainty, held_out: Evidence, share: float) -> tuple[float, float]:
    """Return the share of frames within their intervals, and the mean half width in eV/atom.

    Each half of the frames is compared with intervals calibrated on the other half.
    """
    spread = rigidity(known.factor, held_out.features)
    scores = np.abs(held_out.error) / spread
    inside, width = np.zeros(len(scores), dtype=bool), np.zeros(len(scores))
    for half in (0, 1):
        other = Uncertainty(known.factor, np.sort(scores[1 - half :: 2]))
        alpha = other.scale(share)
        inside[half::2] = scores[half::2] <= alpha
        width[half::2] = alpha * spread[half::2] / held_out.natoms[half::2]
    return float(inside.mean()), float(width.mean())


def _factor(training: Evidence) -> np.ndarray:
    """Return W with (C + λ)⁻¹ = Wᵀ W for the likeliest λ, (size, size)."""
    x = training.features / training.natoms[:, None]
    values, vectors = np.linalg.eigh(x.T @ x)
    values = np.maximum(values, 0.0)
    mean = values.mean()
    if not mean > 0:
        raise DataError("the fitting net gives the training data no features; use other data")
    along = np.square(x @ vectors)
    error = training.error / training.natoms
    levels = [mean * level for level in GRID]
    level = min(levels, key=lambda level: _unlikeliness(along @ (1.0 / (values + level)), error))
    factor: np.ndarray = vectors.T / np.sqrt(values + level)[:, None]
    return factor


def _unlikeliness(s: np.ndarray, error: np.ndarray) -> float:
    """Return the negative logarithm of the likelihood of errors, up to constants."""
    apart = s / np.maximum(1.0 - s, 1e-12)
    tiny = np.finfo(np.float64).tiny
    scale = np.maximum(np.mean(np.square(error) / np.maximum(apart, tiny)), tiny)
    return float(np.mean(np.log(np.maximum(apart, tiny))) + np.log(scale))
