"""Plans for embedding nets of one variable: Chebyshev series, accurate for any nets and data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import array_api_compat.numpy as xp
import numpy as np

from .. import precision as prec
from ..backend import Backend
from ..errors import ConfigError, UnsupportedError, did_you_mean
from ..tree import Tree, map_leaves
from ._chebyshev import BOTH, SMOOTH, chebyshev_basis, of_both_zones
from ._coefficients import series_kinds, tails, with_coefficients
from ._environment import radial
from ._protocol import EMBEDDINGS, Plan

if TYPE_CHECKING:
    from ._radial import RadialDescriptor

#: Fraction of the cutoff below which a pair is near. Few pairs are, and they need many more
#: coefficients than the others: they have a separate series, and separate columns of tables.
INNER = 0.35

#: Initial numbers of coefficients, for near pairs and for the others, and the maximum
#: (beyond which direct evaluation is as fast).
FEWEST, MOST = {"near": 40, "far": 24}, 264

#: Numbers of coefficients are 8 more than a multiple of this: rows of 512 or 1024 bytes map
#: to the same lines of a cache, which makes 64 coefficients slower than 72.
STEP = 16

#: Increment in the search for the required number of coefficients.
FINER = 4

#: Factor on the required number of coefficients for nets to be trained, and the
#: STEP there: each increase costs a compilation of every shape.
HEADROOM, STRIDE = 1.5, 48

#: The interval starts at this fraction of the smallest distance encountered.
MARGIN = 0.9

#: Spacing in Å of the possible ends of intervals: few frames change one.
GRID = 0.25

#: Largest last coefficients, relative to the largest, of nets in each precision. A net in float32
#: is evaluated in float64 for its series; other precisions do not pay off.
TOLERANCES = {"float64": 1e-12, "float32": 1e-7}


def _tolerance(config: RadialDescriptor) -> float | None:
    smooth = config.activation_function.lower() in SMOOTH
    return TOLERANCES.get(prec.canonical(config.precision)) if smooth else None


def series_planner(
    config: RadialDescriptor,
    backend: Backend,
    embedding: str = "auto",
    *,
    enabled: bool = True,
    train: bool = False,
    kind: Callable[..., SeriesPlanner] | None = None,
) -> SeriesPlanner:
    """Return a planner of series, as :meth:`~multifit.descriptors.Descriptor.planner` does.

    Parameters
    ----------
    kind
        Makes the planner; by default, its class.

    Raises
    ------
    ConfigError
        If ``embedding`` is not one of :data:`EMBEDDINGS`.
    UnsupportedError
        If it is ``spectral``, and these nets do not allow a series.
    """
    if embedding not in EMBEDDINGS:
        raise ConfigError(
            f"embedding is {embedding!r}{did_you_mean(str(embedding), EMBEDDINGS)}; choose one of "
            f"{', '.join(EMBEDDINGS)}"
        )
    if embedding == "spectral" and _tolerance(config) is None:
        raise UnsupportedError(
            "embedding 'spectral' needs a smooth activation function and nets in "
            f"{' or '.join(TOLERANCES)}, but the model has {config.activation_function} in "
            f"{config.precision}; choose 'auto' or 'direct'"
        )
    return (kind or SeriesPlanner)(
        backend,
        config,
        wanted=enabled and embedding != "direct",
        demanded=embedding == "spectral" and not train,
        headroom=HEADROOM if train else 1.0,
        step=STRIDE if train else STEP,
    )


def _common(
    start: np.ndarray | None,
    reach: np.ndarray,
    near: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return intervals of s that are one interval of R̃₀ for all types of centres.

    Parameters
    ----------
    start, reach
        The interval of s of each pair of types, (ntypes, ntypes); from 0 without ``start``, where
        empty slots of all types are.
    near
        True for the pairs of types that have near pairs: the others do not count there.
    mean, deviation
        μ and σ of R₀, (ntypes, ntypes).
    """
    first = ((0.0 if start is None else start) - mean) / deviation
    last = (reach - mean) / deviation
    if start is not None:
        counts = near | ~near.any(axis=0)
        first, last = np.where(counts, first, np.inf), np.where(counts, last, -np.inf)
    low, high = first.min(axis=0), last.max(axis=0)
    return mean + deviation * low, mean + deviation * high


