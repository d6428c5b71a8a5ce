r"""What pairs and angles are at the start: switches, the environment and cosines.

.. math::

   R_{ij} = w_{ij}\Big(\frac{1}{r+p},\; \frac{\mathbf r}{(r+p)^2}\Big), \quad
   \tilde R = (R - \mu_a)/\sigma_a, \quad
   c_{ijk} = (1 - 10^{-6})\, \hat{\mathbf u}_j \cdot \hat{\mathbf u}_k / \sqrt\pi, \quad
   \hat{\mathbf u} = \frac{\mathbf r}{r + 10^{-6}},

where w is the quintic switch, or with ``use_exp_switch``

.. math:: w(r) = \exp\!\big({-}\exp(20\,(r - r_s)/r_s)\big), \quad r \le r_c .

Pairs are the ``e_sel`` nearest neighbours; angles are between the first ``a_sel`` of them, as far
as they are nearer than ``a_rcut``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import precision as prec
from ...batching.types import ORDERED
from ...tree import Tree
from .._environment import switch
from .._tables import seen_kinds

if TYPE_CHECKING:
    from ._descriptor import Dpa3

Array = Any

#: What layers use of the pairs, of the result of :func:`pairs_of`.
PAIRS = ("rij", "index", "mask", "inner", "scale", "shift")

#: Protection of unit vectors, Å, and of cosines from ±1.
SMALL = 1e-6


class Graph(NamedTuple):
    """Pairs and angles of N atoms with up to E neighbours, up to A of them in angles."""

    radial: Array  #: R̃₀, or r in Å with ``edge_init_use_dist``, (N, E)
    switch: Array  #: w, 0 for absent pairs, (N, E)
    frame: Array  #: w h, where h is the angular part of R̃, (N, 3, E)
    inner: Array  #: 1 for neighbours in angles, (N, A)
    fading: Array  #: the switch of angles, 0 for absent ones, (N, A)
    cosine: Array  #: c, (N, A, A)


def pairs_of(xp: Any, config: Dpa3, params: Tree, atype: Array, tables: Mapping[str, Any]) -> Tree:
    """Return the pairs of a batch, and the masks that select those of the descriptor."""
    table = tables[ORDERED]
    mask, kind = table["mask"], table["kind"]
    visible = seen_kinds(xp, config.excluded, config.ntypes, atype, kind)
    if visible is not None:
        mask = mask * visible
    width = table["shells"]["0"].shape[0] if config.update_angle else 0
    near = table["rij"][:, :, :width]
    squared = xp.sum(near * near, axis=1)
    inner = xp.astype(squared < config.a_rcut * config.a_rcut, mask.dtype) * mask[:, :width]
    scale = xp.take(1.0 / params["dstd"], atype, axis=0)
    shift = xp.take(params["davg"] / params["dstd"], atype, axis=0)
    return {
        "rij": table["rij"],
        "index": table["index"],
        "mask": mask,
        "inner": inner,
        "scale": scale,
        "shift": shift,
        "centre": atype,
    }


def graph(xp: Any, config: Dpa3, known: Tree, rij: Array) -> Graph:
    """Return the start of pairs and angles.

    Parameters
    ----------
    known
        The result of :func:`pairs_of`.
    rij
        Pair vectors in Å, (N, 3, E).
    """
    mask, inner = known["mask"], known["inner"]
    width = inner.shape[1]
    # An absent pair gets the length 1, so that nothing divides by zero.
    r = xp.sqrt(xp.sum(rij * rij, axis=1) * mask + (1.0 - mask))
    w = _switch(xp, config, r, config.e_rcut_smth, config.e_rcut) * mask
    q = 1.0 / (r + config.env_protection)
    scale, shift = known["scale"], known["shift"]
    radial = r * mask
    if not config.edge_init_use_dist:
        radial = w * q * scale[:, 0:1] - shift[:, 0:1]
    h = rij * (w * q * q)[:, None, :] * scale[:, 1:, None] - shift[:, 1:, None]
    fading, cosine = _angles(xp, config, rij[:, :, :width], r[:, :width], inner)

    def cast(x: Array) -> Array:
        return prec.cast(xp, x, config.precision)

    return Graph(
        radial=cast(radial),
        switch=cast(w),
        frame=cast(h * w[:, None, :]),
        inner=cast(inner),
        fading=cast(fading),
        cosine=cast(cosine),
    )


def _angles(xp: Any, config: Dpa3, rij: Array, r: Array, inner: Array) -> tuple[Array, Array]:
    """Return the switch of angles (N, A), and the cosines (N, A, A)."""
    fading = _switch(xp, config, r, config.a_rcut_smth, config.a_rcut) * inner
    unit = rij * (inner / (r + SMALL))[:, None, :]
    cosine = xp.matmul(xp.matrix_transpose(unit), unit)
    return fading, cosine * ((1.0 - SMALL) / math.sqrt(math.pi))


def _switch(xp: Any, config: Dpa3, r: Array, start: float, end: float) -> Array:
    """Return w(r)."""
    if not config.use_exp_switch:
        return switch(xp, r, start, end)
    return xp.exp(-xp.exp((20.0 / start) * (xp.minimum(r, xp.full_like(r, end)) - start)))
