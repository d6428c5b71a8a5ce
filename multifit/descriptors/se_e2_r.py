r"""The descriptor se_e2_r: embedded radial functions, summed over the neighbours.

.. math::

   \tilde s_{ij} = (s_{ij} - \mu_a)/\sigma_a, \quad
   D_i = \frac{1}{5 \sum sel} \sum_b \sum_{j \in b} N_b(\tilde s_{ij}),

over all slots of ``sel``: an empty one has s = 0, one of an excluded pair s̃ = 0.

=============  ================================================
symbol         variable, shape
=============  ================================================
s̃              ``scaled``, (N, P)
N(s̃)           ``g``, (n, k, M)
D              the result, (n, M)
μ, σ           ``davg``, ``dstd``, (ntypes, ntypes, 1)
=============  ================================================

With a plan, N_b is a Chebyshev series in s with the coefficients C: Σ_j N_b = Σ_j T(x_j) C, where
the moments Σ_j T(x_j) depend on positions alone (:mod:`._chebyshev`).

Source: DeePMD-kit documentation, "Descriptor se_e2_r" (and its factor 1/5 from the code).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from .. import precision as prec
from ..backend import Arithmetic
from ..batching.types import Table
from ..errors import UnsupportedError
from ..nn.groups import net_of
from ..nn.networks import apply_network
from ..rules import Rule
from ..tree import Tree
from . import _radial_serial as serial
from ._coefficients import block_series, in_double, of_empty_slots, of_groups, series_atoms
from ._environment import local_frames
from ._protocol import Pullback
from ._radial import RadialDescriptor
from ._radial_moments import moments
from ._rules import RADIAL_RULES
from ._tables import (
    Spans,
    by_columns,
    columns_of,
    concat,
    join,
    kinds_of,
    missing_columns,
    seen,
    series_entries,
    spans,
    spread,
    widths_of,
)

if TYPE_CHECKING:
    from ..sections import RadialSection

Array = Any

#: Version of the file format.
VERSION = 2

#: Additional divisor of DeePMD-kit.
SCALE = 5.0


RULES = (
    *RADIAL_RULES,
    Rule(
        "type_one_side",
        lambda o: not o.type_one_side,
        "is false, but must be true or left out: se_e2_r has one embedding net for each type of "
        "neighbours",
    ),
)


@cache
def _section() -> type[RadialSection]:
    """Return the class of ``model.descriptor``; pydantic takes a while to import."""
    from pydantic import Field

    from .. import sections as t

    class SeE2RSection(t.RadialSection):
        """The embedding se_e2_r, which describes an atom by the distances to its neighbours."""

        rules: ClassVar[tuple[Rule, ...]] = RULES

        type: Literal["se_e2_r"] = Field(description="Kind of descriptor.")
        type_one_side: t.Flag = Field(
            default=True,
            description="Must be true: the embedding net depends on the type of the neighbour.",
        )

        @property
        def dim_out(self) -> int:
            """Length of one atom's descriptor."""
            return self.neuron[-1]

    return SeE2RSection


