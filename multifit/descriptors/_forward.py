"""The base of descriptors with only a forward pass: reverse mode gives their forces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from ..autodiff import ReverseArithmetic, with_pullback
from ..backend import Arithmetic, Backend
from ..errors import TrainingError
from ..neighbors.requirements import Requirements
from ..rules import require
from ..statistics import Sums, no_sums
from ..support import ALL
from ..tree import Tree, flatten
from . import _plain_serial as plain
from ._planner import NoPlan
from ._protocol import Pullback
from ._rules import RADIAL_RANGES
from ._tables import columns_of, concat, join

if TYPE_CHECKING:
    from ..neighbors.frame import Frame

Array = Any


class Pairs(NamedTuple):
    """The pairs of N atoms in P slots, as given to a forward pass.

    An empty slot has the mask 0 and the vector 0: do not divide by its length.
    """

    rij: Array  #: r_j − r_i in Å, (N, 3, P)
    mask: Array  #: 1 for a pair, 0 for an empty slot, (N, P)
    index: Array  #: index of the neighbour among the N atoms, (N, P)
    centre: Array  #: type of each atom, (N,)
    neighbour: Array  #: type of the neighbours in each slot, (P,)


@dataclasses.dataclass(frozen=True)
class ForwardDescriptor:
    """Everything required by :class:`~multifit.descriptors.Descriptor` except a forward pass.

    A subclass is a frozen dataclass. It adds its settings, ``name``, ``dim_out``, ``init``,
    ``features``, its ``section`` of ``input.json`` and ``examples`` for tests. The statistics of
    the data, if it needs any, are defined there, too.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    backends: ClassVar[frozenset[str]] = ALL
    hops: ClassVar[int] = 1  #: rounds of message passing
    exclude_types: ClassVar[tuple[tuple[int, int], ...]] = ()

    rcut: float
    sel: tuple[int, ...]
    neuron: tuple[int, ...] = ()
    precision: str = "float64"
    trainable: bool = True

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        require(self, {name: RADIAL_RANGES[name] for name in ("rcut", "sel", "trainable")}, ())

    def features(self, arithmetic: ReverseArithmetic, params: Tree, pairs: Pairs) -> Array:
        """Return the descriptor of each atom, (N, dim_out).

        Parameters
        ----------
        arithmetic
            Backend: ``arithmetic.xp`` is an Array-API namespace.
        params
            As from ``init``, converted to arrays of the namespace.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    @property
    def ntypes(self) -> int:
        """Number of atom types."""
        return len(self.sel)

    def requires(self) -> Requirements:
        """Return the required neighbours."""
        return Requirements(self.rcut, self.sel, self.hops)

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        if self.trainable:
            yield from flatten(self.init(0))  # type: ignore[attr-defined]

    def sums(self, frames: Sequence[Frame]) -> Sums:
        """Return empty sums."""
        return no_sums(0)

    def statistics(self, sums: Sums, protect: float) -> dict[str, np.ndarray]:
        """Return no statistics."""
        return {}

    def statistics_settings(self) -> dict[str, Any]:
        """Return no settings."""
        return {}

    def nonzero_mean(self, params: Tree) -> int | None:
        """Return None: nothing is shifted by a mean."""
        return None

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> NoPlan:
        """Return a planner without plans."""
        return NoPlan()

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Tree],
        plan: Tree | None = None,
    ) -> Tree:
        """Return the pairs, and the types at both ends."""
        if not tables:
            return {"centre": atype}
        ends = [
            xp.full((span.stop - span.start,), b, dtype=xp.int64)
            for b, span in columns_of(tables).items()
        ]
        return {**join(xp, tables), "centre": atype, "neighbour": concat(xp, ends, axis=0)}

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return the features of all atoms, and the pullback to pair vectors."""
        xp = arithmetic.xp
        known = {key: x for key, x in geometry.items() if key != "rij"}
        rij = geometry.get("rij")
        if rij is None:  # no neighbours at all: one empty slot replaces them
            n = known["centre"].shape[0]
            rij = xp.zeros((n, 3, 1), dtype=xp.float64)
            known["mask"] = xp.zeros((n, 1), dtype=xp.float64)
            known["index"] = xp.zeros((n, 1), dtype=xp.int64)
            known["neighbour"] = xp.zeros((1,), dtype=xp.int64)

        def forward(recording: ReverseArithmetic, vectors: Array) -> Array:
            return self.features(recording, recording.lift(params), Pairs(rij=vectors, **known))

        d, pull = with_pullback(arithmetic, forward, rij)

        def pullback(d_bar: Array) -> Array:
            return pull(xp.astype(d_bar, d.dtype, copy=False))[0]

        return d, pullback

    def serialize(self, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file."""
        return plain.serialize(self, params, type_map)

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section.

        Raises
        ------
        FileFormatError
            If a parameter is missing or its shape does not match the settings.
        """
        return plain.deserialize(cls, node)

    def remap_types(
        self, params: Tree, other: Self, known: Tree, shared: Sequence[tuple[int, int]]
    ) -> Tree:
        """Return the parameters of the other model, whose types must be the same."""
        if self.ntypes != other.ntypes or any(here != there for here, there in shared):
            raise TrainingError(
                f"the descriptor {self.name} cannot be fine-tuned with another type_map; give the "
                "type_map of the model"
            )
        return known

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        dim: int = self.dim_out  # type: ignore[attr-defined]
        yield "descriptor", f"{self.name}, {dim} numbers for each atom, {self.precision}"
        yield "cut-off", f"{self.rcut:g} Å"
        sel = "  ".join(f"{name} {n}" for name, n in zip(type_map, self.sel, strict=True))
        yield "sel", f"{sel}  (the most neighbours that count)"