@dataclass
class SeriesPlanner:
    """The intervals and the number of coefficients, extended when data or nets require it.

    Parameters
    ----------
    wanted
        False for no series: Hessians are evaluated without.
    demanded
        True if nets without a series are an error.
    headroom, step
        Factor on the required number of coefficients whenever it grows, and the
        increment by which it grows.
    """

    backend: Backend
    config: RadialDescriptor
    counts: dict[str, int] = field(default_factory=FEWEST.copy)
    wanted: bool = True
    demanded: bool = False
    headroom: float = 1.0
    step: int = STEP
    _plan: Plan | None = None

    def __post_init__(self) -> None:
        """Start without pairs."""
        #: Å to which the intervals reach; ∞ for types not encountered, (ntypes, ntypes).
        self.nearest = np.full((len(self.config.sel),) * 2, np.inf)
        #: μ and σ of R₀, (ntypes, ntypes), if intervals are common to all types of centres.
        self._scaling: tuple[np.ndarray, np.ndarray] | None = None
        needs = self.config.requires()
        possible = needs.mixes(len(self.config.sel)) and not self.config.has_mixed_series
        #: Says if neighbours of so many types have no series; None if any number has.
        self._too_many = needs.mixes if possible else None
        self._renew()

    @property
    def tolerance(self) -> float | None:
        """Largest last coefficients, relative to the largest; None if no series is possible."""
        return _tolerance(self.config)

    @property
    def usable(self) -> bool:
        """True if the series is accurate enough and cheaper than the nets themselves."""
        few = max(self.counts.values()) <= MOST
        known = self._scaling is not None or not self.config.common_scale
        possible = self.wanted and few and known and self.tolerance is not None
        return possible and bool((self.nearest > 0).all())

    @property
    def plan(self) -> Plan | None:
        """The current series, or None; any change gives a new object."""
        return self._plan

    def _host(self, zone: str, count: int) -> dict[str, np.ndarray]:
        """Return the basis for near pairs, or for the others, as NumPy arrays."""
        config = self.config
        edge = np.full_like(self.nearest, INNER * config.rcut)
        r = np.minimum(self.nearest, MARGIN * config.rcut)
        start: np.ndarray | None = None
        if zone == "far":  # a little nearer, for rounding
            reach = self._radial(np.maximum(r, edge * (1.0 - 1e-9)))
        else:
            # Types without near pairs have only empty slots there, at arbitrary places.
            reach = self._radial(np.where(r < edge, r, MARGIN * edge))
            start = self._radial(edge * (1.0 + 1e-9))
        if self._scaling is not None:
            start, reach = _common(start, reach, r < edge, *self._scaling)
        return chebyshev_basis(count, reach, start)

    def _radial(self, r: np.ndarray) -> np.ndarray:
        return np.asarray(radial(xp, self.config.environment, r))

    def _renew(self) -> None:
        """Make the basis for the current intervals and numbers."""
        if not self.usable:
            self._plan = None
            return
        host = {zone: self._host(zone, count) for zone, count in self.counts.items()}
        self._plan = self._on_device({**host, BOTH: of_both_zones(list(host.values()))})

    def _on_device(self, host: Tree) -> Plan:
        return Plan(host, map_leaves(self.backend.asarray, host))

    def fixed(self, plan: Plan, params: Tree) -> Plan:
        """Return the plan with the coefficients of all series (nested NumPy arrays)."""
        return self._on_device(with_coefficients(self.config, params["descriptor"], plan.host))

    def plan_for(self, nearest: np.ndarray, params: Callable[[], Tree]) -> Plan | None:
        """Return the basis for a batch, or None, after extending it for the batch.

        A pair outside an interval is never extrapolated: the interval is extended.

        Parameters
        ----------
        nearest
            The smallest distance of each pair of types in Å, ∞ for none, (ntypes, ntypes).
        params
            Returns the nested NumPy arrays; called only for closer pairs or new types.
        """
        many = self._are_too_many(nearest)
        if not (many or self.covers(nearest)):
            self.include(nearest)
            self.refine(params())
        if self.demanded and (many or self._plan is None):
            why = (
                "neighbours of so many types have no series"
                if many
                else "the embedding nets vary too quickly with the distance for a series"
            )
            raise UnsupportedError(f"embedding 'spectral': {why}; choose 'auto' or 'direct'")
        return None if many else self._plan

    def covers(self, nearest: np.ndarray) -> bool:
        """Return True if the intervals contain pairs of these distances in Å, (ntypes, ntypes)."""
        return self._are_too_many(nearest) or not (nearest < self.nearest).any()

    def _are_too_many(self, nearest: np.ndarray) -> bool:
        number = int(np.isfinite(nearest).any(axis=0).sum())
        return self._too_many is not None and self._too_many(number)

    def include(self, nearest: np.ndarray) -> None:
        """Extend the intervals to pairs of these distances in Å, (ntypes, ntypes), and closer ones.

        Nets of new types are not checked here but in :meth:`refine`.
        """
        reach = MARGIN * nearest
        with np.errstate(invalid="ignore"):
            reach = np.where(reach >= GRID, GRID * np.floor(reach / GRID), reach)
        self.nearest = np.where(nearest < self.nearest, reach, self.nearest)
        self._renew()

    def refine(self, params: Tree) -> None:
        """Add coefficients if the nets (nested NumPy arrays) need them.

        If one zone needs more, the other gets its headroom, too, to compile only once.
        """
        if self.config.common_scale and self._scaling is None:
            own = params["descriptor"]
            self._scaling = own["davg"][:, :, 0], own["dstd"][:, :, 0]
            self._renew()
        if not self.usable:
            return
        enough = {zone: self._holds(params, zone, count) for zone, count in self.counts.items()}
        if all(enough.values()):
            return
        for zone, count in self.counts.items():
            needed = FINER if enough[zone] else count
            while needed <= MOST and not self._holds(params, zone, needed):
                needed += FINER
            self.counts[zone] = max(self.counts[zone], self._enlarged(zone, needed))
        self._renew()

    def _holds(self, params: Tree, zone: str, count: int) -> bool:
        """Return True if this number of coefficients is enough."""
        tolerance = self.tolerance
        return tolerance is None or self._tail(params, zone, count) <= tolerance

    def _tail(self, params: Tree, zone: str, count: int) -> float:
        """Return the largest last coefficients of the nets, relative to their largest."""
        basis, worst, config = self._host(zone, count), 0.0, self.config
        own = params["descriptor"]
        within = INNER * config.rcut if zone == "near" else np.inf
        found: dict[int, list[int]] = {}
        for a, b in np.argwhere(self.nearest < within).tolist():
            # Excluded pairs do not count, but their empty slots at s = 0 do.
            if config.sel[b] and not (zone == "near" and (a, b) in config.excluded):
                found.setdefault(b, []).append(a)
        for b, kinds in found.items():
            last = tails(config, own, basis, series_kinds(config, kinds), [b])
            worst = max(worst, float(last.max()))
        return worst

    def _enlarged(self, zone: str, needed: int) -> int:
        """Return a number of coefficients with headroom; unusable ones are unchanged."""
        if needed > MOST:
            return needed
        steps = math.ceil((needed * self.headroom - FEWEST[zone]) / self.step)
        return min(FEWEST[zone] + max(steps, 0) * self.step, MOST)

    def state(self) -> dict[str, Any]:
        """Return the state for resuming a run: numbers and lists, −1 for types not encountered."""
        nearest = np.where(np.isfinite(self.nearest), self.nearest, -1.0)
        return {"nearest": nearest.tolist(), "counts": dict(self.counts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a :meth:`state`; ignore that of another kind of run."""
        nearest, counts = np.asarray(state["nearest"], dtype=np.float64), state.get("counts", {})
        if nearest.shape != self.nearest.shape or counts.keys() != self.counts.keys():
            return
        self.nearest = np.minimum(self.nearest, np.where(nearest >= 0, nearest, np.inf))
        self.counts = {z: max(n, min(int(counts[z]), MOST)) for z, n in self.counts.items()}
        self._renew()


class NoPlan:
    """The planner of a descriptor evaluated without a plan."""

    plan: Plan | None = None

    def covers(self, nearest: np.ndarray) -> bool:
        """Return True: there are no limits."""
        return True

    def include(self, nearest: np.ndarray) -> None:
        """Do nothing."""

    def refine(self, params: Tree) -> None:
        """Do nothing."""

    def plan_for(self, nearest: np.ndarray, params: Callable[[], Tree]) -> Plan | None:
        """Return None."""
        return None

    def fixed(self, plan: Plan, params: Tree) -> Plan:
        """Return the plan."""
        return plan

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""
