"""Whether settings are of the right kind and in range, in the sentences of both losses."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..errors import ConfigError
from ._rules import Rule, broken


def in_range(value: Any, least: bool) -> bool:
    """Return whether a value is a finite number above zero, or with ``least`` not below."""
    if not isinstance(value, Real):
        return False
    number = float(value)
    return math.isfinite(number) and (number >= 0 if least else number > 0)


def require_loss_func(options: Any) -> None:
    """Raise ConfigError unless errors are squared or absolute."""
    if options.loss_func not in ("mse", "mae"):
        raise ConfigError(f"loss_func must be 'mse' or 'mae', but is {options.loss_func!r}")


def require_above_zero(options: Any, names: Iterable[str]) -> None:
    """Raise ConfigError unless these are numbers > 0, or None."""
    _require_range(options, names, False, "> 0")


def require_not_negative(options: Any, names: Iterable[str]) -> None:
    """Raise ConfigError unless these are numbers ≥ 0, or None."""
    _require_range(options, names, True, "≥ 0")


def _require_range(options: Any, names: Iterable[str], least: bool, words: str) -> None:
    for name in names:
        value = getattr(options, name)
        if value is not None and not in_range(value, least):
            raise ConfigError(f"{name} must be a number {words}, but is {value!r}")


def require_integers(options: Any, names: Iterable[str]) -> None:
    """Raise ConfigError unless these are integers."""
    for name in names:
        value = getattr(options, name)
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ConfigError(f"{name} must be an integer, but is {value!r}")


def require_flags(options: Any, names: Iterable[str]) -> None:
    """Raise ConfigError unless these are True or False."""
    for name in names:
        if not isinstance(getattr(options, name), bool | np.bool_):
            raise ConfigError(f"{name} must be True or False, but is {getattr(options, name)!r}")


def require_rules(options: Any, rules: Iterable[Rule]) -> None:
    """Raise ConfigError for the first rule that the options break."""
    rule = broken(options, rules)
    if rule is not None:
        raise ConfigError(f"{rule.key or 'the loss'} {rule.says(options)}")
