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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from .. import precision as prec
from ..backend import Arithmetic
from ..batching.types import Table
from ..errors import UnsupportedError
from ..nn.networks import apply_network
from ..rules import Rule
from ..tree import Tree
from . import _radial_serial as serial
from ._chebyshev import chebyshev
from ._coefficients import series_of
from ._environment import local_frames
from ._protocol import Features, Pullback
from ._radial import RadialDescriptor
from ._rules import RADIAL_RULES
from ._tables import ZONES, Spans, columns_of, concat, join, seen, slots, spans

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
        rows, columns = spans(counts), columns_of(tables)
        mean, deviation = (xp.take(params[key], atype, axis=0) for key in ("davg", "dstd"))
        made: Tree = {}
        s = visible = None
        if tables:
            made, s, visible = self._pairs(xp, rows, columns, tables, mean, deviation)
        if plan is not None:
            made |= _series(xp, list(slots(xp, self.sel, tables, columns)), plan, atype, s, visible)
        return made

    def _pairs(
        self,
        xp: Any,
        rows: Spans,
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
        visible = seen(xp, self.excluded, rows, columns, pairs["mask"])
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
    ) -> tuple[Features, Pullback]:
        """Return D (n, M) of each type of centres, and the pullback to pair vectors."""
        xp = arithmetic.xp
        evaluate = self._direct if plan is None else self._by_series
        d, pull = evaluate(xp, params, spans(counts), geometry, plan or {})
        share = 1.0 / (SCALE * self.nnei)

        def pullback(d_bar: Features) -> Array:
            s_bar = share * concat(xp, [pull(a, d_bar[a]) for a in d], axis=0)
            return geometry["unit"] * (s_bar * geometry["slope"])[:, None, :]

        return {a: share * each for a, each in d.items()}, pullback

    def _direct(
        self, xp: Any, params: Tree, rows: Spans, geometry: Tree, plan: Tree
    ) -> tuple[Features, Any]:
        """Return Σ_j N_b(s̃_ij) of each type of centres, and (a, D̄) → derivatives by s."""
        precision = prec.canonical(self.precision)
        columns = spans({int(b): x.shape[1] for b, x in geometry.get("widths", {}).items()})
        sums: Features = {}
        pulls: dict[tuple[int, int], Any] = {}
        for a, span in rows.items():
            for b, sel in enumerate(self.sel):
                if not sel:
                    continue
                net, n = params["embeddings"][str(b)], span.stop - span.start
                here = columns.get(b)
                parts = [] if a not in sums else [sums[a]]
                if here is not None:
                    x = prec.cast(xp, geometry["scaled"][span, here], precision)
                    g, pulls[a, b] = apply_network(xp, self.network, net, xp.reshape(x, (-1, 1)))
                    parts.append(xp.sum(xp.reshape(g, (n, -1, g.shape[1])), axis=1))
                missing = sel - (0 if here is None else here.stop - here.start)
                if missing:
                    empty = -params["davg"][a, b, :] / params["dstd"][a, b, :]
                    g, _ = apply_network(
                        xp, self.network, net, prec.cast(xp, empty[None, :], precision)
                    )
                    parts.append(xp.broadcast_to(float(missing) * g, (n, g.shape[1])))
                sums[a] = sum(parts[1:], parts[0])

        def pull(a: int, d_bar: Array) -> Array:
            found = []
            for b, here in columns.items():
                k = here.stop - here.start
                bar = xp.astype(d_bar, sums[a].dtype, copy=False)
                each = xp.broadcast_to(bar[:, None, :], (bar.shape[0], k, bar.shape[1]))
                x_bar = pulls[a, b](xp.reshape(each, (-1, bar.shape[1])))
                x_bar = xp.astype(xp.reshape(x_bar, (-1, k)), params["dstd"].dtype, copy=False)
                found.append(x_bar / params["dstd"][a, b, 0])
            return concat(xp, found, axis=1)

        return sums, pull

    def _by_series(
        self, xp: Any, params: Tree, rows: Spans, geometry: Tree, plan: Tree
    ) -> tuple[Features, Any]:
        """Return the result of :meth:`_direct`, from the moments of the polynomials."""
        made = geometry["series"]
        parts = [(b, z) for b in sorted(made, key=int) for z in ZONES if z in made[b]]
        sums: Features = {}
        series = series_of(xp, self, params, plan, rows, [(int(b), zone) for b, zone in parts])
        for b, zone in parts:
            for a, span in rows.items():
                t = xp.matmul(made[b][zone]["moments"][span, :], series[a, int(b), zone][0])
                sums[a] = sums[a] + t if a in sums else t
        for b, hidden in geometry.get("hidden", {}).items():
            net = params["embeddings"][b]
            zero = xp.zeros((1, 1), dtype=net["layers"]["0"]["w"].dtype)
            g, _ = apply_network(xp, self.network, net, zero)
            for a, span in rows.items():
                if (a, int(b)) in self.excluded:
                    g = xp.astype(g, sums[a].dtype, copy=False)
                    sums[a] = sums[a] + hidden[span][:, None] * g

        def pull(a: int, d_bar: Array) -> Array:
            found = []
            for b, zone in parts:
                entry = made[b][zone]
                if "cheb" in entry:
                    slope = series[a, int(b), zone][1]
                    bar = xp.astype(d_bar, slope.dtype, copy=False)
                    by_x = xp.matmul(bar, xp.matrix_transpose(slope))[:, None, :]
                    x_bar = xp.matmul(by_x, entry["cheb"][rows[a], :, :])[:, 0, :]
                    found.append(x_bar * entry["stretch"][rows[a], :])
            return concat(xp, found, axis=1)

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


def _series(
    xp: Any, parts: list[Any], plan: Tree, atype: Array, s: Array, visible: Array | None
) -> Tree:
    """Return the polynomials of the pairs, their moments, and dx/ds, by neighbour and zone."""
    made: dict[str, Tree] = {}
    for each in parts:
        b, own = each.neighbour, plan[each.zone]
        start, reach = (xp.take(own[key], atype, axis=0)[:, b, None] for key in ("start", "reach"))
        stretch = 2.0 / (reach - start)
        entry: Tree = {"stretch": stretch}
        sums = []
        if each.zone == "far":
            count = each.missing[:, :, 0] if hasattr(each.missing, "shape") else each.missing
            sums.append(count * (xp.ones_like(stretch) * own["signs"][None, :]))
        if each.columns is not None:
            x = (s[:, each.columns] - start) * stretch
            weight = xp.ones_like(x) if visible is None else visible[:, each.columns]
            if each.mask is not None:
                x, weight = x * each.mask, weight * each.mask
            entry["cheb"] = chebyshev(xp, x - 1.0, own["nodes"].shape[0])
            sums.append(xp.sum(entry["cheb"] * weight[:, None, :], axis=2))
        entry["moments"] = sums[0] if len(sums) == 1 else sums[0] + sums[1]
        made.setdefault(str(b), {})[each.zone] = entry
    return {"series": made}
