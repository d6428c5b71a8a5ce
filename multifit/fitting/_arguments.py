"""What the fitting classes are called with → checked settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import precision as prec
from ..activations import activation
from ..errors import ConfigError, UnsupportedError
from ._invar import Fitting, energies


def _flags(trainable: bool | Sequence[bool] | None, neuron: Sequence[int]) -> tuple[bool, ...]:
    """Return one flag for each hidden layer and one for the output layer."""
    if trainable is None or isinstance(trainable, bool):
        return (trainable is not False,) * (len(neuron) + 1)
    if len(trainable) != len(neuron) + 1:
        raise ConfigError(
            f"trainable has {len(trainable)} entries, but {len(neuron)} hidden layers and the "
            f"output layer need {len(neuron) + 1}"
        )
    return tuple(bool(flag) for flag in trainable)


def settings(
    *,
    neuron: Sequence[int],
    trainable: bool | Sequence[bool] | None,
    precision: str,
    activation_function: str,
    exclude_types: Sequence[int],
    default_fparam: Sequence[float] | None,
    numb_fparam: int,
    atom_ener: Sequence[float | None] | None,
    layer_name: Sequence[str | None] | None,
    spin: Any,
    **rest: Any,
) -> Fitting:
    """Return checked settings.

    Raises
    ------
    ConfigError
        For values that do not fit together.
    UnsupportedError
        For options that this version does not have.
    """
    if spin is not None:
        raise UnsupportedError(
            f"spin = {spin!r} is not available: no backend of multifit has spin; leave it out"
        )
    if default_fparam is not None and len(default_fparam) != numb_fparam:
        raise ConfigError(
            f"default_fparam has {len(default_fparam)} numbers, but numb_fparam is {numb_fparam}"
        )
    activation(activation_function)
    return Fitting(
        neuron=tuple(neuron),
        trainable=_flags(trainable, neuron),
        precision=prec.canonical(precision),
        activation_function=activation_function,
        exclude_types=tuple(exclude_types),
        default_fparam=None if default_fparam is None else tuple(default_fparam),
        numb_fparam=numb_fparam,
        atom_ener=energies(atom_ener),
        layer_name=None if layer_name is None else tuple(layer_name),
        **rest,
    )


def given_bias(config: Fitting, given: np.ndarray) -> np.ndarray:
    """Return the given bias (ntypes, dim_out).

    Raises
    ------
    ConfigError
        If it has another shape, or is not that of ``atom_ener``.
    """
    shape = (config.ntypes, config.dim_out)
    if given.shape != shape:
        raise ConfigError(f"the bias has the shape {given.shape}, but it must be {shape}")
    for a, energy in enumerate(config.atom_ener or ()):
        if energy is not None and np.any(given[a] != energy):
            raise ConfigError(
                f"bias_atom gives type {a} {given[a].tolist()}, but atom_ener {energy}; leave one "
                "of them out"
            )
    return given