@dataclass(frozen=True)
class SeE2R(RadialDescriptor):
    """The settings of se_e2_r, under the names of ``input.json``."""

    name: ClassVar[str] = "se_e2_r"
    aliases: ClassVar[tuple[str, ...]] = ("se_r",)
    rules: ClassVar[tuple[Rule, ...]] = RULES
    components: ClassVar[int] = 1

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1]

    @classmethod
    def section(cls) -> type[RadialSection]:
        """Return the class of its section of ``input.json``."""
        return _section()

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        yield cls(3.6, 1.5, (30, 40), (3, 6))
        yield cls(
            3.6,
            1.5,
            (30, 40),
            (3, 6),
            resnet_dt=True,
            exclude_types=((0, 1),),
            env_protection=0.1,
            activation_function="gelu",
        )
        yield cls(3.6, 1.5, (30, 0), (4, 4), activation_function="relu")

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Table],
        plan: Tree | None = None,
    ) -> Tree:
        """Return s̃ and its derivative and, with a plan, the polynomials and their moments."""
        columns = columns_of(tables)
        mean, deviation = (xp.take(params[key], atype, axis=0) for key in ("davg", "dstd"))
        made: Tree = {"kind": kinds_of(xp, counts, atype)}
        if not tables:
            return made
        scaling = mean, deviation
        more, s, visible = self._pairs(xp, atype, counts, columns, tables, *scaling)
        made |= more
        if plan is None:
            return made | {"deviation": by_columns(xp, deviation, columns)[:, 0, :]}
        return made | moments(xp, self, tables, plan, atype, s, visible)

    def _pairs(
        self,
        xp: Any,
        atype: Array,
        counts: Mapping[int, int],
        columns: Spans,
        tables: Mapping[str, Table],
        mean: Array,
        deviation: Array,
    ) -> tuple[Tree, Array, Array | None]:
        """Return the part common to all evaluations, s (N, P), and 0 for excluded pairs."""
        pairs = join(xp, tables)
        raw, factors = local_frames(xp, self.environment, pairs["rij"], pairs["mask"])
        s, slope = raw[:, 0, :], factors["slope"]
        parts = [(s[:, span] - mean[:, b, :]) / deviation[:, b, :] for b, span in columns.items()]
        scaled = concat(xp, parts, axis=1)
        visible = seen(xp, self.excluded, atype, counts, columns, pairs["mask"])
        made = {"rij": pairs["rij"], "index": pairs["index"], "unit": factors["unit"]}
        if visible is not None:
            scaled, slope = scaled * visible, slope * visible
            hidden = 1.0 - visible
            made["hidden"] = {
                str(b): xp.sum(hidden[:, span], axis=1) for b, span in columns.items()
            }
        # The shapes give the number of columns of each type.
        widths = {str(b): s[:1, span] for b, span in columns.items()}
        return {**made, "scaled": scaled, "slope": slope, "widths": widths}, s, visible

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return D (N, M), and the pullback to pair vectors."""
        xp = arithmetic.xp
        sums, pull = (
            self._direct(xp, params, geometry)
            if plan is None
            else self._by_series(xp, params, counts, geometry, plan)
        )
        empty = self._of_empty(xp, params, counts, geometry, plan)
        if empty is not None:
            sums = [*sums, xp.astype(empty, sums[0].dtype, copy=False) if sums else empty]
        share = 1.0 / (SCALE * self.nnei)

        def pullback(d_bar: Array) -> Array:
            s_bar = share * pull(d_bar)
            return geometry["unit"] * (s_bar * geometry["slope"])[:, None, :]

        return share * sum(sums[1:], sums[0]), pullback

    def _of_empty(
        self, xp: Any, params: Tree, counts: Mapping[int, int], geometry: Tree, plan: Tree | None
    ) -> Array | None:
        """Return the sums over empty slots that no table has, (N, M)."""
        missing: Mapping[int, float] = missing_columns(self.sel, geometry)
        if plan is not None:  # the others are part of the moments
            widths = widths_of(geometry)
            missing = {b: float(n) for b, n in enumerate(self.sel) if n and b not in widths}
        if not missing:
            return None
        network, own = self.network, params
        if plan is not None:
            network = self.double_network
            own = {**params, "embeddings": in_double(xp, params["embeddings"])}
        each = of_empty_slots(xp, self, network, own, list(counts), missing, weighted=False)
        return spread(xp, geometry["kind"], each)[:, 0, :]

    def _direct(
        self, xp: Any, params: Tree, geometry: Tree
    ) -> tuple[list[Array], Callable[[Array], Array]]:
        """Return Σ_j N_b(s̃_ij) of each type of neighbours, and D̄ → derivatives by s."""
        precision = prec.canonical(self.precision)
        columns = spans(widths_of(geometry))
        sums, pulls = [], []
        for b, here in columns.items():
            x = prec.cast(xp, geometry["scaled"][:, here], precision)
            net = net_of(xp, params["embeddings"], b)
            g, back = apply_network(xp, self.network, net, xp.reshape(x, (-1, 1)))
            sums.append(xp.sum(xp.reshape(g, (*x.shape, g.shape[1])), axis=1))
            pulls.append(back)

        def pull(d_bar: Array) -> Array:
            found = []
            for back, here in zip(pulls, columns.values(), strict=True):
                (n, m), k = d_bar.shape, here.stop - here.start
                bar = xp.astype(d_bar, sums[0].dtype, copy=False)
                each = xp.broadcast_to(bar[:, None, :], (n, k, m))
                found.append(xp.reshape(back(xp.reshape(each, (-1, m))), (n, k)))
            joined = concat(xp, found, axis=1)
            return xp.astype(joined, params["dstd"].dtype, copy=False) / geometry["deviation"]

        return sums, pull

    def _by_series(
        self, xp: Any, params: Tree, counts: Mapping[int, int], geometry: Tree, plan: Tree
    ) -> tuple[list[Array], Callable[[Array], Array]]:
        """Return the result of :meth:`_direct`, from the moments of the polynomials."""
        found, kinds = series_entries(geometry), list(counts)
        atoms = series_atoms(self, counts, geometry["kind"].shape[0])
        sums, slopes = [], []
        for block, entry in found:
            arrays = block_series(xp, self, params, plan, kinds, block)
            own = of_groups(xp, self, atoms, kinds, arrays)
            rows = zip(atoms.gather(xp, entry["moments"]), own, strict=True)
            sums.append(atoms.flat(xp, [xp.matmul(x, value) for x, (value, _) in rows]))
            slopes.append([by_x for _, by_x in own])
        for b, hidden in geometry.get("hidden", {}).items():
            net = net_of(xp, in_double(xp, params["embeddings"]), int(b))
            g, _ = apply_network(xp, self.double_network, net, xp.zeros((1, 1), dtype=xp.float64))
            sums.append(hidden[:, None] * g)

        def pull(d_bar: Array) -> Array:
            parts = []
            for (_, entry), own in zip(found, slopes, strict=True):
                if "cheb" not in entry:
                    continue
                bars = atoms.gather(xp, xp.astype(d_bar, own[0].dtype, copy=False))
                by_x = [
                    xp.matmul(bar, xp.matrix_transpose(slope))
                    for bar, slope in zip(bars, own, strict=True)
                ]
                x_bar = xp.matmul(atoms.flat(xp, by_x)[:, None, :], entry["cheb"])[:, 0, :]
                parts.append(x_bar * entry["stretch"])
            return concat(xp, parts, axis=1)

        return sums, pull

    def serialize(self, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file."""
        head = {"@class": "Descriptor", "type": "se_r", "@version": VERSION, "type_map": type_map}
        return head | serial.serialize(self, params)

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section."""
        options = serial.options(node, VERSION)
        if not options["type_one_side"]:
            raise UnsupportedError(
                "the model's descriptor se_e2_r has type_one_side false; multifit reads models "
                "with one embedding net for each type of neighbours"
            )
        config = cls(**options)
        return config, serial.parameters(config, node)
