"""Ranges of options and relations between options, as data.

A section of the input and the settings that it becomes read the same tables, so that an option is
checked alike in ``input.json``, in a class and in a model file. Only the subject of a message
differs: ``loss.start_pref_e in input.json is -1, but must be a number ≥ 0`` in an input,
``start_pref_e must be a number ≥ 0, but is -1`` in Python.

>>> from types import SimpleNamespace
>>> ranges = {"width": Range(int, "an integer > 0", gt=0)}
>>> rules = (Rule("width", lambda o: o.width % 2 == 1, "is odd, but must be even"),)
>>> require(SimpleNamespace(width=3), ranges, rules)
Traceback (most recent call last):
multifit.errors.ConfigError: width is odd, but must be even
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from .errors import ConfigError

#: Characters of a value in a message.
SHOWN = 200

_KINDS: dict[type, Any] = {int: Integral, float: Real, str: str}


@dataclass(frozen=True)
class Range:
    """The values that an option may have.

    Attributes
    ----------
    kind
        ``bool``, ``int``, ``float`` (finite, or an integer) or ``str``; NumPy's scalars are
        accepted, and a boolean is not a number.
    words
        The range, after "must be".
    ge, gt, lt
        Bounds.
    le
        The limit beyond which a value is absurd; only messages about such values have it.
    choices
        The accepted texts.
    null
        True if None is accepted.
    python
        The range in messages to a caller in Python, if other than ``words``.
    wrong_kind
        The same for a value of another kind, if other than ``python``.
    """

    kind: type
    words: str
    ge: float | None = None
    gt: float | None = None
    lt: float | None = None
    le: float | None = None
    choices: tuple[str, ...] = ()
    null: bool = False
    python: str = ""
    wrong_kind: str = ""

    def require(self, name: str, value: Any) -> None:
        """Raise ConfigError, with the name of the option, for a value out of range."""
        if value is None and self.null:
            return
        python = self.python or self.words
        if not self._is_kind(value):
            raise ConfigError(f"{name} must be {self.wrong_kind or python}, but is {_shown(value)}")
        if not self._is_within(value):
            limit = at_most(value, self.le)
            raise ConfigError(f"{name} must be {python}{limit}, but is {_shown(value)}")

    def allows(self, value: Any) -> bool:
        """Return True for a value in range."""
        return (value is None and self.null) or (self._is_kind(value) and self._is_within(value))

    def _is_kind(self, value: Any) -> bool:
        boolean = isinstance(value, bool | np.bool_)
        if self.kind is bool:
            return boolean
        return isinstance(value, _KINDS[self.kind]) and not boolean

    def _is_within(self, value: Any) -> bool:
        if self.kind is str:
            return value in self.choices
        if self.kind is bool:
            return True
        return (
            math.isfinite(value)
            and (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.lt is None or value < self.lt)
            and (self.le is None or value <= self.le)
        )


def _shown(value: Any) -> str:
    """Return a value on one line, shortened: a file may give an array or a thousand digits."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def at_most(value: Any, limit: float | None) -> str:
    """Return the words about a limit, for a value beyond it; nothing for others."""
    beyond = limit is not None and isinstance(value, int | float) and value > limit
    return f" and at most {limit:g}" if beyond else ""


@dataclass(frozen=True)
class ListRange:
    """The values that an option with a list may have.

    Attributes
    ----------
    items
        The range of each element.
    words, null
        As of :class:`Range`, for the list.
    length
        The number of elements; 0 for any.
    single
        True if an input may give one value instead of a list.
    python
        The range in messages to a caller in Python, which then name the list, not an element.
    """

    items: Range
    words: str
    null: bool = False
    length: int = 0
    single: bool = False
    python: str = ""

    def require(self, name: str, values: Any) -> None:
        """Raise ConfigError for an element out of range; None stands for an empty list."""
        if self.python and not all(map(self.items.allows, values)):
            raise ConfigError(f"{name} must be {self.python}, but is {list(values)}")
        for k, value in enumerate(values or ()):
            self.items.require(f"{name}[{k}]", value)


