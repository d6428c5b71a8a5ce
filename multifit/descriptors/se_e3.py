r"""The descriptor se_e3: embedded angles between pairs of neighbours.

.. math::

   \tilde{\mathbf R}_{ij} = \mathbf R_{ij}/\sigma_a, \quad
   x_{jk} = \tilde{\mathbf R}_{ij} \cdot \tilde{\mathbf R}_{ik}, \quad
   D_i = \sum_{b \le c} \frac{1}{sel_b\, sel_c}
         \sum_{j \in b} \sum_{k \in c} x_{jk}\, N_{bc}(x_{jk}),

with the angular part **R** of the environment matrix. An empty slot, and one of an excluded pair,
has x = 0 and contributes nothing. For b = c each pair of neighbours is evaluated once and counted
twice: x is symmetric.

=============  ================================================
symbol         variable, shape
=============  ================================================
R̃              ``vectors``, (N, 3, k)
x              ``products``, (N, T): T pairs of neighbours
N(x)           ``g``, (N, T, M)
D              the result, (N, M)
σ              ``dstd``, (ntypes, ntypes, 4)
=============  ================================================

Source: DeePMD-kit documentation, "Descriptor se_e3"; Wang et al., Nuclear Fusion 62, 126013 (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from .. import precision as prec
from ..backend import Arithmetic, Backend
from ..batching.types import Table
from ..errors import UnsupportedError
from ..neighbors.requirements import Requirements
from ..nn.groups import net_of
from ..nn.networks import apply_network
from ..tree import Tree
from . import _radial_serial as serial
from ._environment import to_vectors
from ._planner import NoPlan
from ._protocol import Pullback
from ._radial import RadialDescriptor
from ._tables import concat, spans, widths_of
from .se_e2_a._geometry import geometry

if TYPE_CHECKING:
    from ..sections import EmbeddingSection

Array = Any

#: Version of the file format.
VERSION = 2

#: Keys of other radial descriptors that files of this one do not have.
FOREIGN = ("type_one_side", "spin")


@cache
def _section() -> type[EmbeddingSection]:
    """Return the class of ``model.descriptor``; pydantic takes a while to import."""
    from pydantic import Field

    from .. import sections as t

    class SeE3Section(t.EmbeddingSection):
        """The embedding se_e3, which describes an atom by the angles between its neighbours."""

        can_vanish: ClassVar[bool] = True

        type: Literal["se_e3"] = Field(description="Kind of descriptor.")

        @property
        def dim_out(self) -> int:
            """Length of one atom's descriptor."""
            return self.neuron[-1]

    return SeE3Section


