"""Ranges of the options of dpa3, and relations between them."""

from __future__ import annotations

from typing import Any

from ...rules import (
    ABOVE_ZERO,
    COUNT,
    CUTOFF,
    FLAG,
    NOT_NEGATIVE,
    POSITIVE,
    WIDTH,
    Ranges,
    Rule,
    names_types,
)
from .._rules import NSEL
from .._types import TYPE_EMBEDDING_RULES
from .._updates import UPDATE_RANGES

#: Options of ``repflow``.
REPFLOW_RANGES: Ranges = {
    "n_dim": WIDTH,
    "e_dim": WIDTH,
    "a_dim": WIDTH,
    "nlayers": POSITIVE,
    "e_rcut": CUTOFF,
    "e_rcut_smth": ABOVE_ZERO,
    "e_sel": NSEL,
    "a_rcut": CUTOFF,
    "a_rcut_smth": ABOVE_ZERO,
    "a_sel": NSEL,
    "a_compress_rate": COUNT,
    "a_compress_e_rate": POSITIVE,
    "a_compress_use_split": FLAG,
    "n_multi_edge_message": POSITIVE,
    "axis_neuron": WIDTH,
    "update_angle": FLAG,
    **UPDATE_RANGES,
    "fix_stat_std": NOT_NEGATIVE,
    "skip_stat": FLAG,
    "optim_update": FLAG,
    "smooth_edge_update": FLAG,
    "edge_init_use_dist": FLAG,
    "use_exp_switch": FLAG,
    "use_dynamic_sel": FLAG,
    "sel_reduce_factor": ABOVE_ZERO,
    "sequential_update": FLAG,
}

RANGES: Ranges = {
    **REPFLOW_RANGES,
    "ntypes": POSITIVE,
    "concat_output_tebd": FLAG,
    "env_protection": NOT_NEGATIVE,
    "trainable": FLAG,
    "use_econf_tebd": FLAG,
    "use_tebd_bias": FLAG,
    "use_loc_mapping": FLAG,
}


def _is_number(o: Any, *names: str) -> bool:
    """Return True if these options have numbers, not "auto"."""
    return not any(isinstance(getattr(o, name), str) for name in names)


def _lacks_width(o: Any) -> bool:
    """Return True if nodes or edges are narrower than the parts that angles take of them."""
    wanted = o.a_dim // o.a_compress_rate
    return bool(o.n_dim < wanted or o.e_dim < wanted // 2 * o.a_compress_e_rate)


#: Relations that an input and settings have.
RULES = (
    Rule(
        "e_rcut_smth",
        lambda o: o.e_rcut_smth >= o.e_rcut,
        lambda o: f"is {o.e_rcut_smth}, but must be < e_rcut, {o.e_rcut}",
    ),
    Rule(
        "a_rcut_smth",
        lambda o: o.a_rcut_smth >= o.a_rcut,
        lambda o: f"is {o.a_rcut_smth}, but must be < a_rcut, {o.a_rcut}",
    ),
    Rule(
        "a_rcut",
        lambda o: o.a_rcut > o.e_rcut,
        lambda o: f"is {o.a_rcut}, but must be at most e_rcut, {o.e_rcut}",
    ),
    Rule(
        "a_sel",
        lambda o: _is_number(o, "a_sel", "e_sel") and o.a_sel > o.e_sel,
        lambda o: f"is {o.a_sel}, but must be at most e_sel, {o.e_sel}",
    ),
    Rule(
        "axis_neuron",
        lambda o: o.axis_neuron > min(o.n_dim, o.e_dim),
        lambda o: (
            f"is {o.axis_neuron}, but must be at most n_dim and e_dim, {o.n_dim} and {o.e_dim}"
        ),
    ),
    Rule(
        "a_compress_rate",
        lambda o: o.a_compress_rate > 0 and o.a_dim % (2 * o.a_compress_rate) != 0,
        lambda o: (
            f"is {o.a_compress_rate}, but a_dim, {o.a_dim}, must be divisible by twice that number"
        ),
    ),
    Rule(
        "a_compress_use_split",
        lambda o: o.a_compress_rate > 0 and o.a_compress_use_split and _lacks_width(o),
        lambda o: (
            "is true, which takes the first a_dim / a_compress_rate components of n_dim and "
            "a_compress_e_rate / 2 times as many of e_dim, but there are fewer"
        ),
    ),
    Rule(
        "use_dynamic_sel",
        lambda o: o.use_dynamic_sel and not o.smooth_edge_update,
        "is true, which needs smooth_edge_update true",
    ),
    Rule(
        "sequential_update",
        lambda o: o.sequential_update and o.update_style != "res_residual",
        lambda o: f'is true, which needs update_style "res_residual", but it is "{o.update_style}"',
    ),
    Rule(
        "sequential_update",
        lambda o: o.sequential_update and not o.update_angle,
        "is true, which needs update_angle true",
    ),
)

#: Relations to the types, which an input checks for all sections together.
TYPE_RULES = (names_types("exclude_types", pairs=True), *TYPE_EMBEDDING_RULES)
