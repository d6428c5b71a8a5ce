"""Ranges of a fitting net's options and relations between them, for ``input.json`` and Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..rules import (
    COMPONENTS,
    FLAG,
    MAYBE_BELOW_ONE,
    MAYBE_NUMBER,
    NUMBER,
    POSITIVE,
    WIDTH,
    ListRange,
    Ranges,
    Rule,
    names_types,
)

FITTING_RANGES: Ranges = {
    "ntypes": POSITIVE,
    "dim_descrpt": POSITIVE,
    "dim_out": WIDTH,
    "numb_fparam": COMPONENTS,
    "numb_aparam": COMPONENTS,
    "dim_case_embd": COMPONENTS,
    "neuron": ListRange(WIDTH, "a list of integers > 0"),
    "resnet_dt": FLAG,
    "mixed_types": FLAG,
    "use_aparam_as_mask": FLAG,
    "tot_ener_zero": FLAG,
    "trainable": ListRange(
        FLAG, "true, false, or a list of true and false, one per layer", single=True
    ),
    "rcond": MAYBE_BELOW_ONE,
    "default_fparam": ListRange(NUMBER, "a list of numbers, or null", null=True),
    "atom_ener": ListRange(MAYBE_NUMBER, "a list with a number or null for each type"),
}


def _layers(options: Any) -> int:
    return len(options.neuron) + 1


def _one_per_layer(key: str) -> Rule:
    def broken(options: Any) -> bool:
        given = getattr(options, key)
        return isinstance(given, tuple) and len(given) != _layers(options)

    return Rule(
        key,
        broken,
        lambda o: (
            f"has length {len(getattr(o, key))}, but must have length {_layers(o)}: "
            f"{_layers(o) - 1} for the hidden layers and 1 for the output layer"
        ),
    )


def gives_energies(options: Any) -> bool:
    """Return True if ``atom_ener`` has an energy for any type."""
    return any(energy is not None for energy in options.atom_ener or ())


#: Relations between options that an input and settings have.
FITTING_RULES: tuple[Rule, ...] = (
    _one_per_layer("trainable"),
    _one_per_layer("layer_name"),
    Rule(
        "default_fparam",
        lambda o: o.default_fparam is not None and len(o.default_fparam) != o.numb_fparam,
        lambda o: (
            f"has length {len(o.default_fparam)}, but must have length {o.numb_fparam}, the value "
            "of numb_fparam"
        ),
    ),
    Rule(
        "numb_aparam",
        lambda o: o.use_aparam_as_mask and o.numb_aparam != 1,
        lambda o: (
            f"is {o.numb_aparam}, but must be 1 with use_aparam_as_mask: it tells whether an atom "
            "is real"
        ),
    ),
    Rule(
        "tot_ener_zero",
        lambda o: o.tot_ener_zero and gives_energies(o),
        "is true, but must be false with atom_ener: the energy of an isolated atom is either "
        "given or 0",
    ),
)


def _first_excluded_with_energy(options: Any) -> int | None:
    """Return the first excluded type with an energy in ``atom_ener``, or None."""
    given = options.atom_ener or (None,) * options.ntypes
    return next((a for a in options.exclude_types if given[a] is not None), None)


def _is_about(find: Callable[[Any], Any]) -> Callable[[Any], bool]:
    return lambda o: find(o) is not None


#: Relations to the number of types, which an input checks for all sections together.
TYPE_RULES: tuple[Rule, ...] = (
    names_types("exclude_types"),
    Rule(
        "exclude_types",
        lambda o: o.tot_ener_zero and bool(o.exclude_types),
        lambda o: (
            f"is {list(o.exclude_types)}, but must be empty with tot_ener_zero: an energy is "
            "either 0 or less the mean; leave one of them out"
        ),
    ),
    Rule(
        "atom_ener",
        lambda o: o.atom_ener is not None and len(o.atom_ener) != o.ntypes,
        lambda o: (
            f"has {len(o.atom_ener)} entries, but there are {o.ntypes} types; give a number or "
            "None for each"
        ),
    ),
    Rule(
        "atom_ener",
        _is_about(_first_excluded_with_energy),
        lambda o: (
            f"gives type {_first_excluded_with_energy(o)} the energy "
            f"{o.atom_ener[_first_excluded_with_energy(o)]}, but exclude_types sets it to 0; leave "
            "one of them out"
        ),
    ),
)


def _are_columns(given: Sequence[Sequence[Any]], number: int) -> bool:
    """Return True for ranges (start, stop) of so many columns, one after the other."""
    edges = [0, *(x for span in given for x in span), number]
    if any(len(span) != 2 for span in given) or any(type(x) is not int for x in edges):
        return False
    return edges == sorted(edges) and all(start < stop for start, stop in given)


#: Relations between the settings of a net and its descriptor, which no input has.
COLUMN_RULES: tuple[Rule, ...] = (
    Rule(
        "type_columns",
        lambda o: not _are_columns(o.type_columns, o.dim_descrpt),
        lambda o: (
            f"is {list(o.type_columns)}, but must be ranges of the {o.dim_descrpt} columns of the "
            "descriptor, one after the other; restore the file from a copy"
        ),
    ),
)
