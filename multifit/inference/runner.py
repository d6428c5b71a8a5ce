"""Evaluation of structures and domains, a bounded number of atoms at a time.

The atoms to evaluate are planned as batches: several small structures, or a part of a large one.
The batches are prepared (neighbours, tables), started on the device, and finished one by one: their
outputs are added to the results of the structures. A domain of a simulation engine, with given
pairs, is treated as a large structure.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Lock

import numpy as np

from .. import models as mdl
from ..backend import Backend, use
from ..batching.adaptive import AdaptiveShapes
from ..batching.batch import Batcher, Layout
from ..batching.shapes import Shape, bucket
from ..batching.types import Batch
from ..errors import UnsupportedError
from ..host.allocator import expect_large_arrays
from ..neighbors.frame import Frame
from ..tree import Tree, map_leaves
from .domain import Domain
from .evaluator import Evaluator, Parameters
from .grouping import Grouping, plan_batches
from .neighbor_lists import NeighborLists, Neighbors
from .parts import OF_GHOSTS, Divided, InParts, Outputs, Part, Result, Started, of_own
from .request import Request as Request
from .seen import Watch
from .structure import Structure

#: Atoms evaluated at once, on a CPU and on other devices, which need more to be busy. On a
#: CPU the time per atom is constant from 400 to 1500; more would only cost memory.
ATOMS_AT_ONCE, ON_DEVICES = 512, 8192

#: With static shapes, places for ghosts of a part, which cost next to nothing: per atom of it,
#: and if these are not enough, per ghost.
GHOSTS, SPARE_GHOSTS = 8, 1.5


class Runner:
    """A model on a backend, with the state kept between calls: shapes, table widths, the series.

    Threads may call :meth:`run`, :meth:`run_domain` and :meth:`set_params` at the same time.

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
        Atoms evaluated at once; by default, a number that suits the device.
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
        if backend.on_cpu:
            expect_large_arrays()
        self.evaluator = Evaluator(model, params, backend, embedding)
        self.at_once = default_at_once(backend) if at_once is None else at_once
        self.batcher = Batcher(
            model.descriptor.requires(), model.pair_exclude_types, backend.static_shapes
        )
        self.neighbors = NeighborLists(self.batcher)
        self._shapes = AdaptiveShapes(self.batcher.shapes)
        #: The ghosts of a part are the neighbours of its atoms, and not their neighbours.
        self._hops = self.batcher.needs.hops
        self._reserved, self._places = False, 0
        #: What is on the device of the last batch, and the places of its atoms.
        self._atoms: tuple[Layout, Tree] | None = None
        #: Compares what is evaluated with the training data, if the model is from a file.
        self.watch: Watch | None = None
        self._lock = Lock()  #: held while shapes are planned

    def set_params(self, params: Tree) -> None:
        """Set other parameters (nested NumPy arrays) of the same model, without recompilation."""
        self.evaluator.set_params(params)

    def run(
        self,
        structures: Sequence[Structure],
        wanted: Request,
        neighbors: Neighbors | None = None,
    ) -> list[Outputs]:
        """Return the outputs for each structure, without an axis for frames.

        Parameters
        ----------
        neighbors
            The source of neighbours; by default the runner's own. Runners can share one if their
            models need the same neighbours.
        """
        results = [Result(len(s.atype)) for s in structures]
        divide = not wanted.hessian and self._hops == 1
        plan = plan_batches(structures, self.at_once, divide)
        found = self.neighbors if neighbors is None else neighbors
        self._evaluate(self._batches(structures, plan, results, wanted, found), wanted)
        if self.model.fitting.tot_ener_zero:
            for k in plan.divided:
                self._balance(structures[k].atype, results[k].outputs, wanted.atom_virial)
        return [result.outputs for result in results]

    def run_domain(
        self, domain: Domain, wanted: Request, neighbors: Neighbors | None = None
    ) -> Outputs:
        """Return the outputs for a domain with given pairs.

        Parameters
        ----------
        neighbors
            As for :meth:`run`.

        Raises
        ------
        DataError
            If two atoms of a pair are at the same place.
        UnsupportedError
            If energies depend on a mean over all atoms.
        """
        result = Result(domain.nlocal, domain.nghost)
        found = (self.neighbors if neighbors is None else neighbors).of_domain(domain, self.at_once)
        divided = Divided(*found, domain.fparam, domain.aparam, result)
        if self._hops > 1:
            local = int((domain.atype[: domain.nlocal] >= 0).sum())
            divided = replace(divided, nlocal=local)
        return self.run_divided(divided, wanted)

    def run_divided(self, divided: InParts, wanted: Request) -> Outputs:
        """Return the outputs for a domain that is already divided; errors as :meth:`run_domain`."""
        if self.model.fitting.tot_ener_zero:
            raise UnsupportedError(
                "tot_ener_zero subtracts the mean over all atoms of a system, which a domain with "
                "ghosts does not know; use predict"
            )
        self._evaluate(self._batches_of_parts(divided), wanted)
        return divided.result.outputs

    def _batches(
        self,
        structures: Sequence[Structure],
        plan: Grouping,
        results: list[Result],
        wanted: Request,
        neighbors: Neighbors,
    ) -> Iterator[list[Part]]:
        """Return the batches of a plan in turn, with the neighbours of their atoms."""
        ntypes = self.model.ntypes
        self._make_room([_need([structures[k] for k in group], ntypes) for group in plan.groups])
        #: The largest first, so that tables need not grow later. A trajectory keeps its order.
        for group in plan.groups if wanted.skin else reversed(plan.groups):
            parts = [
                _whole(structures[k], neighbors.frame(structures[k], wanted.skin), results[k])
                for k in group
            ]
            self._reserve([parts[0].frame])
            yield parts
        for k in plan.divided:
            s = structures[k]
            found = neighbors.ordered(s, self.at_once, wanted.skin)
            divided = Divided(*found, s.fparam, s.aparam, results[k], s.where)
            yield from self._batches_of_parts(divided)

    def _batches_of_parts(self, divided: InParts) -> Iterator[list[Part]]:
        """Return each part of a structure or domain as a batch."""
        self._make_room(divided.needs(self.model.ntypes))
        if not self._reserved:
            self._reserve(divided.frames)
        for part in divided.parts():
            yield [part]

    def _evaluate(self, batches: Iterator[list[Part]], wanted: Request) -> None:
        """Evaluate batches, and add their outputs to the results of their parts.

        While the device evaluates one, the next is prepared.
        """
        use(self.backend)
        #: The same for all batches, even if other threads set others meanwhile.
        params = self.evaluator.current
        before: Started | None = None
        for parts in batches:
            started = self._start(parts, params, wanted)
            if before is not None:
                self._finish(before, params, wanted)
            before = started
        if before is not None:
            self._finish(before, params, wanted)

    def _start(self, parts: list[Part], params: Parameters, wanted: Request) -> Started:
        """Start a batch on the device."""
        if self.watch is not None:
            self.watch.look(parts)
        fparam = [part.fparam for part in parts if part.fparam is not None]
        aparam = [part.aparam for part in parts if part.aparam is not None]
        ghosts = parts[0].ghosts
        host, layout = self.batcher.assemble(
            [part.frame for part in parts],
            np.stack(fparam) if fparam else None,
            aparam or None,
            0 if ghosts is None else self._ghost_places(len(ghosts)),
        )
        own = parts[0].own
        if own is not None:
            host["centres"] = of_own(host["centres"], layout.spread([own.astype(np.float64)]))
        batch = self._on_device(host, None if own is not None else layout)
        nearest = functools.reduce(np.minimum, [part.frame.nearest for part in parts])
        what = "atom_virial" if wanted.atom_virial else ""
        if ghosts is not None and self.model.fitting.tot_ener_zero:
            what = "unbalanced"
        return Started(parts, batch, layout, self.evaluator.start(batch, nearest, params, what))

    def _on_device(self, host: Batch, layout: Layout | None) -> Tree:
        """Return a batch as arrays of the backend; those of the same layout are copied once."""
        if layout is None or any("aparam" in centre for centre in host["centres"].values()):
            return map_leaves(self.backend.as_input, host)
        known, own = self._atoms, ("natoms", "atype", "centres")
        if known is None or known[0] is not layout:
            fixed = {key: x for key, x in host.items() if key in own}
            known = self._atoms = layout, map_leaves(self.backend.asarray, fixed)
        rest = {key: x for key, x in host.items() if key not in own}
        return {**known[1], **map_leaves(self.backend.as_input, rest)}

    def _finish(self, started: Started, params: Parameters, wanted: Request) -> None:
        """Wait for a batch, and add its outputs to the results of its parts."""
        parts, layout = started.parts, started.layout
        natoms, places = max(len(part.atoms) for part in parts), len(layout.real)
        arrays = self.evaluator.fetched(started.out)
        if wanted.hessian:
            arrays["hessian"] = self.evaluator.hessians(
                params, started.batch, layout, len(parts), natoms
            )
        for key, x in arrays.items():
            per_frame = self.model.output.variables[key].atom_axes != 1
            rows = x if per_frame else layout.gather(x[:places], len(parts), natoms)
            for row, part in zip(rows, parts, strict=False):
                if per_frame:
                    part.result.add(key, row)
                    continue
                atoms = part.atoms
                if part.own is not None and key not in OF_GHOSTS:
                    row, atoms = row[: len(part.own)][part.own], atoms[part.own]
                part.result.add_atoms(key, row[: len(atoms)], atoms)
                if part.ghosts is not None and key in OF_GHOSTS:
                    outside = x[places : places + len(part.ghosts)]
                    part.result.add_atoms(key, outside, part.ghosts)

    def _balance(self, atype: np.ndarray, found: Outputs, atom_virial: bool) -> None:
        """Subtract the mean from atomic energies, so that the energy is zero for any positions."""
        counts = (atype >= 0) & ~np.isin(atype, self.model.atom_exclude_types)
        mean = found["atom_energy"].sum() / max(int(counts.sum()), 1)
        found["atom_energy"] = found["atom_energy"] - mean * counts
        found["energy"] = np.asarray(found["atom_energy"].sum())
        found |= {"force": np.zeros((len(atype), 3)), "virial": np.zeros((3, 3))}
        if atom_virial:
            found["atom_virial"] = np.zeros((len(atype), 3, 3))

    def _ghost_places(self, need: int) -> int:
        """Return the number of places for ghosts."""
        if not self.backend.static_shapes:
            return need
        with self._lock:
            if need > self._places:
                self._places = bucket(max(GHOSTS * self.at_once, int(SPARE_GHOSTS * need)))
            return self._places

    def _make_room(self, needs: Sequence[Shape]) -> None:
        """Make shapes available for the next batches."""
        with self._lock:
            self._shapes.make(needs)

    def _reserve(self, frames: list[Frame]) -> None:
        """Start with tables slightly wider than the first frames need."""
        if not self._reserved:
            self.batcher.reserve(frames)
        self._reserved = True


def _whole(s: Structure, frame: Frame, result: Result) -> Part:
    """Return a structure with its neighbours as one part."""
    return Part(frame, np.arange(len(s.atype)), None, s.fparam, s.aparam, result, s.where)


def default_at_once(backend: Backend) -> int:
    """Return the default number of atoms evaluated at once."""
    return ATOMS_AT_ONCE if backend.on_cpu else ON_DEVICES


def _need(structures: Sequence[Structure], ntypes: int) -> Shape:
    """Return the shape that a batch of structures needs."""
    atype = np.concatenate([s.atype for s in structures])
    counts = np.bincount(atype[atype >= 0], minlength=ntypes)
    return Shape(len(structures), tuple(counts.tolist()))
