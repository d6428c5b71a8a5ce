"""What the fitting classes are called with → checked settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import precision as prec
from ..errors import ConfigError, UnsupportedError
from ..nn.activations import activation
from ._invar import Fitting, energies
from ._ranges import require_flag


def _plain(value: Any) -> Any:
    """Return a number or flag of NumPy as Python's, which files can hold."""
    return value.item() if isinstance(value, np.generic) else value


def _flags(trainable: bool | Sequence[bool] | None, neuron: Sequence[int]) -> tuple[bool, ...]:
    """Return one flag for each hidden layer and one for the output layer, if it is one for all."""
    if trainable is None:
        return (True,) * (len(neuron) + 1)
    if isinstance(trainable, Sequence | np.ndarray) and not isinstance(trainable, str):
        return tuple(map(_plain, trainable))
    require_flag("trainable", trainable)
    return (bool(trainable),) * (len(neuron) + 1)


def settings(
    *,
    neuron: Sequence[int],
    trainable: bool | Sequence[bool] | None,
    precision: str,
    activation_function: str,
    exclude_types: Sequence[int],
    default_fparam: Sequence[float] | None,
    atom_ener: Sequence[float | None] | None,
    layer_name: Sequence[str | None] | None,
    spin: Any,
    **rest: Any,
) -> Fitting:
    """Return checked settings.

    Raises
    ------
    ConfigError
        For values out of range, or that do not fit together.
    UnsupportedError
        For options that this version does not have.
    """
    if spin is not None:
        raise UnsupportedError(
            f"spin = {spin!r} is not available: no backend of multifit has spin; leave it out"
        )
    activation(activation_function)
    return Fitting(
        neuron=tuple(map(_plain, neuron)),
        trainable=_flags(trainable, neuron),
        precision=prec.canonical(precision),
        activation_function=activation_function,
        exclude_types=tuple(map(_plain, exclude_types)),
        default_fparam=None if default_fparam is None else tuple(map(_plain, default_fparam)),
        atom_ener=energies(atom_ener),
        layer_name=None if layer_name is None else tuple(layer_name),
        **{name: _plain(value) for name, value in rest.items()},
    )


def given_bias(config: Fitting, name: str, given: Any) -> np.ndarray:
    """Return the given bias (ntypes, dim_out), float64.

    Parameters
    ----------
    name
        Of the option that it was given as.

    Raises
    ------
    ConfigError
        If it has another shape, is not finite, or is not that of ``atom_ener``.
    """
    shape = (config.ntypes, config.dim_out)
    try:
        bias = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"{name} must be an array of numbers {shape}: {exc}") from exc
    if bias.shape != shape:
        raise ConfigError(f"{name} has the shape {bias.shape}, but must be {shape}")
    wrong = np.argwhere(~np.isfinite(bias))
    if wrong.size:
        place = tuple(wrong[0].tolist())
        raise ConfigError(f"{name}{list(place)} is {bias[place]}, but all must be finite")
    for a, energy in enumerate(config.atom_ener or ()):
        if energy is not None and np.any(bias[a] != energy):
            raise ConfigError(
                f"{name} gives type {a} {bias[a].tolist()}, but atom_ener {energy}; leave one "
                "of them out"
            )
    return bias
