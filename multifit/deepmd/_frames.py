"""The loss of arrays of whole frames: checked, and converted to the flat order of atoms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Backend, native
from ..batching.batch import BatchAtoms
from ..console.words import counted
from ..errors import did_you_mean
from ..loss import LossConfig, compute_loss, labels, predictions

Array = Any
Arrays = Mapping[str, Array]

#: Outputs of models besides predictions that no loss compares.
_NOT_COMPARED = {
    "virial": ("atom_virial",),
    "dos": ("energies", "fermi_level", "gap", "vbm", "cbm", "electrons"),
}


def loss_of_frames(
    backend: Backend,
    config: LossConfig,
    learning_rate: float,
    prediction: Arrays,
    label: Arrays,
    natoms: int | Array | None,
) -> tuple[Array, dict[str, Array]]:
    """Return the loss of arrays of whole frames (a 0-d array) and the metrics.

    Parameters
    ----------
    natoms
        Number of real atoms of a frame, for all frames or (nframes,); all atoms if None.

    Raises
    ------
    ValueError
        If no prediction or label can be compared, a label's prediction is missing, a key is
        unknown, the number of atoms is undetermined or not in the arrays, or an array has another
        size.
    """
    nframes = _count_frames(config, prediction)
    _require_comparable(config, prediction, label)
    width = _padded_natoms(config, prediction, label, nframes)
    counts = _count_atoms(natoms, width, nframes)
    width = width or int(counts.max())
    mask = np.arange(width)[None, :] < counts[:, None]
    layout, scalar = _FrameLayout(backend, config, mask), backend.asarray
    like = predictions(config.table)
    flat = {
        key: layout.flat("prediction", prediction, key, like[key])
        for key in map(config.prediction, config.terms)
    }
    target = {key: layout.flat("label", label, key, key) for key in config.labels}
    target |= {
        f"find_{key}": scalar(np.asarray(float(_is_given(label, key)))) for key in config.labels
    }
    atoms = BatchAtoms(
        backend.asarray(counts.astype(np.float64)),
        backend.asarray(mask.reshape(-1).astype(np.float64)),
        backend.asarray(np.repeat(np.arange(nframes), width)),
    )
    rate = scalar(np.asarray(float(learning_rate)))
    return compute_loss(backend, config, rate, flat, target, atoms)


@dataclass(frozen=True)
class _FrameLayout:
    """The shapes of arrays of whole frames, and their flat form."""

    backend: Backend
    config: LossConfig
    mask: np.ndarray  #: True for real atoms, (nframes, natoms)

    def _shapes(self, key: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the flat shape of a label, and that of whole frames."""
        nframes, natoms = self.mask.shape
        axes = self.config.axes(key, natoms)
        if not self.config.kind(key).per_atom:
            return (nframes, *axes), (nframes, *axes)
        flat = (nframes * natoms, *axes)
        return flat, (nframes, *(3 * natoms,) * 2) if key == "hessian" else (nframes, natoms, *axes)

    def flat(self, role: str, arrays: Arrays, name: str, key: str) -> Array:
        """Return (N, …) or (nframes, …) for an array, or its default if it is missing.

        Parameters
        ----------
        role
            ``"prediction"`` or ``"label"``, for messages.
        arrays, name
            The arrays, and the name of this one.
        key
            The label, or the label of the same shape.

        Raises
        ------
        ValueError
            If it has another size.
        """
        (shape, whole), row = self._shapes(key), self.config.kind(key)
        value = arrays.get(name)
        if value is None:
            return self.backend.asarray(np.full(shape, row.default))
        if math.prod(value.shape) != math.prod(shape):
            grid = f", and numb_dos is {shape[-1]}" if "numb_dos" in row.shape else ""
            raise ValueError(
                f"the {role} {name!r} has the shape {tuple(value.shape)}, but must be {whole} or "
                f"have as many numbers: the predictions are of {counted(len(self.mask), 'frame')}, "
                f"and the arrays or natoms say {counted(self.mask.shape[1], 'atom')}{grid}"
            )
        flat = self.backend.xp.reshape(native(self.backend, value), shape)
        if "3natoms" not in row.shape:
            return flat
        columns = np.repeat(np.repeat(self.mask, 3, axis=1), self.mask.shape[1], axis=0)
        return flat * self.backend.asarray(columns[:, None, :].astype(np.float64))


