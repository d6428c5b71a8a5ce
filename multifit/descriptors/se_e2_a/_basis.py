"""Keeping the Chebyshev series of the embedding nets exact, whatever the nets and the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import array_api_compat.numpy as xp
import numpy as np

from ... import descriptors as dsc
from ... import precision as prec
from ...backend import Backend
from ...errors import ConfigError, UnsupportedError, did_you_mean
from ...neighbors.frame import NEAR
from ...tree import Tree, map_leaves

#: How embedding nets are evaluated: by series where they are exact, only so, or at every pair.
EMBEDDINGS = ("auto", "spectral", "direct")

#: Numbers of coefficients to begin with, for near pairs and for the others, and to give up at
#: (direct evaluation is then as quick).
FEWEST, MOST = {"near": 40, "far": 24}, 264

#: Numbers of coefficients are 8 more than a multiple of this: rows of 512 bytes, or of 1024, fall
#: onto the same lines of a cache, which makes 64 coefficients slower than 72.
STEP = 16

#: Steps in which it is looked how many coefficients are needed.
FINER = 4

#: How many times the coefficients that nets need are taken where nets will be trained on, and the
#: STEP there: each increase costs a compilation of every shape.
HEADROOM, STRIDE = 1.5, 48

#: The interval reaches to this part of the smallest distance that was seen.
MARGIN = 0.9

#: Å between the distances at which intervals can end: few frames change one.
GRID = 0.25

#: Largest last coefficients, relative to the largest, of nets in each precision. A net in float32
#: is evaluated in float64 where its series is made; the others are not worth one.
TOLERANCES = {"float64": 1e-12, "float32": 1e-7}


def takes_series(embedding: str, config: dsc.SeE2A) -> bool:
    """Return whether one of :data:`EMBEDDINGS` asks for series (``Spectrum.wanted``).

    Raises
    ------
    ConfigError
        If it is none of them.
    UnsupportedError
        If it is ``spectral``, and there can be no series for these nets.
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
    return embedding != "direct"


def _tolerance(config: dsc.SeE2A) -> float | None:
    smooth = config.activation_function.lower() in dsc.SMOOTH
    return TOLERANCES.get(prec.canonical(config.precision)) if smooth else None


class Basis(NamedTuple):
    """Nodes, matrices and intervals of the series of near pairs and of the others."""

    host: Tree  #: NumPy arrays
    device: Tree  #: the same, of the backend


