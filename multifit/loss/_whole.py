"""What the loss classes share: whole frames compared, what they fit, options that are unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..backend import Backend
from ..batching.batch import BatchAtoms
from ..errors import ConfigError, did_you_mean
from ._arrays import Fold, frames, places, real_atoms
from ._config import LossConfig
from ._evaluate import evaluate
from ._given import require_comparable, there
from ._terms import predictions

Array = Any


def refuse_unknown(name: str, config: type[LossConfig], options: Iterable[str]) -> None:
    """Raise ConfigError for the first option that a class does not have."""
    known = config.__dataclass_fields__
    for option in options:
        near = did_you_mean(option, known) or f"; known are {', '.join(sorted(known))}"
        raise ConfigError(f"{name} has no option {option!r}{near}")


def describe(name: str, config: LossConfig, backend: Backend) -> str:
    """Return the prefactors of all terms that count, and the backend."""
    prefactors = {term: config.prefactors(term) for term in config.terms}
    terms = ", ".join(f"{term} {a:g} → {b:g}" for term, (a, b) in prefactors.items())
    return f"<{name} {config.loss_func}: {terms}, on {backend.name}>"


def compare(
    backend: Backend,
    config: LossConfig,
    learning_rate: float,
    prediction: Mapping[str, Array],
    label: Mapping[str, Array],
    natoms: int | Array | None,
) -> tuple[Array, dict[str, Array]]:
    """Return the loss of arrays of whole frames (a 0-d array) and the metrics.

    Parameters
    ----------
    natoms
        How many of a frame's atoms are real, for all frames or (nframes,); all if None.

    Raises
    ------
    ValueError
        If there is no prediction or no label to compare, a label's prediction is missing, a key is
        unknown, the number of atoms can not be told or is not in the arrays, or an array has
        another size.
    """
    nframes = frames(config.table, prediction)
    require_comparable(config, prediction, label)
    width = places(config, prediction, label, nframes)
    counts = real_atoms(natoms, width, nframes)
    width = width or int(counts.max())
    mask = np.arange(width)[None, :] < counts[:, None]
    flat, target = _fold_all(Fold(backend, config, nframes, mask), prediction, label)
    atoms = BatchAtoms(
        backend.asarray(counts.astype(np.float64)),
        backend.asarray(mask.reshape(-1).astype(np.float64)),
        backend.asarray(np.repeat(np.arange(nframes), width)),
    )
    rate = backend.asarray(np.asarray(float(learning_rate)))
    return evaluate(backend, config, rate, flat, target, atoms)


def _fold_all(
    fold: Fold, prediction: Mapping[str, Array], label: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return predictions and labels in flat order; what is missing is found to be so."""
    config, scalar = fold.config, fold.backend.asarray
    like = predictions(config.table)
    flat: dict[str, Array] = {}
    for key in map(config.prediction, config.terms):
        flat[key] = fold("prediction", prediction, key, like[key])
    target: dict[str, Array] = {}
    for key in config.labels:
        target[key] = fold("label", label, key, key)
        target[f"find_{key}"] = scalar(np.asarray(float(there(label, key))))
    return flat, target