def _count_frames(config: LossConfig, prediction: Arrays) -> int:
    """Return the number of frames, from any prediction.

    Raises
    ------
    ValueError
        If there is no prediction, or it has no frames.
    """
    known = predictions(config.table)
    found = [int(x.shape[0]) for x in (prediction.get(key) for key in known) if x is not None]
    if not found:
        raise ValueError(f"there is no prediction; give at least one of {', '.join(known)}")
    if not found[0]:
        raise ValueError("the predictions are of no frames; give at least 1")
    return found[0]


def _count_atoms(natoms: int | Array | None, width: int, nframes: int) -> np.ndarray:
    """Return the number of real atoms of each frame, (nframes,).

    Parameters
    ----------
    width
        Atoms per frame in the arrays, 0 if unknown.

    Raises
    ------
    ValueError
        If the number is neither given nor in the arrays, or inconsistent with them.
    """
    if natoms is None:
        if not width:
            raise ValueError("give natoms: no array with an axis of atoms tells how many")
        return np.full(nframes, width)
    counts = np.asarray(natoms)
    if counts.shape not in ((), (nframes,)) or counts.dtype.kind not in "iu":
        raise ValueError(
            f"natoms must be an integer, or one for each of the {nframes} frames, but is {natoms!r}"
        )
    counts = np.broadcast_to(counts, (nframes,))
    most = width or int(counts.max())
    for frame, count in enumerate(counts):
        if not 1 <= count <= most:
            raise ValueError(
                f"natoms is {count} in frame {frame}, but must be at least 1 and at most {most}, "
                "the atoms that the arrays have"
            )
    return counts


def _padded_natoms(config: LossConfig, prediction: Arrays, label: Arrays, nframes: int) -> int:
    """Return the number of atoms per frame in the arrays, including padding; 0 if unknown."""
    own = {key: key for key in labels(config.table)}
    for arrays, like in ((prediction, predictions(config.table)), (label, own)):
        for name, key in like.items():
            row = config.kind(key)
            if name not in arrays or not row.per_atom:
                continue
            if {"3natoms", "generalized"} & set(row.shape):  # these are less reliable
                continue
            shape, axes = arrays[name].shape, config.axes(key, 0)
            if len(shape) == 2 + len(axes):
                return int(shape[1])
            return int(math.prod(shape) // (max(nframes, 1) * math.prod(axes)))
        if "hessian" in arrays:
            return int(arrays["hessian"].shape[-1]) // 3
    return 0


def _is_given(label: Arrays, key: str) -> bool:
    """Return True if a label is given, and not marked as missing."""
    return key in label and bool(float(label.get(f"find_{key}", 1.0)))


def _require_comparable(config: LossConfig, prediction: Arrays, label: Arrays) -> None:
    """Raise ValueError for unknown keys, and if a label of a term has no prediction.

    Otherwise the loss would be 0 for no visible reason.
    """
    outputs, targets = predictions(config.table), labels(config.table)
    others = [name for key in outputs for name in _NOT_COMPARED.get(key, ())]
    _require_known("prediction", prediction, (*outputs, *others))
    _require_known("label", label, (*targets, *(f"find_{key}" for key in targets)))
    for key in targets:
        if key not in label and float(label.get(f"find_{key}", 0.0)):
            raise ValueError(f"find_{key} is not 0, but there is no label {key!r}; give it too")
    usable = [t for t in config.terms if all(_is_given(label, key) for key in config.needs(t))]
    for term in usable:
        key, title = config.prediction(term), config.title(term)
        if key not in prediction:
            article = "an" if title[0] in "aeiou" else "a"
            raise ValueError(
                f"the loss has {article} {title} term and there is a label "
                f"{config.table[term].label!r}, but the prediction has no {key!r}; give it too"
            )
    if not usable:
        wanted = ", ".join(
            f"{' with '.join(config.needs(term))} ({config.title(term)})" for term in config.terms
        )
        raise ValueError(
            "there is no label that the loss compares with; give at least one of "
            f"{wanted}, whose find_… is not 0"
        )


def _require_known(role: str, given: Iterable[str], known: Iterable[str]) -> None:
    names = list(known)
    for key in given:
        if key not in names:
            plain = [name for name in names if not name.startswith("find_")]
            near = did_you_mean(str(key), names) or f"; known are {', '.join(plain)}"
            raise ValueError(f"there is no {role} {key!r}{near}")