@dataclass
class Spectrum:
    """The intervals and the number of coefficients, grown when data or nets ask for it.

    Parameters
    ----------
    wanted
        Whether what is evaluated takes a series at all: Hessians do not.
    headroom, step
        How many times the coefficients that are needed are taken when there are to be more, and
        by how many their number grows.
    """

    backend: Backend
    config: dsc.SeE2A
    counts: dict[str, int] = field(default_factory=FEWEST.copy)
    wanted: bool = True
    headroom: float = 1.0
    step: int = STEP
    _basis: Basis | None = None

    def __post_init__(self) -> None:
        """Begin without pairs."""
        #: Å to which the intervals reach; ∞ for types that were not met, (ntypes, ntypes).
        self.nearest = np.full((self.config.ntypes,) * 2, np.inf)
        self._renew()

    @property
    def tolerance(self) -> float | None:
        """Largest last coefficients, relative to the largest; None if there can be no series."""
        return _tolerance(self.config)

    @property
    def usable(self) -> bool:
        """Whether the series is exact enough and cheaper than the nets themselves."""
        few = max(self.counts.values()) <= MOST
        return self.wanted and few and self.tolerance is not None and bool((self.nearest > 0).all())

    @property
    def basis(self) -> Basis | None:
        """The series as it is now, or None; another object whenever anything of it changes."""
        return self._basis

    def _host(self, zone: str, count: int) -> dict[str, np.ndarray]:
        """Return the basis for near pairs, or for the others, as NumPy arrays."""
        config = self.config
        edge = np.full_like(self.nearest, NEAR * config.rcut)
        r = np.minimum(self.nearest, MARGIN * config.rcut)
        if zone == "far":  # a little nearer, for rounding
            return dsc.chebyshev_basis(count, self._radial(np.maximum(r, edge * (1.0 - 1e-9))))
        # Types without near pairs have only empty slots there, whose place does not matter.
        r = np.where(r < edge, r, MARGIN * edge)
        return dsc.chebyshev_basis(count, self._radial(r), self._radial(edge * (1.0 + 1e-9)))

    def _radial(self, r: np.ndarray) -> np.ndarray:
        return np.asarray(dsc.radial(xp, self.config.environment, r))

    def _renew(self) -> None:
        """Make the basis for the intervals and numbers as they are."""
        if not self.usable:
            self._basis = None
            return
        host = {zone: self._host(zone, count) for zone, count in self.counts.items()}
        self._basis = Basis(host, map_leaves(self.backend.asarray, host))

    def basis_for(self, nearest: np.ndarray, params: Callable[[], Tree]) -> Basis | None:
        """Return the basis for a batch, or None; what is new in the batch is looked at first.

        A pair outside an interval is never extrapolated: the interval grows.

        Parameters
        ----------
        nearest
            The smallest distance of each pair of types in Å, ∞ for none, (ntypes, ntypes).
        params
            What returns the nested NumPy arrays; called only if a pair is closer or of new types.
        """
        if not self.holds(nearest):
            self.include(nearest)
            self.check(params())
        return self._basis

    def holds(self, nearest: np.ndarray) -> bool:
        """Return whether pairs of these distances in Å, (ntypes, ntypes), are in the intervals."""
        return not (nearest < self.nearest).any()

    def include(self, nearest: np.ndarray) -> None:
        """Let the intervals hold pairs of these distances in Å, (ntypes, ntypes), and closer ones.

        Nets of types that are new have yet to be looked at (:meth:`check`).
        """
        reach = MARGIN * nearest
        with np.errstate(invalid="ignore"):
            reach = np.where(reach >= GRID, GRID * np.floor(reach / GRID), reach)
        self.nearest = np.where(nearest < self.nearest, reach, self.nearest)
        self._renew()

    def check(self, params: Tree) -> None:
        """Take more coefficients if the nets (nested NumPy arrays) need them.

        Where one zone does, the other gets its headroom, too: what compiles does so once.
        """
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
        """Return whether so many coefficients are enough."""
        tolerance = self.tolerance
        return tolerance is None or self._tail(params, zone, count) <= tolerance

    def _tail(self, params: Tree, zone: str, count: int) -> float:
        """Return the largest last coefficients of the nets, relative to their largest."""
        basis, worst, own = self._host(zone, count), 0.0, params["descriptor"]
        within = NEAR * self.config.rcut if zone == "near" else np.inf
        for a, b in np.argwhere(self.nearest < within).tolist():
            # Excluded pairs count for nothing, but their empty slots at s = 0 do.
            if not self.config.sel[b] or (zone == "near" and (a, b) in self.config.excluded):
                continue
            net = own["embeddings"][str(self.config.network_index(a, b))]
            scale = dsc.scale_of(basis, own, a, b)
            worst = max(worst, dsc.tail(self.config.double_network, net, basis, scale))
        return worst

    def _enlarged(self, zone: str, needed: int) -> int:
        """Return a number of coefficients with that headroom; unusable ones stay so."""
        if needed > MOST:
            return needed
        steps = math.ceil((needed * self.headroom - FEWEST[zone]) / self.step)
        return min(FEWEST[zone] + max(steps, 0) * self.step, MOST)

    def state(self) -> dict[str, Any]:
        """Return what a run that goes on needs: numbers and lists, with −1 for types not met."""
        nearest = np.where(np.isfinite(self.nearest), self.nearest, -1.0)
        return {"nearest": nearest.tolist(), "counts": dict(self.counts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned; leave it if it is of another kind of run."""
        nearest, counts = np.asarray(state["nearest"], dtype=np.float64), state.get("counts", {})
        if nearest.shape != self.nearest.shape or counts.keys() != self.counts.keys():
            return
        self.nearest = np.minimum(self.nearest, np.where(nearest >= 0, nearest, np.inf))
        self.counts = {z: max(n, min(int(counts[z]), MOST)) for z, n in self.counts.items()}
        self._renew()
