"""What a fitting net's options must be beside each other: one table for ``input.json`` and Python.

The sentences go on behind the name of the option, as in ``trainable has length 1, but must …``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """One relation between options."""

    key: str  #: the option that the sentence is about
    broken: Callable[[Any], bool]  #: of the options, as attributes
    sentence: Callable[[Any], str]


def _layers(options: Any) -> int:
    return len(options.neuron) + 1


def _not_of_layers(key: str) -> Callable[[Any], bool]:
    def wrong(options: Any) -> bool:
        given = getattr(options, key)
        return isinstance(given, tuple) and len(given) != _layers(options)

    return wrong


def _needs_layers(key: str) -> Callable[[Any], str]:
    return lambda o: (
        f"has length {len(getattr(o, key))}, but must have length {_layers(o)}: {_layers(o) - 1} "
        "for the hidden layers and 1 for the output layer"
    )


def gives_energies(options: Any) -> bool:
    """Return whether ``atom_ener`` has an energy for any type."""
    return any(energy is not None for energy in options.atom_ener or ())


RULES: tuple[Rule, ...] = (
    *(Rule(key, _not_of_layers(key), _needs_layers(key)) for key in ("trainable", "layer_name")),
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
        lambda o: (
            "is true, but must be false with atom_ener: the energy of an isolated atom is either "
            "given or 0"
        ),
    ),
)


def broken(options: Any) -> tuple[str, str] | None:
    """Return the first option that does not fit the others and the rest of the sentence, or None.

    Parameters
    ----------
    options
        Anything with the options of ``input.json``'s fitting section as attributes.
    """
    for rule in RULES:
        if rule.broken(options):
            return rule.key, rule.sentence(options)
    return None
