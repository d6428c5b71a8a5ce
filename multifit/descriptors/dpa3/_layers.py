r"""The linear maps of a layer, and the vectors that its updates are multiplied by.

=======================  ================================  ======================
name                     input                             output
=======================  ================================  ======================
``node_self_mlp``        n_i                               n_dim
``node_sym_linear``      sym(e), sym(n_j)                  n_dim
``node_edge_linear``     n_i, n_j, e_ij                    messages · n_dim
``edge_self_linear``     n_i, n_j, e_ij                    e_dim
``a_compress_n_linear``  n_i                               a_dim / c
``a_compress_e_linear``  e_ij                              a_dim / 2c · e_rate
``edge_angle_linear1``   a_ijk, n_i, e_ik, e_ij            e_dim
``edge_angle_linear2``   q_ij                              e_dim
``angle_self_linear``    a_ijk, n_i, e_ik, e_ij            a_dim
=======================  ================================  ======================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ... import precision as prec
from ...nn.networks import Layer

if TYPE_CHECKING:
    from ._descriptor import Dpa3


class Part(NamedTuple):
    """A linear map of a layer, and the number of its seed."""

    layer: Layer
    seed: int


class Residual(NamedTuple):
    """A vector that an update is multiplied by, and the numbers of its seed."""

    width: int
    seed: tuple[int, ...]


def angle_widths(config: Dpa3) -> tuple[int, int]:
    """Return the widths of atoms and of pairs as input of angles."""
    c = config.a_compress_rate
    if not c:
        return config.n_dim, config.e_dim
    return config.a_dim // c, config.a_dim // (2 * c) * config.a_compress_e_rate


def compresses(config: Dpa3) -> bool:
    """Return True if linear maps compress the inputs of angles."""
    return bool(config.a_compress_rate) and not config.a_compress_use_split


def embeddings(config: Dpa3) -> dict[str, Part]:
    """Return the maps of the first pairs and angles, by name."""
    return {
        "edge_embd": Part(_linear(config, 1, config.e_dim), 0),
        "angle_embd": Part(_linear(config, 1, config.a_dim, bias=False), 1),
    }


def parts(config: Dpa3) -> dict[str, Part]:
    """Return the linear maps of a layer by name."""
    n, e, a = config.n_dim, config.e_dim, config.a_dim
    found = {
        "node_self_mlp": Part(_linear(config, n, n), 0),
        "node_sym_linear": Part(_linear(config, config.axis_neuron * (n + e), n), 2),
        "node_edge_linear": Part(_linear(config, 2 * n + e, config.n_multi_edge_message * n), 4),
        "edge_self_linear": Part(_linear(config, 2 * n + e, e), 6),
    }
    if not config.update_angle:
        return found
    of_node, of_edge = angle_widths(config)
    width = a + of_node + 2 * of_edge
    if compresses(config):
        found["a_compress_n_linear"] = Part(_linear(config, n, of_node, bias=False), 8)
        found["a_compress_e_linear"] = Part(_linear(config, e, of_edge, bias=False), 9)
    return found | {
        "edge_angle_linear1": Part(_linear(config, width, e), 10),
        "edge_angle_linear2": Part(_linear(config, e, e), 11),
        "angle_self_linear": Part(_linear(config, width, a), 13),
    }


def residuals(config: Dpa3) -> dict[str, tuple[Residual, ...]]:
    """Return the vectors of a layer: of nodes, edges and angles; none unless they are trained."""
    if config.update_style != "res_residual":
        return {}
    n, e, a = config.n_dim, config.e_dim, config.a_dim
    messages = [Residual(n, (5, k)) for k in range(config.n_multi_edge_message)]
    angle = config.update_angle
    return {
        "n_residual": (Residual(n, (1,)), Residual(n, (3,)), *messages),
        "e_residual": (Residual(e, (7,)), *((Residual(e, (12,)),) if angle else ())),
        "a_residual": (Residual(a, (14,)),) if angle else (),
    }


def _linear(config: Dpa3, n_in: int, n_out: int, bias: bool = True) -> Layer:
    return Layer(
        n_in,
        n_out,
        bias=bias,
        precision=prec.canonical(config.precision),
        trainable=config.trainable,
    )
