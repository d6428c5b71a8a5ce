"""A model as a pure function of an engine's pairs, with any number of atoms and pairs.

It builds the tables of neighbours that the core takes, with all columns up to ``sel``, and
evaluates the model on them: descriptors, options and precisions need no code here. Local atoms come
by type as the core demands. Their pairs end at the atoms as the engine numbers them, which the core
knows as ghosts, so that forces are added up by the engine's numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ... import models as mdl
from ...backend import Argument, Arithmetic, Find
from ...batching.types import PARTS, Batch, Centres
from ...errors import UnsupportedError
from ...outputs import Variable
from ...tree import Tree
from ._tables import Pairs, neighbor_tables, size

Array = Any

#: Inputs of every model, as of :meth:`multifit.Potential.evaluate_pairs`.
INPUTS = (
    Argument("rij", "float64", ("npairs", 3), "Å", "from the centre to the neighbour"),
    Argument("i", "int64", ("npairs",), "", "centres, below nlocal"),
    Argument("j", "int64", ("npairs",), "", "neighbours, below nall"),
    Argument("atype", "int64", ("nall",), "", "types of local atoms and of ghosts; -1 is virtual"),
    Argument("local", "int64", ("nlocal",), "", "0, 1, 2, ...: the numbers of the local atoms"),
)

#: Sizes of an example, all different.
EXAMPLE = {"npairs": 29, "nall": 11, "nlocal": 7}


@dataclass(frozen=True)
class ModelFunction:
    """A model as :class:`multifit.backend.Function`."""

    model: mdl.Model
    params: Tree

    def __post_init__(self) -> None:
        """Refuse models that a list of pairs cannot evaluate."""
        if self.model.fitting.tot_ener_zero:
            raise UnsupportedError(
                "a model with tot_ener_zero cannot be exported: it subtracts the mean over all "
                "atoms of a system, which a domain with ghosts does not know"
            )
        if self.model.descriptor.requires().first:
            raise UnsupportedError(
                "a model whose empty slots have the type of the first atom of a frame cannot be "
                "exported: a domain does not know it; train with set_davg_zero true"
            )
        needs = self.model.descriptor.requires()
        hops = needs.hops
        if needs.needs_order and hops == 1:
            raise UnsupportedError(
                f"a model with the descriptor {self.model.descriptor.name} cannot be exported: it "
                "needs neighbours in the order of distance; use multifit itself"
            )
        if hops > 1:
            raise UnsupportedError(
                f"the descriptor {self.model.descriptor.name} passes messages over {hops} hops, "
                "but exports take pairs of local atoms only; use multifit itself"
            )

    @cached_property
    def inputs(self) -> tuple[Argument, ...]:
        """Pairs and atoms, and the parameters that the model has."""
        fitting, more = self.model.fitting, []
        if fitting.numb_fparam:
            more.append(Argument("fparam", "float64", (fitting.numb_fparam,)))
        if fitting.use_aparam_as_mask:
            more.append(Argument("aparam", "float64", ("nall", 1), "", "0 for an absent atom"))
        elif fitting.numb_aparam:
            more.append(Argument("aparam", "float64", ("nlocal", fitting.numb_aparam)))
        return (*INPUTS, *more)

    @cached_property
    def outputs(self) -> tuple[Argument, ...]:
        """The outputs of the model, with derivatives that need no request."""
        variables = self.model.output.variables.values()
        return tuple(self._argument(variable) for variable in variables if not variable.on_request)

    def _argument(self, variable: Variable) -> Argument:
        atoms = "nall" if variable in self.model.output.derivatives else "nlocal"
        sizes: dict[int | str, int | str] = {
            "natoms": atoms,
            "components": self.model.fitting.dim_out,
        }
        shape = tuple(sizes.get(axis, axis) for axis in variable.shape)
        return Argument(variable.key, "float64", shape, variable.unit, variable.title)

    def example(self) -> tuple[np.ndarray, ...]:
        """Return pairs within the cutoff of atoms of all types."""
        rng = np.random.default_rng(0)
        npairs, nall, nlocal = (EXAMPLE[name] for name in ("npairs", "nall", "nlocal"))
        vectors = rng.normal(size=(npairs, 3))
        length = rng.uniform(0.3, 1.1, (npairs, 1)) * self.model.descriptor.requires().rcut
        vectors *= length / np.linalg.norm(vectors, axis=1, keepdims=True)
        known: dict[str, np.ndarray] = {
            "rij": vectors,
            "i": rng.integers(0, nlocal, npairs),
            "j": rng.integers(0, nall, npairs),
            "atype": np.arange(nall) % self.model.ntypes,
            "local": np.arange(nlocal),
        }
        for each in self.inputs[len(INPUTS) :]:
            shape = [EXAMPLE[axis] if isinstance(axis, str) else axis for axis in each.shape]
            known[each.name] = np.ones(shape)
        return tuple(known[each.name] for each in self.inputs)

    def __call__(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        inputs: Sequence[Array],
        find: Find | None = None,
    ) -> tuple[Array, ...]:
        """Return the outputs; see :class:`multifit.backend.Function`."""
        xp = arithmetic.xp
        given = dict(zip((each.name for each in self.inputs), inputs, strict=True))
        atype, local = given["atype"], given["local"]
        aparam = given.get("aparam")
        if self.model.fitting.use_aparam_as_mask:
            absent = xp.ones_like(atype) * -1
            atype, aparam = xp.where(given["aparam"][:, 0] == 0.0, absent, atype), None
        pairs = Pairs(given["rij"], given["i"], given["j"])
        tables = neighbor_tables(arithmetic, self.model, local, atype, pairs)
        centres, rows = _centres(xp, self.model, xp.take(atype, local, axis=0), aparam, find)
        batch = _batch(xp, centres, rows, atype, tables, given.get("fparam"))
        found = mdl.evaluate(arithmetic, self.model, params, batch)
        return tuple(
            _by_atom(arithmetic, found[each.name], each.shape, rows, local, atype)
            for each in self.outputs
        )


def _centres(
    xp: Any, model: mdl.Model, atype: Array, aparam: Array | None, find: Find | None
) -> tuple[dict[str, Centres], Array]:
    """Return the local atoms as centres of each type, and the atom of each of their places.

    Without ``find`` every type has places for all atoms, and a mask for those that have it.
    """
    centres, rows = {}, []
    every = xp.cumulative_sum(xp.ones_like(atype), axis=0) - 1
    for a in range(model.ntypes):
        here = every if find is None else find(atype == a)
        own = xp.take(atype, here, axis=0) == a
        centre: Centres = {
            "frame": xp.zeros_like(here),
            "atom": here,
            "mask": xp.astype(own, xp.float64),
        }
        if aparam is not None:
            centre["aparam"] = xp.take(aparam, here, axis=0)
        centres[str(a)] = centre
        rows.append(here)
    return centres, xp.concat(rows, axis=0)


def _batch(
    xp: Any,
    centres: dict[str, Centres],
    rows: Array,
    atype: Array,
    tables: dict[str, Any],
    fparam: Array | None,
) -> Batch:
    """Return one frame with the centres, whose pairs end at ghosts: all atoms, once more."""
    places = size(xp, rows)
    kinds = [xp.ones_like(centre["atom"]) * int(a) for a, centre in centres.items()]
    batch: Batch = {
        "natoms": xp.ones((1,), dtype=xp.float64),
        "atype": xp.concat(kinds, axis=0),
        "centres": centres,
        "tables": _of_rows(xp, tables, rows, places),
        "ghosts": xp.zeros((atype.shape[0],), dtype=xp.float64),
    }
    return batch if fparam is None else {**batch, "fparam": fparam[None, :]}


def _of_rows(xp: Any, tables: dict[str, Any], rows: Array, places: Array) -> dict[str, Any]:
    """Return tables for the atoms of these rows, whose neighbours follow all ``places``."""
    if PARTS in tables:
        parts = tables[PARTS].items()
        return {PARTS: {k: _of_rows(xp, own, rows, places) for k, own in parts}}
    return {
        b: {
            "rij": xp.take(table["rij"], rows, axis=0),
            "index": xp.take(table["index"], rows, axis=0) + places,
            "mask": xp.take(table["mask"], rows, axis=0),
            "near": table["near"],
        }
        for b, table in tables.items()
    }


def _by_atom(
    arithmetic: Arithmetic,
    x: Array,
    shape: tuple[int | str, ...],
    rows: Array,
    local: Array,
    atype: Array,
) -> Array:
    """Return an output by the engine's numbers of atoms; of the frame, without its axis."""
    places = rows.shape[0]
    if "nall" in shape:  # a force on a place, as a centre, and on an atom, as a neighbour
        own = arithmetic.segment_sum(x[:places, ...], rows, atype.shape[0])
        return own + x[places:, ...]
    if "nlocal" in shape:
        return arithmetic.segment_sum(x, rows, local.shape[0])
    return x[0, ...]
