"""What each option of a fitting net must be by itself, where no input file was checked before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..errors import ConfigError

#: Options that are integers → the least that they may be.
_COUNTS = {
    "ntypes": 1,
    "dim_descrpt": 1,
    "dim_out": 1,
    "numb_fparam": 0,
    "numb_aparam": 0,
    "dim_case_embd": 0,
}
_FLAGS = ("resnet_dt", "mixed_types", "use_aparam_as_mask", "tot_ener_zero")


def require_ranges(config: Any) -> None:
    """Raise ConfigError if an option is of another kind, or too small or large, for itself."""
    for name, least in _COUNTS.items():
        require_count(name, getattr(config, name), least)
    for k, width in enumerate(config.neuron):
        require_count(f"neuron[{k}]", width, 1)
    for name in _FLAGS:
        require_flag(name, getattr(config, name))
    for k, flag in enumerate(config.trainable or ()):
        require_flag(f"trainable[{k}]", flag)
    if config.rcond is not None and not (_is_finite(config.rcond) and 0 <= config.rcond < 1):
        raise ConfigError(f"rcond must be None or a number ≥ 0 and < 1, but is {config.rcond!r}")
    for name in ("default_fparam", "atom_ener"):
        _require_finite(name, getattr(config, name) or ())
    for a in config.exclude_types:
        if not _is_integer(a) or not 0 <= a < config.ntypes:
            raise ConfigError(
                f"exclude_types names type {a!r}, but there are {config.ntypes} types, and types "
                "count from 0"
            )


def require_flag(name: str, value: Any) -> None:
    """Raise ConfigError unless the value is true or false; a text is neither."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} must be True or False, but is {value!r}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_count(name: str, value: Any, least: int) -> None:
    """Raise ConfigError unless the value is an integer, and not below the least."""
    if not _is_integer(value) or value < least:
        raise ConfigError(f"{name} must be an integer ≥ {least}, but is {value!r}")


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _require_finite(name: str, values: Sequence[Any]) -> None:
    for k, value in enumerate(values):
        if value is None and name == "atom_ener":
            continue
        if not _is_finite(value):
            raise ConfigError(f"{name}[{k}] must be a finite number, but is {value!r}")
