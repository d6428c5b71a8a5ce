"""Structures through the networks, a bounded number of atoms at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from .. import models as mdl
from ..backend import Backend
from ..batching import partition
from ..batching.adaptive import AdaptiveShapes
from ..batching.batch import Batcher, Layout
from ..batching.shapes import Shape, bucket
from ..neighbors.frame import Frame
from ..tree import Tree, map_leaves
from .evaluator import Evaluator, Parameters
from .neighbor_lists import NeighborLists
from .structure import Structure

#: Atoms that go through the networks at once, on a CPU and on other devices, which need more to be
#: busy. On a CPU the time for an atom is the same from 400 to 1500; more would only cost memory.
ATOMS_AT_ONCE, ON_DEVICES = 512, 8192

#: Outputs that frames have, and not their atoms.
PER_FRAME = ("energy", "virial", "dos")

#: Where shapes matter, places for atoms outside a piece, which cost next to nothing: for each atom
#: inside, and if these are not enough, for each that is needed.
OUTSIDE, SPARE_OUTSIDE = 8, 1.5

Outputs = dict[str, np.ndarray]
Finish = Callable[[], None]  #: waits for a device and stores what it found


@dataclass(frozen=True)
class Request:
    """What is asked for besides energies, forces and virials."""

    atom_virial: bool = False
    hessian: bool = False
    skin: float = 0.0  #: Å; structures are those of a trajectory


class Runner:
    """A model on a backend, and what is kept between calls: shapes, widths of tables, the series.

    Threads may call :meth:`run` and :meth:`set_params` of one runner at the same time.

    Parameters
    ----------
    model
        The settings.
    params
        The parameters as a nested dict of NumPy arrays.
    backend
        The adapter.
    embedding
        One of :data:`multifit.descriptors.EMBEDDINGS`.
    at_once
        Atoms that go through the networks at once; if not given, what suits the device.
    """

    def __init__(
        self,
        model: mdl.Model,
        params: Tree,
        backend: Backend,
        embedding: str = "auto",
        at_once: int | None = None,
    ) -> None:
        self.model, self.backend = model, backend
        self.evaluator = Evaluator(model, params, backend, embedding)
        self.at_once = default_at_once(backend) if at_once is None else at_once
        self.batcher = Batcher(
            model.descriptor.requires(), model.pair_exclude_types, backend.static_shapes
        )
        self._neighbor_lists = NeighborLists(self.batcher)
        self._shapes = AdaptiveShapes(self.batcher.shapes)
        self._reserved, self._places_outside = False, 0
        self._lock = Lock()  #: held while shapes are planned

    def set_params(self, params: Tree) -> None:
        """Take other parameters (nested NumPy arrays) of the same model; nothing recompiles."""
        self.evaluator.set_params(params)

    def run(self, structures: Sequence[Structure], wanted: Request = Request()) -> list[Outputs]:
        """Return the outputs for each structure, without an axis for frames.

        While the device works on some atoms, the next are prepared.
        """
        # The same for all batches and pieces, whatever other threads set meanwhile.
        params = self.evaluator.current
        found: list[Outputs] = [{} for _ in structures]
        waiting: Finish | None = None
        for finish in self._started(params, structures, wanted, found):
            if waiting is not None:
                waiting()
            waiting = finish
        if waiting is not None:
            waiting()
        return found

    def _started(
        self,
        params: Parameters,
        structures: Sequence[Structure],
        wanted: Request,
        found: list[Outputs],
    ) -> Iterator[Finish]:
        """Start one batch or piece after the other, and yield how each is finished."""
        sizes = [int((s.atype >= 0).sum()) for s in structures]
        large = [k for k, n in enumerate(sizes) if n > self.at_once and not wanted.hessian]
        small = sorted(set(range(len(sizes))).difference(large))
        alike = [len(structures[k].atype) if wanted.hessian else 0 for k in small]
        groups = [
            [small[k] for k in group]
            for group in group_by_size([sizes[k] for k in small], self.at_once, alike)
        ]
        ntypes = self.model.ntypes
        self._make_room([_need([structures[k] for k in group], ntypes) for group in groups])
        for group in (
            groups if wanted.skin else reversed(groups)
        ):  # the largest first: tables need not become wider later
            yield self._start(params, structures, group, wanted, found)
        for k in large:
            yield from self._start_pieces(params, structures[k], wanted, found[k])

    def _start(
        self,
        params: Parameters,
        structures: Sequence[Structure],
        group: Sequence[int],
        wanted: Request,
        found: list[Outputs],
    ) -> Finish:
        """Start a batch of structures; to be finished by storing the outputs of each."""
        some = [structures[k] for k in group]
        frames = [self._neighbor_lists.frame(s, wanted.skin) for s in some]
        self._reserve(frames[0])
        fparam = [s.fparam for s in some if s.fparam is not None]
        aparam = [s.aparam for s in some if s.aparam is not None]
        host, layout = self.batcher.assemble(
            frames, np.stack(fparam) if fparam else None, aparam or None
        )
        batch = map_leaves(self.backend.as_input, host)
        nearest = np.min([frame.nearest for frame in frames], axis=0)
        what = "atom_virial" if wanted.atom_virial else ""
        out = self.evaluator.start(batch, nearest, params, what)

        def finish() -> None:
            arrays = self.evaluator.fetched(out)
            natoms = max(len(s.atype) for s in some)
            if wanted.hessian:
                arrays["hessian"] = self.evaluator.hessians(
                    params, batch, layout, len(some), natoms
                )
            for key, x in arrays.items():
                atoms = key not in (*PER_FRAME, "hessian")
                rows = layout.gather(x, len(some), natoms) if atoms else x
                for row, k in enumerate(group):
                    found[k][key] = rows[row, : len(some[row].atype)] if atoms else rows[row]

        return finish

    def _start_pieces(
        self, params: Parameters, structure: Structure, wanted: Request, found: Outputs
    ) -> Iterator[Finish]:
        """Start one piece of a structure after the other; to be finished by adding what it says."""
        order, frame = self._neighbor_lists.ordered(structure, self.at_once, wanted.skin)
        ends = list(pairwise(order.edges.tolist()))
        counts = [np.bincount(frame.atype[a:b], minlength=self.model.ntypes) for a, b in ends]
        need = Shape(1, tuple(np.max(counts, axis=0).tolist()))
        self._make_room([need] * len(ends))
        self._reserve(frame)
        zero = self.model.fitting.tot_ener_zero
        what = "unbalanced" if zero else "atom_virial" if wanted.atom_virial else ""
        fparam = None if structure.fparam is None else structure.fparam[None]
        aparam = None if structure.aparam is None else structure.aparam[order.atoms]
        sums: Outputs = {}
        for start, stop in ends:
            if start == stop:
                continue
            piece = partition.cut(frame, start, stop)
            own = None if aparam is None else [aparam[start:stop]]
            outside = self._outside(len(piece.others))
            host, layout = self.batcher.assemble([piece.frame], fparam, own, outside)
            batch = map_leaves(self.backend.as_input, host)
            out = self.evaluator.start(batch, frame.nearest, params, what)
            place = (len(order.atoms), start, stop)
            yield partial(self._add, sums, out, layout, place, piece.others)

        def finish() -> None:
            for key, x in sums.items():
                found[key] = x if key in PER_FRAME else order.gather(x)
            if zero:
                self._balance(structure.atype, found, wanted.atom_virial)

        yield finish

    def _add(
        self,
        sums: Outputs,
        out: dict[str, Any],
        layout: Layout,
        place: tuple[int, int, int],
        others: np.ndarray,
    ) -> None:
        """Add the outputs of a piece: ``place`` is natoms and the piece's first and last + 1."""
        natoms, start, stop = place
        places = len(layout.real)
        for key, x in self.evaluator.fetched(out).items():
            if key in PER_FRAME:
                sums[key] = sums.get(key, 0.0) + x[0]
                continue
            whole = sums.setdefault(key, np.zeros((natoms, *x.shape[1:]), x.dtype))
            whole[start:stop] += layout.gather(x[:places], 1, stop - start)[0]
            if len(x) > places:
                whole[others] += x[places : places + len(others)]

    def _balance(self, atype: np.ndarray, found: Outputs, atom_virial: bool) -> None:
        """Subtract the mean from atomic energies: the energy is zero, wherever the atoms are."""
        counts = (atype >= 0) & ~np.isin(atype, self.model.atom_exclude_types)
        mean = found["atom_energy"].sum() / max(int(counts.sum()), 1)
        found["atom_energy"] = found["atom_energy"] - mean * counts
        found["energy"] = np.asarray(found["atom_energy"].sum())
        found |= {"force": np.zeros((len(atype), 3)), "virial": np.zeros((3, 3))}
        if atom_virial:
            found["atom_virial"] = np.zeros((len(atype), 3, 3))

    def _outside(self, need: int) -> int:
        """Return how many places there are for atoms outside a piece."""
        if not self.backend.static_shapes:
            return need
        with self._lock:
            if need > self._places_outside:
                enough = max(OUTSIDE * self.at_once, int(SPARE_OUTSIDE * need))
                self._places_outside = bucket(enough)
            return self._places_outside

    def _make_room(self, needs: Sequence[Shape]) -> None:
        """Let there be shapes for batches that are about to come."""
        with self._lock:
            self._shapes.make(needs)

    def _reserve(self, frame: Frame) -> None:
        """Begin with tables that are a little wider than the first frame needs."""
        if not self._reserved:
            self.batcher.reserve([frame])
        self._reserved = True


def default_at_once(backend: Backend) -> int:
    """Return how many atoms go through the networks at once where nobody says."""
    return ATOMS_AT_ONCE if backend.on_cpu else ON_DEVICES


def group_by_size(sizes: Sequence[int], limit: int, kinds: Sequence[int]) -> list[list[int]]:
    """Return which structures go into one batch: those of similar size, as many as fit.

    Parameters
    ----------
    sizes
        Atoms of each structure.
    limit
        The most atoms in a batch, unless one structure alone has more.
    kinds
        Only structures of one kind go together.
    """
    groups: list[list[int]] = []
    total = 0
    for k in sorted(range(len(sizes)), key=lambda k: (kinds[k], sizes[k])):
        if not groups or total + sizes[k] > limit or kinds[groups[-1][-1]] != kinds[k]:
            groups.append([])
            total = 0
        groups[-1].append(k)
        total += max(sizes[k], 1)
    return groups


def _need(structures: Sequence[Structure], ntypes: int) -> Shape:
    """Return the shape that a batch of structures needs."""
    atype = np.concatenate([s.atype for s in structures])
    counts = np.bincount(atype[atype >= 0], minlength=ntypes)
    return Shape(len(structures), tuple(counts.tolist()))
