"""Arrays of whole frames, as people give them, in the flat order of atoms that the loss takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._native import native
from ..backend import Backend
from ._terms import LABELS, TERMS

Array = Any

#: prediction → the label of the same shape
LIKE = {term.prediction: term.label for term in TERMS.values()}


@dataclass(frozen=True)
class Fold:
    """Bring arrays of whole frames into the flat order of atoms."""

    backend: Backend
    nframes: int
    generalized: int
    mask: np.ndarray  #: which atoms are real, (nframes, natoms)

    def _shape(self, key: str) -> tuple[int, ...]:
        kind = LABELS[key]
        return (
            self.mask.size if kind.per_atom else self.nframes,
            *kind.axes(self.mask.shape[1], self.generalized),
        )

    def _whole(self, key: str) -> tuple[int, ...]:
        """Return the shape that the label of whole frames has."""
        if key == "hessian":
            return (self.nframes, *(3 * self.mask.shape[1],) * 2)
        natoms = self.mask.shape[1]
        axes = LABELS[key].axes(natoms, self.generalized)
        return (self.nframes, *(natoms,) * LABELS[key].per_atom, *axes)

    def empty(self, key: str) -> Array:
        """Return what stands in for a label."""
        return self.backend.asarray(np.full(self._shape(key), LABELS[key].default))

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
        if math.prod(value.shape) != math.prod(shape):
            raise ValueError(
                f"the {what} {name!r} has the shape {tuple(value.shape)}, but must be "
                f"{self._whole(key)} or have as many numbers: the predictions are of "
                f"{_count(self.nframes, 'frame')}, and the arrays or natoms say "
                f"{_count(self.mask.shape[1], 'atom')}"
            )
        flat = xp.reshape(native(self.backend, value), shape)
        if "3natoms" not in LABELS[key].shape:
            return flat
        columns = np.repeat(np.repeat(self.mask, 3, axis=1), self.mask.shape[1], axis=0)
        return flat * self.backend.asarray(columns[:, None, :].astype(np.float64))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def frames(prediction: Mapping[str, Array]) -> int:
    """Return the number of frames, which any prediction tells.

    Raises
    ------
    ValueError
        If there is none, or no frames.
    """
    found = [int(x.shape[0]) for x in (prediction.get(key) for key in LIKE) if x is not None]
    if not found:
        raise ValueError(f"there is no prediction; give at least one of {', '.join(LIKE)}")
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


def places(prediction: Mapping[str, Array], label: Mapping[str, Array], nframes: int) -> int:
    """Return the number of atoms that the arrays have places for, 0 if none tells."""
    numbers = {"force": 3, "atom_energy": 1, "atom_ener": 1, "atom_pref": 1, "atom_ener_coeff": 1}
    for arrays in (prediction, label):
        for key, each in numbers.items():
            if key in arrays:
                return int(math.prod(arrays[key].shape) // (max(nframes, 1) * each))
        if "hessian" in arrays:
            return int(arrays["hessian"].shape[-1]) // 3
    return 0
