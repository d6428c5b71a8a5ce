"""Options that make no sense together: tables for ``input.json`` and for Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ._terms import DOS_TERMS, ENERGY_TERMS, Table


class Rule(NamedTuple):
    """One combination that is refused, since an option could only be ignored."""

    key: str  #: the option that the sentence is about; "" for the loss itself
    broken: Callable[[Any], bool]  #: of the options, as attributes
    sentence: str  #: what follows the name of the option; ``{value}`` stands for what it is

    def says(self, options: Any) -> str:
        """Return the sentence about these options."""
        return self.sentence.replace("{value}", str(getattr(options, self.key, "")))


def has(options: Any, term: str) -> bool:
    """Return whether a term counts: its prefactor is not zero at the start, or not in the limit."""
    return bool(getattr(options, f"start_pref_{term}") or getattr(options, f"limit_pref_{term}"))


def _has_one(options: Any, *terms: str) -> bool:
    return any(has(options, term) for term in terms)


def _with(option: str, term: str) -> Callable[[Any], bool]:
    return lambda o: bool(getattr(o, option)) and has(o, term)


def _without(option: str, *terms: str) -> Callable[[Any], bool]:
    """Return a condition: the option is given, but none of the terms that it changes."""
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
        "is {value}, but must be 0 without a generalized force term (start_pref_gf and "
        "limit_pref_gf are 0)",
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


def broken(options: Any, rules: Iterable[Rule]) -> Rule | None:
    """Return the first rule that the options break, or None.

    Parameters
    ----------
    options
        Anything with the options of ``input.json``'s loss section as attributes.
    rules
        :data:`ENERGY_RULES` or :data:`DOS_RULES`.
    """
    return next((rule for rule in rules if rule.broken(options)), None)
