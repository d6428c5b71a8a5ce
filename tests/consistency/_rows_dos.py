"""What is compared of densities of states: option sets by name, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from _rows import Row, Trained

from multifit.loss import DOS_TERMS

#: Points of the energy grid.
POINTS = 7


def _dos(options: Mapping[str, Any] | None = None, *features: str, **more: Any) -> Row:
    """Return a row of a net, or a model, of densities of states."""
    return Row({"numb_dos": POINTS, **(options or {})}, ("dos", *features), **more)


DOS_FITTINGS = {
    "dos": _dos(),
    "dos, mixed_types": _dos({"mixed_types": True}),
    "dos, fparam and aparam": _dos({"numb_fparam": 1, "numb_aparam": 2}),
    "dos, exclude_types": _dos({"fitting_exclude": (0,)}),
    "dos, neuron []": _dos({"fitting_neuron": ()}),
    "dos, dim_case_embd": _dos({"dim_case_embd": 3, "numb_fparam": 1}),
    **{
        f"dos, {name}": _dos({"precision": name, "numb_fparam": 1}, name)
        for name in ("float32", "float16", "bfloat16")
    },
}

DENSITIES = {
    "dos, one side, virtual atoms": _dos({"resnet_dt": False}, virtual=True),
    "dos, two sides, gelu": _dos({"type_one_side": False, "activation": "gelu"}),
    "dos, excluded atoms and types": _dos(
        {"atom_exclude_types": (0,), "exclude_types": ((0, 1),), "env_protection": 0.1}
    ),
    "dos, fparam, aparam, softplus": _dos(
        {"numb_fparam": 1, "numb_aparam": 2, "activation": "softplus", "mixed_types": True}
    ),
    "dos, Chebyshev series": _dos({"type_one_side": False}, coefficients=96),
    "dos, float32": _dos({"precision": "float32"}, "float32"),
}


def _terms(*names: str, **more: Any) -> Row:
    """Return prefactors that switch exactly these terms on, and other options of the loss."""
    off = {f"{when}_pref_{term}": 0.0 for when in ("start", "limit") for term in DOS_TERMS}
    on = {f"start_pref_{name}": 0.5 for name in names} | {f"limit_pref_{n}": 2.0 for n in names}
    return Row(off | on | more, ("dos_loss",))


_HUBER = {"use_huber": True, "huber_delta": 0.4}

#: Options of :class:`multifit.loss.DosLossConfig`.
DOS_LOSSES = {
    **{f"dos, term {name}": _terms(name) for name in DOS_TERMS},
    "dos, mse": _terms(*DOS_TERMS),
    "dos, mae": _terms(*DOS_TERMS, loss_func="mae"),
    "dos, Huber": _terms(*DOS_TERMS, **_HUBER),
    "dos, shift_agnostic": _terms(*DOS_TERMS, shift_agnostic=2),
    "dos, shift_agnostic, mae": _terms("dos", "cdf", loss_func="mae", shift_agnostic=3),
    "dos, shift_agnostic, Huber": _terms("ados", "acdf", shift_agnostic=2, **_HUBER),
}

DOS_TRAINED = {
    "dos": Trained(DENSITIES["dos, one side, virtual atoms"], _terms(*DOS_TERMS).options),
    "dos, fparam, aparam, softplus, mae": Trained(
        DENSITIES["dos, fparam, aparam, softplus"], _terms("dos", "ados", loss_func="mae").options
    ),
    "dos, Chebyshev series, Huber, shift_agnostic": Trained(
        DENSITIES["dos, Chebyshev series"],
        DOS_LOSSES["dos, shift_agnostic, Huber"].options,
        "AdamW, clipped, moving average",
    ),
    "dos, XLA": Trained(DENSITIES["dos, two sides, gelu"], _terms("cdf", "acdf").options, xla=True),
}
