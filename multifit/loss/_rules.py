"""Ranges of the losses' options and relations between them, for ``input.json`` and Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..rules import (
    ABOVE_ZERO,
    COUNT,
    FLAG,
    MAYBE_ABOVE_ZERO,
    NOT_NEGATIVE,
    POSITIVE,
    ListRange,
    Range,
    Ranges,
    Rule,
)
from ._terms import DOS_TERMS, ENERGY_TERMS, Table, has

_LOSS_FUNC = Range(str, "one of mse, mae", choices=("mse", "mae"), python="'mse' or 'mae'")
_COUNT = replace(COUNT, python="a number ≥ 0", wrong_kind="an integer")
_POSITIVE = replace(POSITIVE, python="a number > 0", wrong_kind="an integer")


def _prefactors(table: Table) -> dict[str, Range]:
    names = (f"{when}_pref_{term}" for term in table for when in ("start", "limit"))
    return dict.fromkeys(names, NOT_NEGATIVE)


_COMMON: dict[str, Range] = {
    "starter_learning_rate": ABOVE_ZERO,
    "loss_func": _LOSS_FUNC,
    "use_huber": FLAG,
}

ENERGY_RANGES: Ranges = {
    **_COMMON,
    **_prefactors(ENERGY_TERMS),
    "huber_delta": ListRange(
        ABOVE_ZERO,
        "a number > 0, or three of them for [energy, force, virial]",
        length=3,
        single=True,
        python="> 0",
    ),
    "relative_f": MAYBE_ABOVE_ZERO,
    "numb_generalized_coord": _COUNT,
    "enable_atom_ener_coeff": FLAG,
    "f_use_norm": FLAG,
    "use_default_pf": FLAG,
    "intensive_ener_virial": FLAG,
}

DOS_RANGES: Ranges = {
    **_COMMON,
    **_prefactors(DOS_TERMS),
    "huber_delta": ABOVE_ZERO,
    "numb_dos": _POSITIVE,
    "shift_agnostic": _COUNT,
}


def _has_one(options: Any, *terms: str) -> bool:
    return any(has(options, term) for term in terms)


def _with(option: str, term: str) -> Callable[[Any], bool]:
    return lambda o: bool(getattr(o, option)) and has(o, term)


def _without(option: str, *terms: str) -> Callable[[Any], bool]:
    """Return a condition: the option is given, but none of the terms that depend on it."""
    return lambda o: getattr(o, option) not in (None, False, 0) and not _has_one(o, *terms)


def _no_term(table: Table) -> Rule:
    return Rule(
        "",
        lambda o: not _has_one(o, *table),
        "has only prefactors 0, but must fit at least one label",
    )


_TWO_PENALTIES = Rule(
    "use_huber",
    lambda o: o.use_huber and o.loss_func == "mae",
    'is true, but must be false with loss_func "mae"',
)

DOS_RULES: tuple[Rule, ...] = (_no_term(DOS_TERMS), _TWO_PENALTIES)

ENERGY_RULES: tuple[Rule, ...] = (
    _no_term(ENERGY_TERMS),
    _TWO_PENALTIES,
    *(
        Rule(
            "use_huber",
            _with("use_huber", term),
            f"is true, but must be false with a {ENERGY_TERMS[term].title} term "
            f"(start_pref_{term} and limit_pref_{term} must be 0)",
        )
        for term in ("pf", "gf", "h")
    ),
    Rule(
        "use_huber",
        lambda o: o.use_huber and o.relative_f is not None,
        "is true, but must be false with relative_f",
    ),
    Rule(
        "f_use_norm",
        lambda o: o.f_use_norm and not (o.use_huber or o.loss_func == "mae"),
        'is true, but must be false unless use_huber is true or loss_func is "mae"',
    ),
    Rule(
        "f_use_norm",
        _without("f_use_norm", "f"),
        "is true, but must be false without a force term (start_pref_f and limit_pref_f are 0)",
    ),
    Rule(
        "intensive_ener_virial",
        lambda o: o.intensive_ener_virial and o.use_huber,
        "is true, which changes squared errors only, but must be false with use_huber",
    ),
    Rule(
        "intensive_ener_virial",
        lambda o: o.intensive_ener_virial and o.loss_func == "mae",
        'is true, which changes squared errors only, but must be false with loss_func "mae"',
    ),
    Rule(
        "intensive_ener_virial",
        _without("intensive_ener_virial", "e", "v"),
        "is true, but must be false without an energy or virial term",
    ),
    Rule(
        "numb_generalized_coord",
        lambda o: has(o, "gf") and not o.numb_generalized_coord,
        "is 0, but must be > 0 with a generalized force term",
    ),
    Rule(
        "numb_generalized_coord",
        _without("numb_generalized_coord", "gf"),
        lambda o: (
            f"is {o.numb_generalized_coord}, but must be 0 without a generalized force term "
            "(start_pref_gf and limit_pref_gf are 0)"
        ),
    ),
    Rule(
        "use_default_pf",
        _without("use_default_pf", "pf"),
        "is true, but must be false without a weighted force term (start_pref_pf and "
        "limit_pref_pf are 0)",
    ),
    Rule(
        "relative_f",
        _without("relative_f", "f", "pf"),
        "is given, but must be null without a force term (start_pref_f, limit_pref_f, "
        "start_pref_pf and limit_pref_pf are 0)",
    ),
    Rule(
        "enable_atom_ener_coeff",
        _without("enable_atom_ener_coeff", "e"),
        "is true, but must be false without an energy term (start_pref_e and limit_pref_e are 0)",
    ),
)


def too_large_a_shift(numb_dos: int, words: str) -> Rule:
    """Return the rule about ``shift_agnostic`` on a grid of energies.

    Parameters
    ----------
    numb_dos
        Number of points of the grid.
    words
        Its name and value, in the message.
    """
    return Rule(
        "shift_agnostic",
        lambda o: o.shift_agnostic >= numb_dos,
        lambda o: (
            f"is {o.shift_agnostic}, but must be below {words}: a shift must leave grid points to "
            "compare"
        ),
    )
