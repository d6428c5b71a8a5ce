"""The linear maps of a layer of dpa2, by their dotted names in parameters and files.

A seed of a map is that of DeePMD-kit's NumPy core: the numbers of child seeds, one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

from ... import precision as prec
from ...nn.networks import Layer
from ._settings import Repformer


class Map(NamedTuple):
    """A linear map and the path of its seed."""

    layer: Layer
    seed: tuple[int, ...]


class Weights(NamedTuple):
    """Vectors that multiply the updates of a feature (``res_residual``)."""

    width: int
    seeds: tuple[int, ...]  #: of each update, in the order of the updates


def is_last(config: Repformer, k: int) -> bool:
    """Return True for the last layer, which updates the features of atoms alone."""
    return k == config.nlayers - 1


def input_width(config: Repformer) -> int:
    """Return the width of the input of ``linear1``."""
    return sum(
        (
            0 if config.g1_out_mlp else config.g1_dim,
            config.g2_dim * config.axis_neuron * config.update_g1_has_grrg,
            config.g1_dim * config.axis_neuron * config.update_g1_has_drrd,
            config.g2_dim * (config.update_g1_has_conv and not config.g1_out_conv),
        )
    )


def maps(config: Repformer, k: int, precision: str, trainable: bool = True) -> dict[str, Map]:
    """Return the linear maps of the k-th layer."""
    n1, n2 = config.g1_dim, config.g2_dim
    found: dict[str, tuple[int, int, bool, tuple[int, ...]]] = {
        "linear1": (input_width(config), n1, True, (1,))
    }
    if config.g1_out_mlp:
        found["g1_self_mlp"] = (n1, n1, True, (15,))
    if config.update_g1_has_conv:
        ends = (n2, n1) if config.g1_out_conv else (n1, n2)
        found["proj_g1g2"] = (*ends, False, (4,))
    if config.update_g1_has_attn:
        heads, hidden = config.attn1_nhead, config.attn1_hidden
        found["loc_attn.mapq"] = (n1, hidden * heads, False, (13, 0))
        found["loc_attn.mapkv"] = (n1, (hidden + n1) * heads, False, (13, 1))
        found["loc_attn.head_map"] = (n1 * heads, n1, True, (13, 2))
    if not is_last(config, k):
        found |= _pair_maps(config)
    return {
        name: Map(
            Layer(
                n_in,
                n_out,
                bias=bias,
                precision=prec.canonical(precision),
                trainable=trainable,
            ),
            path,
        )
        for name, (n_in, n_out, bias, path) in found.items()
    }


def _pair_maps(config: Repformer) -> dict[str, tuple[int, int, bool, tuple[int, ...]]]:
    """Return width of input and output, bias and seed of the maps that update pairs."""
    n1, n2, heads = config.g1_dim, config.g2_dim, config.attn2_nhead
    found: dict[str, tuple[int, int, bool, tuple[int, ...]]] = {"linear2": (n2, n2, True, (2,))}
    if config.update_g2_has_g1g1:
        found["proj_g1g1g2"] = (n1, n2, False, (5,))
    if config.update_g2_has_attn or config.update_h2:
        found["attn2g_map.mapqk"] = (n2, config.attn2_hidden * 2 * heads, False, (7,))
    if config.update_g2_has_attn:
        found["attn2_mh_apply.mapv"] = (n2, n2 * heads, False, (8, 0))
        found["attn2_mh_apply.head_map"] = (n2 * heads, n2, True, (8, 1))
    if config.update_h2:
        found["attn2_ev_apply.head_map"] = (heads, 1, False, (11,))
    return found


def weights(config: Repformer, k: int) -> dict[str, Weights]:
    """Return the weights of the updates in the k-th layer, by the name of the feature."""
    if config.update_style != "res_residual":
        return {}
    first = [0]
    first += [16] * config.g1_out_mlp
    first += [17] * (config.update_g1_has_conv and config.g1_out_conv)
    first += [14] * config.update_g1_has_attn
    found = {"g1_residual": Weights(config.g1_dim, tuple(first))}
    if not is_last(config, k):
        second = [3] + [6] * config.update_g2_has_g1g1 + [10] * config.update_g2_has_attn
        found["g2_residual"] = Weights(config.g2_dim, tuple(second))
        if config.update_h2:
            found["h2_residual"] = Weights(1, (12,))
    return found


def has_norm(config: Repformer, k: int) -> bool:
    """Return True if the k-th layer has a layer norm, ``attn2_lm``."""
    return config.update_g2_has_attn and not is_last(config, k)
