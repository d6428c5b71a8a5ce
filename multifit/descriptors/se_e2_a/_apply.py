"""Descriptors of all atoms of a batch, and their pullback to the pair vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backend import Rules
from ...batching.types import MIXED
from ...tree import Tree
from .._environment import to_vectors
from ._direct import direct
from ._mixed import mixed
from ._series import series

if TYPE_CHECKING:
    from ._descriptor import SeE2A

Array = Any


def apply(
    xp: Any,
    config: SeE2A,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    basis: Tree | None = None,
    rules: Rules | None = None,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the descriptors of N atoms sorted by type, and their pullback.

    Parameters
    ----------
    counts
        Type of the centres → their number, as in :func:`multifit.descriptors.geometry`.
    known
        The result of that function.
    basis
        ``near`` and ``far`` from :func:`.._chebyshev.chebyshev_basis`, as arrays of xp: the
        embedding nets are then evaluated at their nodes and interpolated; without it, at every
        pair.
    rules
        From :func:`multifit.nn.stacking.rules_of`.

    Returns
    -------
    D
        (N, M·axis_neuron).
    pullback
        D̄ → ∂/∂r_ij (N, 3, Σk), for the tables as in :func:`multifit.descriptors.join`.
    """
    if MIXED in known:
        t, embed_pullback = mixed(xp, config, params, basis, counts, known, rules)
    elif basis is None:
        t, embed_pullback = direct(xp, config, params, counts, known)
    else:
        t, embed_pullback = series(xp, config, params, basis, counts, known)
    d, pull = _contract(xp, config, t)

    def pullback(d_bar: Array) -> Array:
        return to_vectors(xp, known["factors"], *embed_pullback(pull(d_bar)))

    return d, pullback


def _contract(xp: Any, config: SeE2A, t: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return D (n, M·m) from Σ_j R̃ ⊗ G (n, 4, M), and its pullback."""
    n, _, width = t.shape
    m, share = config.axis_neuron, 1.0 / config.nnei
    t = t * share
    head = t[:, :, :m]
    d = xp.reshape(xp.matmul(xp.matrix_transpose(t), head), (n, width * m))

    def pullback(d_bar: Array) -> Array:
        d_bar = xp.astype(xp.reshape(d_bar, (n, width, m)), t.dtype, copy=False)
        t_bar = xp.matmul(share * head, xp.matrix_transpose(d_bar))
        first = xp.matmul(share * t, d_bar)
        if isinstance(t_bar, np.ndarray):
            t_bar[:, :, :m] += first
            return t_bar
        first = t_bar[:, :, :m] + first
        return xp.concat([first, t_bar[:, :, m:]], axis=2)

    return d, pullback
