"""Arrays of whole frames, as people give them, in the flat order of atoms that the loss takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Backend, native
from ..console.words import counted
from ._config import LossConfig
from ._terms import Table, labels, predictions

Array = Any


@dataclass(frozen=True)
class Fold:
    """Bring arrays of whole frames into the flat order of atoms."""

    backend: Backend
    config: LossConfig
    nframes: int
    mask: np.ndarray  #: which atoms are real, (nframes, natoms)

    def _shape(self, key: str) -> tuple[int, ...]:
        rows = self.mask.size if self.config.kind(key).per_atom else self.nframes
        return (rows, *self.config.axes(key, self.mask.shape[1]))

    def _whole(self, key: str) -> tuple[int, ...]:
        """Return the shape that the label of whole frames has."""
        natoms = self.mask.shape[1]
        if key == "hessian":
            return (self.nframes, *(3 * natoms,) * 2)
        per_atom = self.config.kind(key).per_atom
        return (self.nframes, *(natoms,) * per_atom, *self.config.axes(key, natoms))

    def empty(self, key: str) -> Array:
        """Return what stands in for a label."""
        default = self.config.kind(key).default
        return self.backend.asarray(np.full(self._shape(key), default))

    def __call__(self, what: str, arrays: Mapping[str, Array], name: str, key: str) -> Array:
        """Return (N, …) or (nframes, …) for an array, or what stands in for it.

        Parameters
        ----------
        what
            ``"prediction"`` or ``"label"``, for messages.
        arrays, name
            Where the array is, and under which name.
        key
            The label that it is, or that is like it.

        Raises
        ------
        ValueError
            If it has another size.
        """
        xp, shape = self.backend.xp, self._shape(key)
        value = arrays.get(name)
        if value is None:
            return self.empty(key)
        axes = self.config.kind(key).shape
        if math.prod(value.shape) != math.prod(shape):
            grid = f", and numb_dos is {shape[-1]}" if "numb_dos" in axes else ""
            raise ValueError(
                f"the {what} {name!r} has the shape {tuple(value.shape)}, but must be "
                f"{self._whole(key)} or have as many numbers: the predictions are of "
                f"{counted(self.nframes, 'frame')}, and the arrays or natoms say "
                f"{counted(self.mask.shape[1], 'atom')}{grid}"
            )
        flat = xp.reshape(native(self.backend, value), shape)
        if "3natoms" not in axes:
            return flat
        columns = np.repeat(np.repeat(self.mask, 3, axis=1), self.mask.shape[1], axis=0)
        return flat * self.backend.asarray(columns[:, None, :].astype(np.float64))


def frames(table: Table, prediction: Mapping[str, Array]) -> int:
    """Return the number of frames, which any prediction for a table of terms tells.

    Raises
    ------
    ValueError
        If there is none, or no frames.
    """
    known = predictions(table)
    found = [int(x.shape[0]) for x in (prediction.get(key) for key in known) if x is not None]
    if not found:
        raise ValueError(f"there is no prediction; give at least one of {', '.join(known)}")
    if not found[0]:
        raise ValueError("the predictions are of no frames; give at least 1")
    return found[0]


def real_atoms(natoms: int | Array | None, width: int, nframes: int) -> np.ndarray:
    """Return the number of real atoms of each frame, (nframes,).

    Raises
    ------
    ValueError
        If it is not given and nothing tells, or is not one that the arrays can have.
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


def places(
    config: LossConfig, prediction: Mapping[str, Array], label: Mapping[str, Array], nframes: int
) -> int:
    """Return the number of atoms that the arrays have places for, 0 if none tells."""
    theirs = {key: key for key in labels(config.table)}
    for arrays, like in ((prediction, predictions(config.table)), (label, theirs)):
        for name, key in like.items():
            kind = config.kind(key)
            if name not in arrays or not kind.per_atom:
                continue
            if {"3natoms", "generalized"} & set(kind.shape):  # these tell less surely
                continue
            shape, axes = arrays[name].shape, config.axes(key, 0)
            if len(shape) == 2 + len(axes):
                return int(shape[1])
            return int(math.prod(shape) // (max(nframes, 1) * math.prod(axes)))
        if "hessian" in arrays:
            return int(arrays["hessian"].shape[-1]) // 3
    return 0
