"""A domain whose pairs are given once, and evaluated for many positions of its atoms.

An engine gives pairs of *images*: its local atoms, and its ghosts with places of their own. Forces
belong to *atoms*: the local ones, and those of other domains. Two images may be of one atom, and a
ghost may be an image of a local atom, which then needs no exchange of forces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..batching import partition
from ..batching.batch import Batcher
from ..batching.shapes import Shape
from ..errors import DataError, UnsupportedError
from ..neighbors.cells import ranges
from ..neighbors.frame import Frame, first_type, frame_of_pairs
from ..neighbors.search import CHUNK, TOO_CLOSE, Measured
from .parts import Outputs, Part, Result
from .potential import Potential
from .request import Request, check_request
from .structure import parameters


class PreparedDomain:
    """The pairs of a domain, sorted for evaluation.

    Parameters
    ----------
    potential
        The model.
    i, k
        Centres below ``nlocal`` and neighbours among the images, integers, (npairs,), sorted by
        i. All pairs that can become shorter than the cutoff are listed; longer ones are ignored.
    atom
        The atom of each image, (nimages,); image i of the first ``nlocal`` is atom i.
    atype
        Types of the local atoms and then of the others, (natoms,); −1 is a virtual atom.
    nlocal
        Number of local atoms.
    coord
        Places of the images now, Å, (nimages, 3).

    Raises
    ------
    UnsupportedError
        If messages would have to pass from atoms of other domains.
    """

    def __init__(
        self,
        potential: Potential,
        i: np.ndarray,
        k: np.ndarray,
        atom: np.ndarray,
        atype: np.ndarray,
        nlocal: int,
        coord: np.ndarray,
    ) -> None:
        self._potential, self._atype, self._nlocal = potential, atype, nlocal
        local = atype[:nlocal]
        hops = potential.model.descriptor.requires().hops
        if hops > 1 and len(atype) > nlocal:
            raise UnsupportedError(
                f"the descriptor {potential.model.descriptor.name} passes messages over {hops} "
                "hops, so that atoms of other processes would need features; run the simulation on "
                "one process"
            )
        # A message from any atom of a part may come from any other part.
        size = potential.runner.at_once if hops == 1 else max(nlocal, 1)
        order = partition.spatial_order(coord[:nlocal], None, [False] * 3, local, size)
        counts = np.bincount(i, minlength=nlocal)
        first = np.cumsum(counts) - counts
        real = atype >= 0
        self._parts = []
        for start, stop in pairwise(order.edges.tolist()):
            centres = order.atoms[start:stop]
            rows = ranges(first[centres], counts[centres])
            begin, end = np.take(i, rows), np.take(k, rows)
            seen = np.take(real, np.take(atom, end))
            if not seen.all():
                begin, end = begin[seen], end[seen]
            self._parts.append(_part(centres, begin, end, atom, atype))

    def evaluate(
        self,
        coord: np.ndarray,
        fparam: Any = None,
        aparam: Any = None,
        *,
        atom_virial: bool = False,
    ) -> Outputs:
        """Return the outputs of :meth:`multifit.Potential.evaluate_pairs`.

        Parameters
        ----------
        coord
            Places of the images, Å, (nimages, 3).
        fparam, aparam, atom_virial
            As for :meth:`multifit.Potential.evaluate_pairs`; aparam of the local atoms.

        Raises
        ------
        DataError
            If parameters do not fit, or two atoms are at the same place.
        UnsupportedError
            If the model cannot be evaluated in domains.
        """
        model, runner = self._potential.model, self._potential.runner
        request = Request(atom_virial)
        check_request(model, runner.backend.name, request)
        given = parameters(model.fitting, fparam, aparam, 1, self._nlocal)
        of_frame, of_atoms = (None if x is None else x[0] for x in given)
        result = Result(self._nlocal, len(self._atype) - self._nlocal)
        places = np.ascontiguousarray(coord.T)
        moved = _Moved(self._parts, runner.batcher, places, of_frame, of_atoms, result)
        return runner.run_divided(moved, request)


@dataclass(frozen=True)
class _Pairs:
    """The pairs of one part of a domain."""

    atoms: np.ndarray  #: indices of its atoms in the domain, (n,)
    ghosts: np.ndarray  #: indices of the atoms outside at which its pairs end, (nghost,)
    atype: np.ndarray  #: of its atoms and then of its ghosts, (n + nghost,)
    begin: np.ndarray  #: image from which each pair starts, (npairs,)
    end: np.ndarray  #: image at which it ends, (npairs,)
    i: np.ndarray  #: the centre among the part's atoms, (npairs,), ascending
    j: np.ndarray  #: the neighbour among its atoms and ghosts, (npairs,)
    first: int  #: type of the first atom of the domain

    def frame(self, places: np.ndarray, batcher: Batcher) -> Frame:
        """Return the part with its neighbours.

        Parameters
        ----------
        places
            Of the images, Å, (3, nimages).
        batcher
            Says which neighbours are needed.
        """
        return frame_of_pairs(
            self._measured(places),
            self.atype,
            batcher.rcut,
            batcher.sel,
            batcher.pair_exclude_types,
            len(self.atoms),
            batcher.total,
            self.first,
        )

    def _measured(self, places: np.ndarray) -> Iterator[Measured]:
        """Return the vectors of all pairs, some at a time, so that their data fit in the cache."""
        for start in range(0, max(1, len(self.i)), CHUNK):
            part = slice(start, start + CHUNK)
            a, b = self.begin[part], self.end[part]
            rij = np.empty((3, len(a)))
            for r, x in zip(rij, places, strict=True):
                np.subtract(np.take(x, b), np.take(x, a), out=r)
            distance = np.sqrt(rij[0] * rij[0] + rij[1] * rij[1] + rij[2] * rij[2])
            if distance.min(initial=np.inf) < TOO_CLOSE:
                n = int(distance.argmin())
                raise DataError(
                    f"the local atom {a[n]} and the image {b[n]} (counting from 0) are at the same "
                    f"place ({distance[n]:.1e} Å apart); remove one of them"
                )
            yield Measured(self.i[part], self.j[part], rij, distance)


def _part(
    centres: np.ndarray, begin: np.ndarray, end: np.ndarray, atom: np.ndarray, atype: np.ndarray
) -> _Pairs:
    """Return the pairs of a part, with its own numbering of atoms and ghosts.

    Parameters
    ----------
    centres
        Its atoms, (n,).
    begin, end
        The images of its pairs, (npairs,), by centre in the order of these.
    atom, atype
        As for :class:`PreparedDomain`.
    """
    outside = np.zeros(len(atype), dtype=bool)
    ends = np.take(atom, end)
    outside[ends] = True
    outside[centres] = False
    ghosts = np.flatnonzero(outside)
    numbers = np.concatenate([centres, ghosts])
    place = np.zeros(len(atype), dtype=np.int32)
    place[numbers] = np.arange(len(numbers), dtype=np.int32)
    i, j = np.take(place, begin), np.take(place, ends)
    return _Pairs(centres, ghosts, atype[numbers], begin, end, i, j, first_type(atype))


@dataclass(frozen=True)
class _Moved:
    """A domain with its atoms at some places, to be evaluated in parts: an ``InParts``."""

    pairs: Sequence[_Pairs]
    batcher: Batcher
    places: np.ndarray  #: of the images, Å, (3, nimages)
    fparam: np.ndarray | None  #: (numb_fparam,)
    aparam: np.ndarray | None  #: of the local atoms, (nlocal, numb_aparam)
    result: Result

    @property
    def frames(self) -> list[Frame]:
        """All parts with their neighbours."""
        return [each.frame(self.places, self.batcher) for each in self.pairs]

    def parts(self) -> Iterator[Part]:
        """Return the parts in turn; an empty one if there are no atoms."""
        for each in self.pairs:
            if not len(each.atoms) and len(self.pairs) > 1:
                continue
            aparam = None if self.aparam is None else self.aparam[each.atoms]
            frame = each.frame(self.places, self.batcher)
            yield Part(frame, each.atoms, each.ghosts, self.fparam, aparam, self.result)

    def needs(self, ntypes: int) -> list[Shape]:
        """Return the shape of a part, the same for all."""
        kinds = [each.atype[: len(each.atoms)] for each in self.pairs]
        counts = [np.bincount(atype, minlength=ntypes) for atype in kinds]
        return [Shape(1, tuple(np.max(counts, axis=0).tolist()))] * len(self.pairs)
