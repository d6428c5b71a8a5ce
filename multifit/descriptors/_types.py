r"""The type embedding, and vectors for pairs of types.

.. math:: t_b = x_b W\,[+ \beta] + r(x_b),

where x_b is the one-hot vector of the type or the electron configuration of its element, and r the
residual of a layer whose output is as wide as its input, or twice as wide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .. import precision as prec
from ..nn.groups import picked
from ..nn.networks import Layer, apply_layer
from ..rules import Rule
from ..tree import Tree
from ._electrons import WIDTH, configurations, unknown_elements
from ._tables import Spans, concat, spread

Array = Any


class EmbedsTypes(Protocol):
    """Settings of a descriptor that embeds types."""

    @property
    def ntypes(self) -> int:
        """Number of atom types."""

    @property
    def tebd_dim(self) -> int:
        """Length of the vector of a type."""

    @property
    def use_econf_tebd(self) -> bool:
        """True if types are embedded from electron configurations."""

    @property
    def use_tebd_bias(self) -> bool:
        """True if the layer has a bias."""

    @property
    def type_map(self) -> tuple[str, ...]:
        """Names of the elements; needed for electron configurations."""

    @property
    def precision(self) -> str:
        """Precision of the layer."""

    @property
    def trainable(self) -> bool:
        """True if training changes the layer."""


class AppendsTypes(EmbedsTypes, Protocol):
    """Settings of a descriptor that may append the embedded type of each atom."""

    @property
    def concat_output_tebd(self) -> bool:
        """True if it does."""


#: Relations of the options to the types, which an input checks for all sections together.
TYPE_EMBEDDING_RULES = (
    Rule(
        "use_econf_tebd",
        lambda o: o.use_econf_tebd and len(o.type_map) != o.ntypes,
        lambda o: f"needs the names of all {o.ntypes} elements in type_map",
    ),
    Rule(
        "use_econf_tebd",
        lambda o: o.use_econf_tebd and bool(unknown_elements(o.type_map)),
        lambda o: (
            "needs the names of elements in type_map, but "
            f"{unknown_elements(o.type_map)[0]!r} is none"
        ),
    ),
)

#: The activation function of the layer, as spelled in files.
LINEAR = "Linear"


def type_layer(config: EmbedsTypes) -> Layer:
    """Return the settings of the layer."""
    return Layer(
        n_in=WIDTH if config.use_econf_tebd else config.ntypes,
        n_out=config.tebd_dim,
        activation=LINEAR.lower(),
        resnet=True,
        bias=config.use_tebd_bias,
        precision=prec.canonical(config.precision),
        trainable=config.trainable,
    )


def type_table(xp: Any, config: EmbedsTypes, params: Tree) -> Array:
    """Return t of all types, (ntypes, tebd_dim), in the precision of the nets."""
    given = configurations(config.type_map) if config.use_econf_tebd else np.eye(config.ntypes)
    x = xp.asarray(given.astype(prec.numpy_dtype(config.precision)))
    found, _ = apply_layer(xp, type_layer(config), params["type_embedding"]["layers"]["0"], x)
    return prec.cast(xp, found, config.precision)


def with_types(
    xp: Any,
    config: AppendsTypes,
    table: Array,
    counts: Mapping[int, int],
    kind: Array,
    block: tuple[Array, Callable[[Array], Array]],
) -> tuple[Array, Callable[[Array], Array]]:
    """Return a descriptor and its pullback with t_a appended if ``concat_output_tebd``.

    Parameters
    ----------
    table
        From :func:`type_table`.
    kind
        1 at the place of each atom's type among those present, (N, na).
    block
        The descriptor without types (N, width), and its pullback.
    """
    if not config.concat_output_tebd:
        return block
    return append_types(xp, table, counts, kind, block)


def append_types(
    xp: Any,
    table: Array,
    counts: Mapping[int, int],
    kind: Array,
    block: tuple[Array, Callable[[Array], Array]],
) -> tuple[Array, Callable[[Array], Array]]:
    """Return a descriptor and its pullback with t_a appended, as :func:`with_types` does."""
    d, pull = block
    rows = picked(xp, table, list(counts))
    own = xp.astype(spread(xp, kind, rows), d.dtype, copy=False)
    width = d.shape[1]
    return xp.concat([d, own], axis=1), lambda d_bar: pull(d_bar[:, :width])


def pair_vectors(
    xp: Any, table: Array, centres: Sequence[int], neighbours: Sequence[int], one_side: bool
) -> Array:
    """Return (t_b, t_a), or t_b alone with ``one_side``, (na, nb, width)."""
    na, nb, width = len(centres), len(neighbours), table.shape[1]
    theirs = picked(xp, table, neighbours)[None, :, :]
    theirs = xp.broadcast_to(theirs, (na, nb, width))
    if one_side:
        return theirs
    own = picked(xp, table, centres)[:, None, :]
    return xp.concat([theirs, xp.broadcast_to(own, (na, nb, width))], axis=2)


def of_slots(xp: Any, each: Array, columns: Spans) -> Array:
    """Return (N, P, c) from the vectors of each type of neighbours, (N, nb, c)."""
    n, _, width = each.shape
    parts = [
        xp.broadcast_to(each[:, k : k + 1, :], (n, span.stop - span.start, width))
        for k, span in enumerate(columns.values())
    ]
    return concat(xp, parts, axis=1)


def remapped(
    config: EmbedsTypes,
    params: Tree,
    other: EmbedsTypes,
    known: Tree,
    shared: Sequence[tuple[int, int]],
) -> Tree:
    """Return the type embedding of another model, with its own rows for new types.

    Parameters
    ----------
    params
        Of this model, for the new types.
    known
        Of the other model.
    shared
        (type here, type there) of each type in common.
    """
    if config.use_econf_tebd:
        return known
    mine, theirs = (np.asarray(x["layers"]["0"]["w"]) for x in (params, known))
    rows, old = mine + _residual(config), theirs + _residual(other)
    for here, there in shared:
        rows[here] = old[there]
    return {"layers": {"0": {**known["layers"]["0"], "w": rows - _residual(config)}}}


def _residual(config: EmbedsTypes) -> np.ndarray:
    """Return what the layer adds to the row of each type."""
    layer, one = type_layer(config), np.eye(config.ntypes)
    added = {"same": one, "double": np.concatenate([one, one], axis=1)}
    return added.get(layer.residual, np.zeros((config.ntypes, config.tebd_dim)))
