"""The units of evaluation: parts of structures or domains, and the sums of their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from ..batching import partition
from ..batching.batch import Layout
from ..batching.shapes import Shape
from ..batching.types import Centres
from ..neighbors.frame import Frame
from ..tree import Tree

#: Atomic outputs that ghosts have, too.
OF_GHOSTS = ("force", "atom_virial")

Outputs = dict[str, np.ndarray]


@dataclass
class Result:
    """The outputs of a structure or domain, to which its parts are added."""

    natoms: int  #: own atoms, including virtual ones
    nghost: int = 0  #: other atoms at which its pairs end; they follow in the numbering
    outputs: Outputs = field(default_factory=dict)

    def add(self, key: str, value: np.ndarray) -> None:
        """Add an output of the frame."""
        self.outputs[key] = self.outputs[key] + value if key in self.outputs else value

    def add_atoms(self, key: str, values: np.ndarray, atoms: np.ndarray) -> None:
        """Add an output of some atoms, (n, …), without duplicates."""
        if key not in self.outputs:
            n = self.natoms + (self.nghost if key in OF_GHOSTS else 0)
            self.outputs[key] = np.zeros((n, *values.shape[1:]), values.dtype)
        self.outputs[key][atoms] += values


@dataclass(frozen=True)
class Part:
    """Atoms evaluated together, and the pairs that start at them."""

    frame: Frame
    atoms: np.ndarray  #: indices of the frame's atoms in the structure or domain, (n,)
    ghosts: np.ndarray | None  #: indices of its ghosts, (nghost,); None for a whole structure
    fparam: np.ndarray | None  #: (numb_fparam,)
    aparam: np.ndarray | None  #: of its atoms, (n, numb_aparam)
    result: Result
    where: str = ""  #: name of the structure in messages
    own: np.ndarray | None = None  #: True for atoms whose outputs count, (n,); None for all


class InParts(Protocol):
    """Atoms to be evaluated in parts."""

    @property
    def result(self) -> Result:
        """The outputs, to which those of parts are added."""

    @property
    def frames(self) -> list[Frame]:
        """All atoms with their neighbours, in one frame or several."""

    def parts(self) -> Iterator[Part]:
        """Return the parts in turn; an empty one if there are no atoms."""

    def needs(self, ntypes: int) -> list[Shape]:
        """Return the shape of a part, the same for all."""


@dataclass(frozen=True)
class Divided:
    """A structure or domain to be evaluated in parts, with its atoms in the order of the parts."""

    frame: Frame  #: of real atoms
    edges: np.ndarray  #: part k has the atoms edges[k] … edges[k + 1] − 1 of the frame
    numbers: np.ndarray  #: indices of the frame's atoms and ghosts in the structure or domain
    fparam: np.ndarray | None  #: (numb_fparam,)
    aparam: np.ndarray | None  #: of all atoms of the structure or domain, (natoms, numb_aparam)
    result: Result
    where: str = ""  #: name of the structure in messages
    nlocal: int | None = None  #: with message passing, the atoms of the frame that are not ghosts

    @property
    def frames(self) -> list[Frame]:
        """The frame."""
        return [self.frame]

    def _whole(self) -> Part:
        """Return a domain as one part, whose ghosts have neighbours and features, too."""
        n = len(self.numbers)
        own = np.arange(n) < (self.nlocal or 0)
        aparam = self.aparam
        if aparam is not None:  # ghosts have no output that could depend on it
            aparam = np.zeros((n, aparam.shape[1]))
            aparam[own] = np.asarray(self.aparam)[self.numbers[own]]
        return Part(
            self.frame, self.numbers, None, self.fparam, aparam, self.result, self.where, own
        )

    def parts(self) -> Iterator[Part]:
        """Return the parts in turn; an empty one if there are no atoms."""
        if self.nlocal is not None:
            yield self._whole()
            return
        for start, stop in pairwise(self.edges.tolist()):
            if start == stop and len(self.frame.atype):
                continue
            part = partition.subdomain(self.frame, start, stop)
            atoms = self.numbers[start:stop]
            aparam = None if self.aparam is None else self.aparam[atoms]
            ghosts = self.numbers[part.ghosts]
            yield Part(part.frame, atoms, ghosts, self.fparam, aparam, self.result, self.where)

    def needs(self, ntypes: int) -> list[Shape]:
        """Return the shape of a part, the same for all."""
        spans = list(pairwise(self.edges.tolist()))
        counts = [np.bincount(self.frame.atype[a:b], minlength=ntypes) for a, b in spans]
        return [Shape(1, tuple(np.max(counts, axis=0).tolist()))] * len(spans)


def of_own(centres: dict[str, Centres], own: np.ndarray) -> dict[str, Centres]:
    """Return the centres of a batch, of which only some count; ``own`` is 1 or 0, (N,)."""
    found: dict[str, Centres] = {}
    start = 0
    for a, centre in centres.items():
        stop = start + len(centre["mask"])
        found[a] = {**centre, "mask": centre["mask"] * own[start:stop]}
        start = stop
    return found


@dataclass(frozen=True)
class Started:
    """Parts being evaluated on a device."""

    parts: Sequence[Part]
    batch: Tree
    layout: Layout
    out: dict[str, Any]  #: arrays of the backend, possibly still being computed
