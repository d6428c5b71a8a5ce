r"""The descriptor hybrid: several descriptors side by side.

.. math:: D_i = (D_i^{(1)}, D_i^{(2)}, \dots)

Each part has its own cutoff and slots for neighbours, and gets tables of its own
(:mod:`multifit.batching.batch`), so that it is evaluated as if it were alone: by series, in one
table for many types, or with messages between atoms. The columns of all tables, side by side, are
the pairs of the hybrid.

Source: DeePMD-kit documentation, "Descriptor hybrid".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ... import precision as prec
from ...backend import Arithmetic, Backend
from ...batching.types import PARTS
from ...errors import FileFormatError
from ...files import check_version, required
from ...neighbors.requirements import Requirements, together
from ...nn.networks import Seed, child_seed
from ...rules import require
from ...support import ALL
from ...tree import Tree, numbered, numbered_values
from .._protocol import Descriptor, Planner, Pullback
from .._statistics import part_sums
from .._tables import Spans, concat, spans
from ._describe import describe
from ._planner import PartPlanners
from ._rules import RULES, TYPE_RULES

if TYPE_CHECKING:
    from ...neighbors.frame import Frame
    from ._section import HybridSection

Array = Any
Names = list[str]

#: Version of the file format.
VERSION = 1


@dataclass(frozen=True)
class Hybrid:
    """The settings of a hybrid: its parts. A hybrid among them counts as its own parts."""

    name: ClassVar[str] = "hybrid"
    aliases: ClassVar[tuple[str, ...]] = ()
    backends: ClassVar[frozenset[str]] = ALL

    list: tuple[Descriptor, ...]

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        nested = (part.list if isinstance(part, Hybrid) else (part,) for part in self.list)
        object.__setattr__(self, "list", tuple(part for own in nested for part in own))
        require(self, {}, (*RULES, *TYPE_RULES))

    @property
    def ntypes(self) -> int:
        """Number of atom types."""
        return self.list[0].ntypes

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return sum(part.dim_out for part in self.list)

    @property
    def type_columns(self) -> tuple[tuple[int, int], ...]:
        """The columns of the descriptor with vectors of the atom's type."""
        found, start = [], 0
        for part in self.list:
            found += [(start + a, start + b) for a, b in getattr(part, "type_columns", ())]
            start += part.dim_out
        return tuple(found)

    @property
    def neuron(self) -> tuple[int, ...]:
        """Widths of the embedding networks of all parts."""
        return tuple(width for part in self.list for width in part.neuron)

    @property
    def precision(self) -> str:
        """The widest precision of the parts."""
        found = [prec.canonical(part.precision) for part in self.list]
        return max(found, key=lambda name: np.dtype(prec.numpy_dtype(name)).itemsize)

    @property
    def trainable(self) -> bool:
        """True if training changes a part."""
        return any(part.trainable for part in self.list)

    @property
    def exclude_types(self) -> tuple[tuple[int, int], ...]:
        """Pairs of types that interact in no part."""
        first, *others = ({_ordered(pair) for pair in part.exclude_types} for part in self.list)
        return tuple(sorted(first.intersection(*others)))

    @property
    def formats(self) -> frozenset[str] | None:
        """Formats of exports that all parts have; None for all formats."""
        given = [getattr(part, "formats", None) for part in self.list]
        known = [formats for formats in given if formats is not None]
        return frozenset.intersection(*known) if known else None

    @classmethod
    def section(cls) -> type[HybridSection]:
        """Return the class of its section of ``input.json``."""
        from ._section import HybridSection  # pydantic takes a while to import

        return HybridSection

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        from ._examples import EXAMPLES  # imports other descriptors

        for parts in EXAMPLES:
            yield cls(parts)

    def requires(self) -> Requirements:
        """Return the required neighbours, with those of each part."""
        return together([part.requires() for part in self.list])

    def init(self, seed: Seed) -> Tree:
        """Return the initial parameters of all parts.

        Parameters
        ----------
        seed
            A tuple has the seed of each part; another one is divided among the parts.
        """
        seeds = seed if isinstance(seed, tuple) else None
        made = [
            part.init(child_seed(seed, k) if seeds is None else seeds[k])
            for k, part in enumerate(self.list)
        ]
        return {"list": numbered(made)}

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        for k, part in enumerate(self.list):
            yield from (f"list.{k}.{name}" for name in part.trainable_names())

    def sums(self, frames: Sequence[Frame]) -> Any:
        """Return the sums of each part."""
        return part_sums(self.list, self.requires(), frames)

    def statistics(self, sums: Any, protect: float) -> dict[str, np.ndarray]:
        """Return the statistics of each part, under their dotted names."""
        found = {}
        for k, (part, own) in enumerate(zip(self.list, sums, strict=True)):
            for name, value in part.statistics(own, protect).items():
                rounded = value.astype(prec.numpy_dtype(part.precision))
                found[f"list.{k}.{name}"] = rounded.astype(value.dtype)
        return found

    def statistics_settings(self) -> dict[str, Any]:
        """Return the settings that statistics of the parts depend on."""
        return {"list": [[part.name, part.statistics_settings()] for part in self.list]}

    def nonzero_mean(self, params: Tree) -> int | None:
        """Return the first type with a mean ≠ 0 where the settings of a part require 0, or None."""
        found = (part.nonzero_mean(own) for part, own in self._with(params))
        return next((a for a in found if a is not None), None)

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> Planner:
        """Return the planners of all parts as one."""
        return PartPlanners(
            [part.planner(backend, embedding, enabled=enabled, train=train) for part in self.list],
            [part.requires().rcut for part in self.list],
        )

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Any],
        plan: Tree | None = None,
    ) -> Tree:
        """Return the geometry of each part under its number, and all pairs side by side."""
        made: Tree = {}
        for k, (part, own) in enumerate(self._with(params)):
            mine = _of(plan, k)
            here = tables[PARTS][str(k)] if tables else {}
            made[str(k)] = part.geometry(xp, own, atype, counts, here, mine)
        pairs = [x for x in numbered_values(made) if "rij" in x]
        keys = ("rij", "index") if pairs else ()
        joined = {key: concat(xp, [x[key] for x in pairs], axis=-1) for key in keys}
        return {**joined, PARTS: made}

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return the descriptors of all parts side by side, and the pullback to pair vectors."""
        xp, made = arithmetic.xp, []
        pulls: dict[int, Pullback] = {}
        for k, (part, own) in enumerate(self._with(params)):
            here = geometry[PARTS][str(k)]
            d, pull = part.apply(arithmetic, own, counts, here, _of(plan, k))
            made.append(d)
            if "rij" in here:  # others have no pairs
                pulls[k] = pull
        if any(d.dtype != made[0].dtype for d in made):
            made = [xp.astype(d, xp.float64, copy=False) for d in made]
        columns = self._columns

        def pullback(d_bar: Array) -> Array:
            found = [pull(d_bar[:, columns[k]]) for k, pull in pulls.items()]
            return concat(xp, found, axis=2)

        return concat(xp, made, axis=1), pullback

    @property
    def _columns(self) -> Spans:
        """The columns of each part."""
        return spans({k: part.dim_out for k, part in enumerate(self.list)})

    def _with(self, params: Tree) -> Iterator[tuple[Descriptor, Tree]]:
        """Yield the parts and their parameters."""
        for k, part in enumerate(self.list):
            yield part, params["list"][str(k)]

    def serialize(self, params: Tree, type_map: Names | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file."""
        parts = [part.serialize(own, type_map) for part, own in self._with(params)]
        return {"@class": "Descriptor", "type": self.name, "@version": VERSION, "list": parts}

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section.

        Raises
        ------
        FileFormatError
            If a part is damaged, or there is none.
        UnsupportedError
            If a part is of another kind, or uses an unsupported option.
        """
        from .._registry import deserialize  # imports this module

        check_version(node, range(1, VERSION + 1), "descriptor")
        given = required(node, "list", "descriptor")
        if not isinstance(given, list | tuple) or not all(isinstance(x, dict) for x in given):
            raise FileFormatError("descriptor.list is no list of descriptors")
        found = [deserialize(each) for each in given]
        params = [
            own
            for part, known in found
            for own in (numbered_values(known["list"]) if isinstance(part, Hybrid) else [known])
        ]
        return cls(tuple(part for part, _ in found)), {"list": numbered(params)}

    def remap_types(
        self, params: Tree, other: Self, known: Tree, shared: Sequence[tuple[int, int]]
    ) -> Tree:
        """Return the parameters of each part with those of the same part of another model."""
        made = [
            part.remap_types(own, theirs, its, shared)
            for (part, own), (theirs, its) in zip(
                self._with(params), other._with(known), strict=True
            )
        ]
        return {"list": numbered(made)}

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        return describe(self, type_map)


def _ordered(pair: tuple[int, int]) -> tuple[int, int]:
    low, high = sorted(pair)
    return low, high


def _of(plan: Tree | None, k: int) -> Tree | None:
    """Return the plan of a part, or None."""
    return None if plan is None else plan.get(str(k))
