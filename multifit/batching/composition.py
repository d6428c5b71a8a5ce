"""The places of atoms in a batch, and what depends on the types of its atoms alone.

Calls along a trajectory have the same atoms: the arrays of the last few batches are kept. They are
read-only, since batches share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .shapes import Shape
from .types import Centres

#: Batches whose arrays are kept, and the places of the largest of them: about 100 bytes each.
KEPT, LARGEST = 32, 8192


@dataclass(frozen=True, eq=False)
class Layout:
    """The places of the frames' atoms in the flat list."""

    frame: np.ndarray  #: (N,) frame of each place; 0 for padding
    atom: np.ndarray  #: (N,) atom in its frame
    real: np.ndarray  #: (N,) False for padding
    nframes: int  #: frames of the batch, including padding

    @cached_property
    def taken(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The places that are not padding, and the frame and the atom of each."""
        taken = np.flatnonzero(self.real)
        return taken, self.frame[taken], self.atom[taken]

    def spread(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Return (N, …) in the flat order from one (natoms, …) per frame; padding is zero."""
        first = np.asarray(values[0])
        flat = np.zeros((len(self.frame), *first.shape[1:]), dtype=first.dtype)
        for f, value in enumerate(values):
            here = self.real & (self.frame == f)
            flat[here] = np.asarray(value)[self.atom[here]]
        return flat

    def gather(self, flat: np.ndarray, nframes: int, natoms: int) -> np.ndarray:
        """Return (nframes, natoms, …) from (N, …); virtual atoms are zero."""
        taken, frame, atom = self.taken
        out = np.zeros((nframes * natoms, *flat.shape[1:]), dtype=flat.dtype)
        out[atom if nframes == 1 else frame * natoms + atom] = np.take(flat, taken, axis=0)
        return out.reshape(nframes, natoms, *flat.shape[1:])

    def padded(self, values: np.ndarray) -> np.ndarray:
        """Return the values of each frame, with zeros for padding."""
        more = self.nframes - len(values)
        return np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)])


@dataclass(frozen=True, eq=False)
class Composition:
    """The atoms of a batch."""

    layout: Layout
    shape: Shape
    places: tuple[np.ndarray, ...]  #: of the atoms of each frame, (natoms,)
    natoms: np.ndarray  #: real atoms of each frame, as floats, (nframes,)
    atype: np.ndarray  #: type of each place, (N,)
    centres: dict[str, Centres]  #: of the types present; to be copied before it is extended


def composition(atypes: Sequence[np.ndarray], shape: Shape) -> Composition:
    """Return the atoms of frames, sorted by type across frames.

    Parameters
    ----------
    atypes
        Of the atoms of each frame, (natoms,); −1 is a virtual atom.
    shape
        Numbers of frames and atoms that the batch has room for.
    """
    given = tuple(np.asarray(atype, dtype=np.int64).tobytes() for atype in atypes)
    return (_kept if shape.natoms <= LARGEST else _made)(given, shape)


def _made(given: tuple[bytes, ...], shape: Shape) -> Composition:
    """Return the atoms of frames, whose types are given as bytes."""
    atypes = [np.frombuffer(each, dtype=np.int64) for each in given]
    sizes = [len(each) for each in atypes]
    frame = np.repeat(np.arange(len(atypes)), sizes)
    atom = np.concatenate([np.arange(n) for n in sizes])
    every = np.concatenate(atypes)
    source = np.full(shape.natoms, -1)
    start = 0
    for a, n in enumerate(shape.counts):
        found = np.flatnonzero(every == a)
        source[start : start + len(found)] = found
        start += n
    real = source >= 0
    places = np.zeros((2, shape.natoms), dtype=np.int64)
    places[:, real] = frame[source[real]], atom[source[real]]
    places.flags.writeable = real.flags.writeable = False
    layout = Layout(places[0], places[1], real, shape.nframes)
    place = np.zeros(len(every), dtype=np.int64)
    place[source[real]] = np.flatnonzero(real)
    natoms = layout.padded(np.array([float((each >= 0).sum()) for each in atypes]))
    atype = np.repeat(np.arange(len(shape.counts)), shape.counts)
    mask = real.astype(np.float64)
    for array in (place, natoms, atype, mask):
        array.flags.writeable = False
    centres: dict[str, Centres] = {}
    start = 0
    for a, n in enumerate(shape.counts):
        if n:
            span = slice(start, start + n)
            centres[str(a)] = {
                "frame": layout.frame[span],
                "atom": layout.atom[span],
                "mask": mask[span],
            }
            start += n
    split = tuple(np.split(place, np.cumsum(sizes)[:-1]))
    return Composition(layout, shape, split, natoms, atype, centres)


_kept = lru_cache(maxsize=KEPT)(_made)
