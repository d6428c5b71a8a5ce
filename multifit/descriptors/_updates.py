r"""How a layer combines a feature y with its updates y₁ … y_m.

.. math::

   \frac{y + \sum_k y_k}{\sqrt{m+1}} \ (\texttt{res\_avg}), \qquad
   y + \frac{\sum_k y_k}{\sqrt m} \ (\texttt{res\_incr}), \qquad
   y + \sum_k \rho_k \odot y_k \ (\texttt{res\_residual}),

with trained vectors ρ_k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import FileFormatError
from ..files import items, mapping, parameter
from ..nn.networks import Seed
from ..rules import NUMBER, Range, Ranges
from ..tree import Tree, numbered_values

Array = Any


class Combines(Protocol):
    """Settings of layers that combine features with updates."""

    @property
    def update_style(self) -> str:
        """One of ``res_avg``, ``res_incr`` and ``res_residual``."""

    @property
    def update_residual(self) -> float:
        """Initial number in ρ, or the standard deviation of random ones."""

    @property
    def update_residual_init(self) -> str:
        """One of ``norm`` (random) and ``const``."""


UPDATE_RANGES: Ranges = {
    "update_style": Range(
        str,
        'one of "res_avg", "res_incr" and "res_residual"',
        choices=("res_avg", "res_incr", "res_residual"),
    ),
    "update_residual": NUMBER,
    "update_residual_init": Range(str, 'one of "norm" and "const"', choices=("norm", "const")),
}


def combined(style: str, old: Array, updates: Sequence[Array], vectors: Tree | None) -> Array:
    """Return a feature with its updates.

    Parameters
    ----------
    vectors
        ρ of each update by its number, with ``res_residual``.
    """
    if style == "res_residual":
        for vector, update in zip(numbered_values(vectors or {}), updates, strict=True):
            old = old + vector * update
        return old
    total = sum(updates[1:], updates[0])
    if style == "res_incr":
        return old + total * len(updates) ** -0.5
    return (old + total) * (1 + len(updates)) ** -0.5


def draw(
    config: Combines, width: int, seed: Seed, dtype: np.dtype[Any], trainable: bool
) -> np.ndarray:
    """Return an initial vector ρ; zeros if nothing is trained, as in DeePMD-kit."""
    if not trainable:
        return np.zeros(width, dtype=dtype)
    if config.update_residual_init == "const":
        return np.full(width, config.update_residual, dtype=dtype)
    drawn = np.random.default_rng(seed).normal(scale=config.update_residual, size=width)
    return drawn.astype(dtype)


def vectors_to_dict(params: Tree, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Return the vectors of features by name; none of those that a layer does not update."""
    return {name: [np.asarray(x) for x in numbered_values(params.get(name, {}))] for name in names}


def vectors_params(
    node: Mapping[str, Any], name: str, widths: Sequence[int], where: str, dtype: np.dtype[Any]
) -> list[np.ndarray]:
    """Return the vectors of a feature, of these widths, from a layer in a file.

    Raises
    ------
    FileFormatError
        If there are more or fewer, or one has another shape.
    """
    variables = mapping(node.get("@variables", {}), f"{where}.@variables")
    given = items(variables.get(name, node.get(name, ())), f"{where}.{name}")
    if len(given) != len(widths):
        raise FileFormatError(
            f"{where}.{name} holds {len(given)} vectors, but the layer has {len(widths)} updates; "
            "restore the file from a copy"
        )
    return [
        parameter({"@variables": {"w": x}}, "w", (width,), f"{where}.{name}", dtype)
        for x, width in zip(given, widths, strict=True)
    ]
