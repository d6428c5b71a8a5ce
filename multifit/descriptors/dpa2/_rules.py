"""Ranges of the options of dpa2, and relations between them."""

from __future__ import annotations

from typing import Any

from ...rules import (
    CUTOFF,
    FLAG,
    MAYBE_ABOVE_ZERO,
    NOT_NEGATIVE,
    POSITIVE,
    WIDTH,
    ListRange,
    Range,
    Ranges,
    Rule,
    names_types,
)
from .._rules import NSEL
from .._types import TYPE_EMBEDDING_RULES
from .._updates import UPDATE_RANGES
from ..dpa1._rules import MODES

_WIDTHS = ListRange(WIDTH, "a list of one or more integers > 0")

REPINIT_RANGES: Ranges = {
    "rcut": CUTOFF,
    "rcut_smth": NOT_NEGATIVE,
    "nsel": NSEL,
    "neuron": _WIDTHS,
    "axis_neuron": WIDTH,
    "tebd_dim": WIDTH,
    "tebd_input_mode": Range(str, 'one of "concat" and "strip"', choices=MODES),
    "set_davg_zero": FLAG,
    "resnet_dt": FLAG,
    "type_one_side": FLAG,
    "use_three_body": FLAG,
    "three_body_neuron": _WIDTHS,
    "three_body_sel": NSEL,
    "three_body_rcut": CUTOFF,
    "three_body_rcut_smth": NOT_NEGATIVE,
}

REPFORMER_RANGES: Ranges = {
    "rcut": CUTOFF,
    "rcut_smth": NOT_NEGATIVE,
    "nsel": NSEL,
    **dict.fromkeys(("nlayers",), POSITIVE),
    **dict.fromkeys(("g1_dim", "g2_dim", "axis_neuron"), WIDTH),
    **dict.fromkeys(("attn1_hidden", "attn1_nhead", "attn2_hidden", "attn2_nhead"), WIDTH),
    **dict.fromkeys(
        (
            *("direct_dist", "update_g1_has_conv", "update_g1_has_drrd", "update_g1_has_grrg"),
            *("update_g1_has_attn", "update_g2_has_g1g1", "update_g2_has_attn", "update_h2"),
            *("attn2_has_gate", "set_davg_zero", "trainable_ln", "use_sqrt_nnei"),
            *("g1_out_conv", "g1_out_mlp"),
        ),
        FLAG,
    ),
    **UPDATE_RANGES,
    "ln_eps": MAYBE_ABOVE_ZERO,
}


def _ends(smooth: str, rcut: str) -> Rule:
    return Rule(
        smooth,
        lambda o: getattr(o, smooth) >= getattr(o, rcut),
        lambda o: f"is {getattr(o, smooth)}, but must be < {rcut}, {getattr(o, rcut)}",
    )


def _empty(key: str) -> Rule:
    return Rule(key, lambda o: not getattr(o, key), "is empty, but must have one or more widths")


REPINIT_RULES = (
    _empty("neuron"),
    _empty("three_body_neuron"),
    _ends("rcut_smth", "rcut"),
    Rule(
        "three_body_rcut_smth",
        lambda o: o.use_three_body and o.three_body_rcut_smth >= o.three_body_rcut,
        lambda o: (
            f"is {o.three_body_rcut_smth}, but must be < three_body_rcut, {o.three_body_rcut}"
        ),
    ),
    Rule(
        "axis_neuron",
        lambda o: o.axis_neuron > o.neuron[-1],
        lambda o: (
            f"is {o.axis_neuron}, but must be at most the last width of neuron, {o.neuron[-1]}"
        ),
    ),
)


def _inputs(options: Any) -> bool:
    """Return True if the first linear map of a layer has an input."""
    return (
        not options.g1_out_mlp
        or options.update_g1_has_grrg
        or options.update_g1_has_drrd
        or (options.update_g1_has_conv and not options.g1_out_conv)
    )


REPFORMER_RULES = (
    _ends("rcut_smth", "rcut"),
    Rule(
        "g1_out_mlp",
        lambda o: not _inputs(o),
        "is true without update_g1_has_grrg, update_g1_has_drrd or a convolution in the sum "
        "(update_g1_has_conv without g1_out_conv), but must be false then: the layers would have "
        "no input",
    ),
    Rule(
        "axis_neuron",
        lambda o: o.update_g1_has_grrg and o.axis_neuron > o.g2_dim,
        lambda o: (
            f"is {o.axis_neuron}, but must be at most g2_dim, {o.g2_dim}, with update_g1_has_grrg"
        ),
    ),
    Rule(
        "axis_neuron",
        lambda o: o.update_g1_has_drrd and o.axis_neuron > o.g1_dim,
        lambda o: (
            f"is {o.axis_neuron}, but must be at most g1_dim, {o.g1_dim}, with update_g1_has_drrd"
        ),
    ),
)

RANGES: Ranges = {
    "ntypes": POSITIVE,
    "concat_output_tebd": FLAG,
    "smooth": FLAG,
    "env_protection": NOT_NEGATIVE,
    "trainable": FLAG,
    "add_tebd_to_repinit_out": FLAG,
    "use_econf_tebd": FLAG,
    "use_tebd_bias": FLAG,
}


def _in_order(options: Any, r: str = "rcut", n: str = "nsel") -> bool:
    """Return True if the block of angles has more neighbours than one only if it reaches farther.

    DeePMD-kit requires the same order of cutoffs and of numbers of neighbours.
    """
    first = options.repinit
    if not first.use_three_body or isinstance(first.three_body_sel, str):
        return True
    for other in (first, options.repformer):
        if isinstance(other.nsel, str):
            continue
        pairs = sorted([(first.three_body_rcut, first.three_body_sel), (other.rcut, other.nsel)])
        if pairs[0][1] > pairs[1][1]:
            return False
    return True


def _fewer(options: Any) -> bool:
    """Return True if the second block has fewer neighbours than the first, or it is not known."""
    given = options.repinit.nsel, options.repformer.nsel
    return any(isinstance(n, str) for n in given) or given[0] > given[1]


#: Relations between the blocks, which an input and settings have.
RULES = (
    Rule(
        "repformer.rcut",
        lambda o: o.repformer.rcut >= o.repinit.rcut,
        lambda o: f"is {o.repformer.rcut}, but must be < repinit.rcut, {o.repinit.rcut}",
    ),
    Rule(
        "repformer.nsel",
        lambda o: not _fewer(o),
        lambda o: f"is {o.repformer.nsel}, but must be < repinit.nsel, {o.repinit.nsel}",
    ),
    Rule(
        "repinit.three_body_rcut",
        lambda o: o.repinit.use_three_body and o.repinit.three_body_rcut > o.repinit.rcut,
        lambda o: (
            f"is {o.repinit.three_body_rcut}, but must be at most repinit.rcut, {o.repinit.rcut}: "
            "there are no neighbours beyond"
        ),
    ),
    Rule(
        "repinit.three_body_sel",
        lambda o: not _in_order(o),
        lambda o: (
            f"is {o.repinit.three_body_sel}, but the numbers of neighbours must be in the same "
            f"order as the cut-offs: {o.repinit.nsel} within {o.repinit.rcut}, "
            f"{o.repformer.nsel} within {o.repformer.rcut}, {o.repinit.three_body_sel} within "
            f"{o.repinit.three_body_rcut} Å"
        ),
    ),
)

#: Relations to the types, which an input checks for all sections together.
TYPE_RULES = (
    names_types("exclude_types", pairs=True),
    *TYPE_EMBEDDING_RULES,
)
