"""Keeping the Chebyshev series of the embedding nets exact, whatever the nets and the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from . import descriptor as dsc
from .backend import Backend
from .tree import Tree

#: Numbers of coefficients to begin with and to give up at (direct evaluation is then as quick).
#: Fewer would do at first, but save next to nothing, and each increase costs a compilation.
FEWEST, MOST = 96, 256

#: The interval reaches to this part of the smallest distance that was seen.
MARGIN = 0.9


@dataclass
class Spectrum:
    """The interval and the number of coefficients, grown when data or nets ask for it.

    Parameters
    ----------
    present
        The pairs of types whose nets are looked at.
    tolerance
        Largest last coefficients, relative to the largest.
    wanted
        Whether what is evaluated takes a series at all: Hessians do not.
    """

    backend: Backend
    config: dsc.SeE2A
    present: set[tuple[int, int]]
    nearest: float  #: distance in Å to which the interval reaches
    tolerance: float = 1e-9  #: forces are then good to about 1e-10 eV/Å
    count: int = FEWEST
    wanted: bool = True
    _arrays: dict[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether the series is exact enough and cheaper than the nets themselves."""
        smooth = self.config.activation_function.lower() in dsc.SMOOTH
        double = self.config.precision == "float64"
        return self.wanted and smooth and double and self.count <= MOST and self.nearest > 0

    def _s_max(self) -> float:
        r = np.array([[self.nearest]])
        return float(dsc.radial(xp, self.config.environment, r)[0, 0])

    def basis(self, nearest: float) -> dict[str, Any] | None:
        """Return the basis for a batch whose closest pair is ``nearest`` Å apart, or None.

        A pair outside the interval is never extrapolated: the interval grows first.
        """
        if nearest < self.nearest:
            before = self._s_max()
            self.nearest = MARGIN * nearest
            self._set(int(np.ceil(self.count * self._s_max() / before)))
        if not self.usable:
            return None
        if not self._arrays:
            host = dsc.chebyshev_basis(self.count, self._s_max())
            self._arrays = {name: self.backend.asarray(x) for name, x in host.items()}
        return self._arrays

    def basis_for(
        self, nearest: float, pairs: Iterable[tuple[int, int]], params: Callable[[], Tree]
    ) -> dict[str, Any] | None:
        """Return the basis for a batch, or None; what is new in the batch is looked at first.

        Parameters
        ----------
        nearest
            The closest pair in Å.
        pairs
            The types of the pairs.
        params
            What returns the nested NumPy arrays; called only if a pair is closer or of new types.
        """
        fresh, closer = set(pairs) - self.present, nearest < self.nearest
        self.present |= fresh
        basis = self.basis(nearest)
        if fresh or closer:
            self.check(params())
            basis = self.basis(self.nearest)
        return basis

    def check(self, params: Tree) -> None:
        """Take more coefficients if the nets (nested NumPy arrays) need them."""
        while self.usable and self._tail(params["descriptor"]) > self.tolerance:
            self._set(self.count + self.count // 2)

    def _set(self, count: int) -> None:
        """Take so many coefficients, in steps of 16 so that compilers meet few shapes."""
        self.count, self._arrays = -(-count // 16) * 16, {}

    def _tail(self, params: Tree) -> float:
        basis = dsc.chebyshev_basis(self.count, self._s_max())
        worst = 0.0
        for a, b in self.present:
            net = params["embeddings"][str(self.config.network_index(a, b))]
            scale = (params["davg"][a, b, 0], params["dstd"][a, b, 0])
            worst = max(worst, dsc.tail(self.config.network, net, basis, scale))
        return worst