class _Block(NamedTuple):
    """The pairs of neighbours of two types."""

    b: int
    c: int
    columns: tuple[slice, slice]  #: of the two types in R̃

    @property
    def same(self) -> bool:
        """True if the types are equal: each pair of neighbours is stored once."""
        return self.b == self.c

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of columns of the two types."""
        first, second = (span.stop - span.start for span in self.columns)
        return first, second


def _blocks(geometry: Tree) -> list[_Block]:
    """Return the blocks of the types present."""
    columns = spans(widths_of(geometry))
    return [_Block(b, c, (columns[b], columns[c])) for b in columns for c in columns if b <= c]


@dataclass(frozen=True)
class SeE3(RadialDescriptor):
    """The settings of se_e3, under the names of ``input.json``."""

    name: ClassVar[str] = "se_e3"
    aliases: ClassVar[tuple[str, ...]] = ("se_at", "se_a_3be")
    components: ClassVar[int] = 4

    type_one_side: bool = False  #: a net for each pair of types of neighbours; not an option

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1]

    @classmethod
    def section(cls) -> type[EmbeddingSection]:
        """Return the class of its section of ``input.json``."""
        return _section()

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options."""
        yield cls(3.6, 1.5, (30, 40), (2, 4))
        yield cls(
            3.6,
            1.5,
            (30, 40),
            (2, 4),
            resnet_dt=True,
            exclude_types=((0, 1),),
            env_protection=0.1,
            activation_function="gelu",
        )
        yield cls(3.6, 1.5, (30, 0), (3, 3), activation_function="relu")

    def requires(self) -> Requirements:
        """Return the required neighbours; near ones have no separate columns."""
        return Requirements(self.rcut, self.sel)

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> NoPlan:
        """Return a planner without plans: the nets are evaluated at every pair of neighbours."""
        return NoPlan()

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Table],
        plan: Tree | None = None,
    ) -> Tree:
        """Return R̃ and, for each block b ≤ c, x (N, T) under ``products.b-c``."""
        # The angular mean is 0; that of the radial part is not used.
        scales = {**params, "davg": xp.zeros_like(params["davg"])}
        made = geometry(xp, self, scales, atype, counts, tables)
        if not tables:
            return made
        vectors, products = made["rows"][:, 1:, :], {}
        for block in _blocks(made):
            left, right = (vectors[:, :, span] for span in block.columns)
            x = xp.matmul(xp.matrix_transpose(left), right)
            flat = xp.reshape(x, (x.shape[0], -1))
            if block.same:
                flat = xp.take(flat, xp.asarray(_upper(block.sizes[0])), axis=1)
            products[f"{block.b}-{block.c}"] = flat
        return {**made, "products": products}

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
        blocks = _blocks(geometry)
        if not blocks:
            n = geometry["kind"].shape[0]
            nothing = xp.zeros((n, self.dim_out), dtype=xp.float64)
            return nothing, lambda d_bar: xp.zeros((n, 3, 0), dtype=xp.float64)
        sums, pulls = [], []
        for block in blocks:
            part, pull = self._block(xp, params, block, geometry)
            sums.append(part)
            pulls.append(pull)
        d: Array = sum(sums[1:], sums[0])

        def pullback(d_bar: Array) -> Array:
            bar = xp.astype(d_bar, d.dtype, copy=False)
            by_x = [pull(bar) for pull in pulls]
            scaled = _by_vectors(xp, geometry["rows"][:, 1:, :], blocks, by_x)
            v_bar = scaled / geometry["deviation"][:, 1:, :]
            return to_vectors(xp, geometry["factors"], xp.zeros_like(v_bar[:, 0, :]), v_bar)

        return d, pullback

    def _block(
        self, xp: Any, params: Tree, block: _Block, geometry: Tree
    ) -> tuple[Array, Callable[[Array], Array]]:
        """Return the part of D from a block (N, M), and D̄ → the derivatives by x (N, T)."""
        net = net_of(xp, params["embeddings"], self.network_index(block.b, block.c))
        products = geometry["products"][f"{block.b}-{block.c}"]
        x = prec.cast(xp, products, prec.canonical(self.precision))
        n, size = x.shape
        g, net_pullback = apply_network(xp, self.network, net, xp.reshape(x, (-1, 1)))
        g = xp.reshape(g, (n, size, -1))
        weight = 1.0 / (self.sel[block.b] * self.sel[block.c])
        if block.same:
            counted = xp.asarray(_multiplicity(block.sizes[0]) * weight)
            weighted, each = x * xp.astype(counted, x.dtype)[None, :], counted[None, :]
        else:
            weighted, each = x * weight, weight

        def pull(bar: Array) -> Array:
            g_bar = weighted[:, :, None] * bar[:, None, :]
            by_g = xp.reshape(net_pullback(xp.reshape(g_bar, (n * size, -1))), (n, size))
            by_x = xp.matmul(g, bar[:, :, None])[:, :, 0]
            found = prec.cast(xp, by_x, prec.GLOBAL) * each + prec.cast(xp, by_g, prec.GLOBAL)
            return xp.astype(found, products.dtype, copy=False)

        return xp.matmul(weighted[:, None, :], g)[:, 0, :], pull

    def remap_types(
        self, params: Tree, other: Self, known: Tree, shared: Sequence[tuple[int, int]]
    ) -> Tree:
        """Return nets and statistics with those of another model for shared types.

        N_bc is used for b ≤ c, whatever the order of the two types in the other model.
        """
        found = super().remap_types(params, other, known, shared)
        nets = dict(found["embeddings"])
        for b_new, b_old in shared:
            for c_new, c_old in shared:
                here = str(self.network_index(*sorted((b_new, c_new))))
                there = str(other.network_index(*sorted((b_old, c_old))))
                nets[here] = known["embeddings"][there]
        return {**found, "embeddings": nets}

    def serialize(self, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file."""
        head = {"@class": "Descriptor", "type": self.name, "@version": VERSION}
        node = {**head, "type_map": type_map, **serial.serialize(self, params)}
        return {key: value for key, value in node.items() if key not in FOREIGN}

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section.

        Raises
        ------
        UnsupportedError
            If the mean of an angular component is not 0.
        """
        config = cls(**{**serial.options(node, VERSION), "type_one_side": False})
        params = serial.parameters(config, node)
        if np.any(params["davg"][:, :, 1:]):
            raise UnsupportedError(
                "the model's descriptor se_e3 has means of the angular part (davg) that are not 0; "
                "multifit reads models in which they are"
            )
        return config, params


def _upper(k: int) -> np.ndarray:
    """Return the positions of the pairs i ≤ j of k neighbours in a flattened (k, k) array."""
    i, j = np.triu_indices(k)
    return np.asarray(i * k + j, dtype=np.int64)


def _multiplicity(k: int) -> np.ndarray:
    """Return how often each pair of :func:`_upper` counts: once for i = j, else twice."""
    i, j = np.triu_indices(k)
    return np.where(i == j, 1.0, 2.0)


def _unfolded(k: int) -> np.ndarray:
    """Return for each element of a flattened (k, k) array its pair in :func:`_upper`."""
    i, j = np.triu_indices(k)
    place = np.zeros((k, k), dtype=np.int64)
    place[i, j] = place[j, i] = np.arange(i.size)
    return place.ravel()


def _by_vectors(xp: Any, vectors: Array, blocks: Sequence[_Block], by_x: Sequence[Array]) -> Array:
    """Return the derivatives by R̃ (N, 3, P) from those by x (N, T) of each block."""
    parts: dict[int, Array] = {}

    def add(kind: int, part: Array) -> None:
        parts[kind] = parts[kind] + part if kind in parts else part

    for block, bar in zip(blocks, by_x, strict=True):
        (first, second), (k, m) = block.columns, block.sizes
        left, right = vectors[:, :, first], vectors[:, :, second]
        if block.same:
            # x = R̃_j·R̃_k depends on both vectors; on the diagonal, twice on the same one.
            full = xp.take(bar, xp.asarray(_unfolded(k)), axis=1)
            twice = xp.astype(xp.asarray(1.0 + np.eye(k).ravel()), bar.dtype)
            full = xp.reshape(full * twice[None, :], (-1, k, k))
            add(block.b, xp.matmul(left, full))
            continue
        full = xp.reshape(bar, (-1, k, m))
        add(block.b, xp.matmul(right, xp.matrix_transpose(full)))
        add(block.c, xp.matmul(left, full))
    return concat(xp, [parts[kind] for kind in sorted(parts)], axis=2)
