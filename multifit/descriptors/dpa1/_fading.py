r"""The embedding net of a smooth strip model as a Chebyshev series, without attention.

The row of a neighbour of type b is N(R̃₀) ⊙ (1 + w F_ab) with F = N^t(t_b[, t_a]), so that

.. math::

   T = A\,C + \sum_b (B_b\,C) \odot F_{ab}, \quad
   A = \sum_j \tilde R_j \otimes T(x_j), \quad B_b = \sum_{j \in b} w_j \tilde R_j \otimes T(x_j),

with the coefficients C of the one net N, on one interval of R̃₀ for all pairs of types. With
Ā = T̄ Cᵀ, B̄ = (T̄ ⊙ F) Cᵀ and the matrix D that differentiates a series,

.. math::

   \bar{\tilde R} = (\bar A + w \bar B)\,T, \quad \bar w = \tilde R \cdot \bar B\,T, \quad
   \bar x = \tilde R \cdot (\bar A + w \bar B) D^{\mathsf T} T .

Near pairs have a series of their own, as in :mod:`.._planner`. Source: :mod:`.._chebyshev`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import array_api_compat.numpy as np_xp
import numpy as np

from ...batching.types import Table
from ...nn.networks import Network, apply_network
from ...tree import Tree
from .._chebyshev import chebyshev
from .._coefficients import KNOWN, in_double, tail_of
from .._planner import INNER, MARGIN, SeriesPlanner
from .._protocol import Plan
from .._tables import ZONES, blocks, concat
from ._series import Pairwise, statistics

if TYPE_CHECKING:
    from .._radial import RadialDescriptor
    from ._descriptor import SeAtten

Array = Any


def is_fading(config: SeAtten) -> bool:
    """Return True if the rows are N(R̃₀) times a factor that fades out with the switch."""
    return config.strips and config.is_smooth and not config.attn_layer


@dataclass(frozen=True)
class OneNet(Pairwise):
    """The settings of se_e2_a with the one net of a strip model for all pairs of types."""

    @property
    def common_scale(self) -> bool:
        """True: there is one interval of R̃₀."""
        return True

    def _network(self, precision: str) -> Network:
        return Network(tuple(replace(layer, precision=precision) for layer in self.hidden))


@dataclass
class OnePlanner(SeriesPlanner):
    """A planner of the series of one net, on one interval of R̃₀."""

    def refine(self, params: Tree) -> None:
        """Add coefficients if the net needs them."""
        own = params["descriptor"]
        super().refine({"descriptor": {**own, **statistics(np_xp, own)}})

    def fixed(self, plan: Plan, params: Tree) -> Plan:
        """Return the plan with the coefficients."""
        config, own = self.config, params["descriptor"]
        known = {}
        for zone in self.counts:
            value, slope = coefficients(np_xp, config, own, plan.host, zone)
            known[zone] = {"value": value, "slope": slope}
        return self._on_device({**plan.host, KNOWN: known})

    def state(self) -> dict[str, Any]:
        """Return the state for resuming a run, with the scaling that makes R̃₀ of s."""
        found = super().state()
        if self._scaling is not None:
            found["scaling"] = [x.tolist() for x in self._scaling]
        return found

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a :meth:`state`."""
        given = [np.asarray(x, dtype=np.float64) for x in state.get("scaling", ())]
        if len(given) == 2 and all(x.shape == self.nearest.shape for x in given):
            self._scaling = given[0], given[1]
        super().restore(state)

    def _host(self, zone: str, count: int) -> dict[str, np.ndarray]:
        """Return nodes, matrices and the interval of R̃₀, from those of all pairs of types."""
        assert self._scaling is not None
        mean, deviation = self._scaling
        found = super()._host(zone, count)
        rcut = self.config.rcut
        near = np.minimum(self.nearest, MARGIN * rcut) < INNER * rcut
        counts = near if zone == "near" and near.any() else np.ones_like(near)
        ends = {
            "low": ((found["start"] - mean) / deviation)[counts].min(),
            "high": ((found["reach"] - mean) / deviation)[counts].max(),
        }
        kept = {key: found[key] for key in ("nodes", "transform", "derivative")}
        return {**kept, **{key: np.array([x]) for key, x in ends.items()}}

    def _tail(self, params: Tree, zone: str, count: int) -> float:
        """Return the largest last coefficients of the net, relative to its largest."""
        basis = {zone: self._host(zone, count)}
        series, _ = coefficients(np_xp, self.config, params["descriptor"], basis, zone)
        return float(tail_of(series))


