r"""The type embedding, and vectors for pairs of types.

.. math:: t_b = x_b W\,[+ \beta] + r(x_b),

where x_b is the one-hot vector of the type or the electron configuration of its element, and r the
residual of a layer whose output is as wide as its input, or twice as wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import precision as prec
from ...nn.groups import picked
from ...nn.networks import Layer, apply_layer
from ...tree import Tree
from .._tables import Spans, concat
from ._electrons import WIDTH, configurations

if TYPE_CHECKING:
    from ._descriptor import SeAtten

Array = Any

#: The activation function of the layer, as spelled in files.
LINEAR = "Linear"


def type_layer(config: SeAtten) -> Layer:
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


def type_table(xp: Any, config: SeAtten, params: Tree) -> Array:
    """Return t of all types, (ntypes, tebd_dim), in the precision of the nets."""
    given = configurations(config.type_map) if config.use_econf_tebd else np.eye(config.ntypes)
    x = xp.asarray(given.astype(prec.numpy_dtype(config.precision)))
    layer = config.type_network.layers[0]
    found, _ = apply_layer(xp, layer, params["type_embedding"]["layers"]["0"], x)
    return prec.cast(xp, found, config.precision)


def pair_vectors(
    xp: Any, config: SeAtten, table: Array, centres: Sequence[int], neighbours: Sequence[int]
) -> Array:
    """Return (t_b, t_a), or t_b alone with ``type_one_side``, (na, nb, width)."""
    na, nb, width = len(centres), len(neighbours), table.shape[1]
    theirs = picked(xp, table, neighbours)[None, :, :]
    theirs = xp.broadcast_to(theirs, (na, nb, width))
    if config.type_one_side:
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
