"""A domain whose pairs are given once, and evaluated for many positions of its atoms.

An engine gives pairs of *images*: its local atoms, and its ghosts with places of their own. Forces
belong to *atoms*: the local ones, and those of other domains. Two images may be of one atom, and a
ghost may be an image of a local atom, which then needs no exchange of forces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..batching import partition
from ..errors import DataError
from ..neighbors.cells import ranges
from ..neighbors.frame import frame_of_pairs
from ..neighbors.search import CHUNK, TOO_CLOSE, Measured
from .parts import Divided, Outputs, Result
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
        runner = potential.runner
        local = atype[:nlocal]
        self._order = partition.spatial_order(
            coord[:nlocal], None, [False] * 3, local, runner.at_once
        )
        centres = self._order.atoms
        others = nlocal + np.flatnonzero(atype[nlocal:] >= 0)
        self._numbers = np.concatenate([centres, others])
        place = np.full(len(atype), -1, dtype=np.int32)
        place[self._numbers] = np.arange(len(self._numbers), dtype=np.int32)
        counts = np.bincount(i, minlength=nlocal)
        first = np.cumsum(counts) - counts
        rows = ranges(first[centres], counts[centres])
        ends = np.take(place, np.take(atom, np.take(k, rows)))
        if ends.min(initial=0) < 0:  # virtual atoms
            real = np.flatnonzero(ends >= 0)
            rows, ends = rows[real], ends[real]
        self._from, self._to = np.take(i, rows), np.take(k, rows)
        self._i, self._j = np.take(place, self._from), ends

    @property
    def npairs(self) -> int:
        """Number of pairs, including those that are longer than the cutoff now."""
        return len(self._i)

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
        batcher = runner.batcher
        frame = frame_of_pairs(
            self._measured(coord),
            self._atype[self._numbers],
            batcher.rcut,
            batcher.sel,
            batcher.pair_exclude_types,
            len(self._order.atoms),
        )
        result = Result(self._nlocal, len(self._atype) - self._nlocal)
        numbers = self._numbers
        divided = Divided(frame, self._order.edges, numbers, of_frame, of_atoms, result)
        return runner.run_divided(divided, request)

    def _measured(self, coord: np.ndarray) -> Iterator[Measured]:
        """Return the vectors of all pairs, part by part, so that their data fit in the cache."""
        places = np.ascontiguousarray(coord.T)
        for start in range(0, max(1, self.npairs), CHUNK):
            part = slice(start, start + CHUNK)
            a, b = self._from[part], self._to[part]
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
            yield Measured(self._i[part], self._j[part], rij, distance)
