"""A descriptor in a package of its own: sums of trainable Gaussians of the distance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from multifit.descriptors import ForwardDescriptor, Pairs, switch


@dataclass(frozen=True)
class Gaussians(ForwardDescriptor):
    """D_ik = Σ_j w(r_ij) c_bk exp(−η_k² (r_ij − μ_k)²); b is the type of neighbour j."""

    name: ClassVar[str] = "gaussians"
    number: int = 8  #: of Gaussians

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.number

    @classmethod
    def section(cls) -> Any:
        """Return the class of ``model.descriptor`` in ``input.json``."""
        from pydantic import Field

        from multifit.sections import DescriptorSection, Positive

        class GaussiansSection(DescriptorSection):
            """The descriptor gaussians: Gaussians of the distances to the neighbours of an atom."""

            type: Literal["gaussians"] = Field(description="Kind of descriptor.")
            number: Positive = Field(default=8, description="How many Gaussians there are.")
            dim_out = property(lambda self: self.number)

        return GaussiansSection

    @classmethod
    def examples(cls) -> Iterator[Gaussians]:
        """Yield small settings for tests."""
        yield cls(3.6, (30, 40), number=5)

    def init(self, seed: Any) -> dict[str, Any]:
        """Return evenly spaced Gaussians, and random weights."""
        centre = np.linspace(0.2, 0.9, self.number) * self.rcut
        weight = np.random.default_rng(seed).normal(size=(self.ntypes, self.number))
        return {"centre": centre, "width": np.full(self.number, 2.0), "weight": weight}

    def features(self, arithmetic: Any, params: Any, pairs: Pairs) -> Any:
        """Return D, (N, number)."""
        xp = arithmetic.xp
        r = xp.sqrt(xp.sum(pairs.rij * pairs.rij, axis=1) + (1.0 - pairs.mask))  # 1 if empty
        w = switch(xp, r, 0.5 * self.rcut, self.rcut) * pairs.mask
        x = (r[:, :, None] - params["centre"]) * params["width"]
        c = xp.take(params["weight"], pairs.neighbour, axis=0)[None, :, :]
        return xp.sum(w[:, :, None] * c * xp.exp(-(x * x)), axis=1)