#: Option → its range.
Ranges = Mapping[str, Range | ListRange]


class Rule(NamedTuple):
    """A relation between options: one combination that is an error."""

    key: str  #: the option that the sentence is about; "" for all options together
    broken: Callable[[Any], bool]  #: takes the options, as attributes
    sentence: str | Callable[[Any], str]  #: continues after the option; a function of the options

    def says(self, options: Any) -> str:
        """Return the sentence for these options."""
        return self.sentence if isinstance(self.sentence, str) else self.sentence(options)


def first_broken(options: Any, rules: Iterable[Rule]) -> Rule | None:
    """Return the first rule that the options break, or None.

    Parameters
    ----------
    options
        An object with the options as attributes: settings, or a section of the input.
    """
    return next((rule for rule in rules if rule.broken(options)), None)


def require(options: Any, ranges: Ranges, rules: Iterable[Rule], title: str = "") -> None:
    """Raise ConfigError for the first option out of range, or the first broken rule.

    Parameters
    ----------
    title
        The subject of a rule about all options together.
    """
    for name, allowed in ranges.items():
        allowed.require(name, getattr(options, name))
    rule = first_broken(options, rules)
    if rule is not None:
        raise ConfigError(f"{rule.key or title} {rule.says(options)}")


def unknown_types(given: Iterable[Any], ntypes: int, pairs: bool = False) -> list[Any]:
    """Return what is not the index of a type, of a list of indices or of pairs of them."""
    if not pairs:
        return [a for a in given if not (COUNT.allows(a) and a < ntypes)]
    wrong: list[Any] = []
    for pair in given:
        if isinstance(pair, tuple) and len(pair) == 2:
            wrong += unknown_types(pair, ntypes)
        else:
            wrong.append(pair)
    return wrong


def names_types(key: str, pairs: bool = False) -> Rule:
    """Return the rule that a list of types, or of pairs of types, names those of ``ntypes``."""

    def wrong(options: Any) -> list[Any]:
        return unknown_types(getattr(options, key), options.ntypes, pairs)

    return Rule(
        key,
        lambda o: bool(wrong(o)),
        lambda o: (
            f"names type {wrong(o)[0]!r}, but there are {o.ntypes} types, and types count from 0"
        ),
    )


FLAG = Range(bool, "true or false", python="True or False")
NUMBER = Range(float, "a number", python="a finite number")
MAYBE_NUMBER = Range(float, "a number or null", null=True, python="a finite number")
NOT_NEGATIVE = Range(float, "a number ≥ 0", ge=0)
ABOVE_ZERO = Range(float, "a number > 0", gt=0)
MAYBE_ABOVE_ZERO = Range(float, "a number > 0, or null", gt=0, null=True, python="a number > 0")
MAYBE_BELOW_ONE = Range(
    *(float, "a number ≥ 0 and < 1, or null"),
    ge=0,
    lt=1,
    null=True,
    python="None or a number ≥ 0 and < 1",
)
COUNT = Range(int, "an integer ≥ 0", ge=0)
POSITIVE = Range(int, "an integer > 0", gt=0, python="an integer ≥ 1")

# Limits beyond which a value is a mistake, or made to fill the memory.

#: Å; of a cutoff.
MAX_CUTOFF = 1000.0
#: Slots for neighbours of one type: a sphere of 30 Å holds some 11 000 atoms of water.
MAX_SLOTS = 100_000
#: Width of a layer, and number of components of its input and output.
MAX_WIDTH = 100_000

CUTOFF = Range(float, "a number > 0", gt=0, le=MAX_CUTOFF)
SLOTS = Range(int, "an integer ≥ 0", ge=0, le=MAX_SLOTS)
WIDTH = Range(int, "an integer > 0", gt=0, le=MAX_WIDTH, python="an integer ≥ 1")
COMPONENTS = Range(int, "an integer ≥ 0", ge=0, le=MAX_WIDTH)