def coefficients(
    xp: Any, config: RadialDescriptor, params: Tree, plan: Tree, zone: str
) -> tuple[Array, Array]:
    """Return C and D C, (K, M), float64; those of the plan, if it has them."""
    if KNOWN in plan:
        return plan[KNOWN][zone]["value"], plan[KNOWN][zone]["slope"]
    own = plan[zone]
    x = own["low"] + 0.5 * (own["nodes"] + 1.0) * (own["high"] - own["low"])
    net = in_double(xp, params["embeddings"])["0"]
    values, _ = apply_network(xp, config.double_network, net, xp.reshape(x, (-1, 1)))
    c = xp.matmul(own["transform"], values)
    return c, xp.matmul(own["derivative"], c)


def moments(
    xp: Any, made: Tree, tables: Mapping[str, Table], plan: Tree
) -> dict[str, dict[str, Tree]]:
    """Return T(x) (N, K, k) and (A, B) (N, 8, K) of each type of neighbours in each zone.

    Parameters
    ----------
    made
        From :func:`._geometry.geometry`.
    """
    both = xp.concat([made["rows"], made["rows"] * made["switch"][:, None, :]], axis=1)
    places: dict[str, list[tuple[int, slice]]] = {zone: [] for zone in ZONES}
    for block in blocks(tables, alone=True):
        if block.width:
            places[block.zone].append((block.neighbours[0], slice(*block.columns[0])))
    found: dict[str, dict[str, Tree]] = {}
    for zone, parts in places.items():
        if not parts:
            continue
        cheb, begin = _polynomials(xp, made, plan[zone], [here for _, here in parts]), 0
        for b, here in parts:
            end = begin + (here.stop - here.start)
            own = cheb[:, :, begin:end]
            sums = xp.matmul(both[:, :, here], xp.matrix_transpose(own))
            found.setdefault(str(b), {})[zone] = {"cheb": own, "sums": sums}
            begin = end
    return found


def _polynomials(xp: Any, made: Tree, own: Tree, columns: list[slice]) -> Array:
    """Return T(x) of some columns of a zone, (N, K, k): in one go, which compiles quickly."""
    first, present = made["rows"][:, 0, :], made["present"]
    s, mask = (concat(xp, [x[:, here] for here in columns], axis=1) for x in (first, present))
    x = 2.0 * (s - own["low"]) / (own["high"] - own["low"]) - 1.0
    # The columns without a pair have no place in the interval of near pairs.
    return chebyshev(xp, x * mask, own["nodes"].shape[0])


def apply(
    xp: Any, config: Pairwise, params: Tree, known: Tree, plan: Tree, factors: Array
) -> tuple[Array, Callable[[Array], dict[str, Array]]]:
    """Return T (N, 4, M), and the pullback to R̃ and w.

    Parameters
    ----------
    known
        The geometry, with :func:`moments` as ``fading``.
    factors
        F of each atom and type of neighbours, (N, nb, M), float64.
    """
    kinds = sorted(map(int, known["fading"]))
    entries = [
        (k, zone, known["fading"][str(b)][zone])
        for k, b in enumerate(kinds)
        for zone in ZONES
        if zone in known["fading"][str(b)]
    ]
    zones = sorted({zone for _, zone, _ in entries})
    series = {zone: coefficients(xp, config, params, plan, zone) for zone in zones}
    parts = []
    for k, zone, entry in entries:
        both = xp.matmul(entry["sums"], series[zone][0])
        parts.append(both[:, :4, :] + both[:, 4:, :] * factors[:, k, None, :])
    t = sum(parts[1:], parts[0])

    def pullback(bar: Array) -> dict[str, Array]:
        n, found = bar.shape[0], []
        for k, zone, entry in entries:
            both = xp.concat([bar, bar * factors[:, k, None, :]], axis=1)
            joined = xp.matrix_transpose(xp.concat(series[zone], axis=0))  # (M, 2K)
            rows = xp.reshape(xp.matmul(both, joined), (n, 16, -1))
            # Ā T, Ā Dᵀ T, … by turns: four of A, then four of B.
            y = xp.reshape(xp.matmul(rows, entry["cheb"]), (n, 8, 2, -1))
            scale = 2.0 / (plan[zone]["high"] - plan[zone]["low"])
            y = xp.concat([y[:, :, 0, :], y[:, :, 1, :] * scale], axis=1)
            found.append(y)
        y = concat(xp, found, axis=2)
        w = known["switch"][:, None, :]
        rows_bar = y[:, :4, :] + w * y[:, 4:8, :]
        inner = xp.sum(known["rows"] * (y[:, 8:12, :] + w * y[:, 12:, :]), axis=1)
        return {
            "rows": xp.concat([rows_bar[:, :1, :] + inner[:, None, :], rows_bar[:, 1:, :]], axis=1),
            "switch": xp.sum(known["rows"] * y[:, 4:8, :], axis=1),
        }

    return t, pullback
