"""What the terms of the energy loss look at, prediction − label, and the mean that each takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ._energy_config import EnergyLossConfig
from ._mean import Mean
from ._terms import ENERGY_TERMS

Array = Any


class Residual(NamedTuple):
    """The errors of a term, their weights, and the mean that the term takes of them."""

    error: Array  #: two axes; the first that of frames or atoms
    mean: Callable[[Array], Array]
    weight: Array | None = None


def length(xp: Any, x: Array) -> Array:
    """Return ‖x‖ over the last axis, which stays, with the gradient 0 where x = 0."""
    square = xp.sum(x * x, axis=-1, keepdims=True)
    positive = square > 0
    root = xp.sqrt(xp.where(positive, square, xp.ones_like(square)))
    return xp.where(positive, root, xp.zeros_like(root))


def residual(
    config: EnergyLossConfig,
    term: str,
    prediction: Mapping[str, Array],
    label: Mapping[str, Array],
    mean: Mean,
) -> Residual:
    """Return what a term of :data:`multifit.loss._terms.ENERGY_TERMS` is made of."""
    xp = mean.xp
    mine, theirs = prediction[config.prediction(term)], label[ENERGY_TERMS[term].label]
    if term == "e" and config.enable_atom_ener_coeff:
        mine = mean.per_frame(mine * label["atom_ener_coeff"] * mean.of.mask)
    error = mine - theirs
    error = xp.reshape(error, (error.shape[0], math.prod(error.shape[1:])))
    if term == "gf":
        pulled = label["drdq"] * error[:, :, None] * mean.of.mask[:, None, None]
        return Residual(mean.per_frame(xp.sum(pulled, axis=1)), mean.frames)
    if term in ("f", "pf") and config.relative_f is not None:
        error = error / (length(xp, theirs) + config.relative_f)
    if term == "pf":
        return Residual(error, mean.atoms, label["atom_pref"][:, None])
    if term == "h":
        return Residual(error, mean.pairs)
    return Residual(error, mean.frames if term in ("e", "v") else mean.atoms)
