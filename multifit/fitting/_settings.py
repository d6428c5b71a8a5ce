"""The settings of a fitting net, for the core, and conversion from users' and files' options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from .. import precision as prec
from ..errors import ConfigError
from ..nn.activations import activation
from ..nn.networks import Network, fitting_network
from ..rules import FLAG, require
from ._rules import COLUMN_RULES, FITTING_RANGES, FITTING_RULES, TYPE_RULES
from ._shared import Owners, layer_conflict, layer_owners


@dataclass(frozen=True)
class Fitting:
    """The settings of a fitting net, under the names of ``input.json`` and of model files."""

    ntypes: int
    dim_descrpt: int
    dim_out: int = 1
    var_name: str = "energy"
    neuron: tuple[int, ...] = (120, 120, 120)
    resnet_dt: bool = True
    numb_fparam: int = 0
    numb_aparam: int = 0
    default_fparam: tuple[float, ...] | None = None
    rcond: float | None = None
    trainable: tuple[bool, ...] | None = None  #: hidden layers and output; None for all
    activation_function: str = "tanh"
    precision: str = prec.GLOBAL
    output_precision: str | None = None  #: of the output layer; None for that of the others
    mixed_types: bool = False
    exclude_types: tuple[int, ...] = ()
    dim_case_embd: int = 0
    atom_ener: tuple[float | None, ...] | None = None
    layer_name: tuple[str | None, ...] | None = None
    use_aparam_as_mask: bool = False
    tot_ener_zero: bool = False
    #: With ``atom_ener``: columns of D, (start, stop), that an atom without neighbours has, too.
    type_columns: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Raise an error for settings out of range, or contradictory ones."""
        require(self, FITTING_RANGES, (*FITTING_RULES, *TYPE_RULES, *COLUMN_RULES))
        conflict = layer_conflict(self.network, self.layer_name)
        if conflict is not None:
            raise ConfigError(f"layer_name {conflict}")

    @property
    def dim_in(self) -> int:
        """Width of a net's input."""
        return self.network.n_in

    @property
    def parameters(self) -> dict[str, int]:
        """The numbers of ``fparam`` and ``aparam`` in the input of the nets, without zeros."""
        return _parameters(self)

    def leaves_out_vacuum(self, centre: int) -> bool:
        """Return True if the output for D = 0 is subtracted for atoms of this type.

        With one net for all types it is for all, as in DeePMD-kit.
        """
        if self.atom_ener is None:
            return False
        return self.mixed_types or self.atom_ener[centre] is not None

    @property
    def n_networks(self) -> int:
        """One net for each type, or a single one shared by all."""
        return 1 if self.mixed_types else self.ntypes

    def network_index(self, centre: int) -> int:
        """Return the index of the net of atoms of this type."""
        return 0 if self.mixed_types else centre

    @cached_property
    def network(self) -> Network:
        """The settings common to all nets."""
        return network(self, self.dim_descrpt)

    @cached_property
    def owners(self) -> Owners:
        """The layer of the first net with the parameters of each layer; None for its own."""
        return layer_owners(len(self.neuron) + 1, self.layer_name)


def _parameters(options: Any) -> dict[str, int]:
    aparam = 0 if options.use_aparam_as_mask else options.numb_aparam
    sizes = {"fparam": options.numb_fparam, "aparam": aparam}
    return {kind: n for kind, n in sizes.items() if n}


def network(options: Any, dim_descrpt: int) -> Network:
    """Return the settings of a net.

    Parameters
    ----------
    options
        A :class:`Fitting`, or the section of an input.
    dim_descrpt
        Number of components of the descriptor.
    """
    return fitting_network(
        dim_descrpt + sum(_parameters(options).values()) + options.dim_case_embd,
        options.dim_out,
        options.neuron,
        activation_function=options.activation_function,
        resnet_dt=options.resnet_dt,
        precision=prec.canonical(options.precision),
        output_precision=output_precision(options.precision, options.output_precision),
        trainable=_flags(options.trainable, options.neuron),
    )


def output_precision(precision: str, given: str | None) -> str | None:
    """Return the precision of the output layer if it is another than that of the hidden layers."""
    if given is None or prec.canonical(given) == prec.canonical(precision):
        return None
    return prec.canonical(given)


def _plain(value: Any) -> Any:
    """Return a number or flag of NumPy as Python's, which files can hold."""
    return value.item() if isinstance(value, np.generic) else value


def _plain_tuple(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(map(_plain, values))


def _flags(trainable: bool | Sequence[bool] | None, neuron: Sequence[int]) -> tuple[bool, ...]:
    """Return one flag for each hidden layer and one for the output layer, if it is one for all."""
    if trainable is None:
        return (True,) * (len(neuron) + 1)
    if isinstance(trainable, Sequence | np.ndarray) and not isinstance(trainable, str):
        return tuple(map(_plain, trainable))
    FLAG.require("trainable", trainable)
    return (bool(trainable),) * (len(neuron) + 1)


def energies(given: Sequence[float | None] | None) -> tuple[float | None, ...] | None:
    """Return ``atom_ener`` in the form of settings: None if it has no energy."""
    # Values that are not numbers are rejected by the settings.
    numbers = () if given is None else given
    values = tuple(float(x) if isinstance(x, Real) else x for x in numbers)
    return values if any(x is not None for x in values) else None


#: Option → function that converts it to the form of :class:`Fitting`.
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "neuron": _plain_tuple,
    "precision": prec.canonical,
    "output_precision": lambda name: None if name is None else prec.canonical(name),
    "exclude_types": _plain_tuple,
    "default_fparam": _plain_tuple,
    "atom_ener": energies,
    "layer_name": _plain_tuple,
    "type_columns": lambda spans: tuple(tuple(map(_plain, span)) for span in spans),
}


def settings(*, neuron: Sequence[int], trainable: Any = None, **options: Any) -> Fitting:
    """Return checked settings from options given by users and files.

    Parameters
    ----------
    neuron, trainable, **options
        Those of :class:`Fitting`; sequences can be lists or arrays as well, numbers NumPy's,
        and ``trainable`` may be one flag for all layers.

    Raises
    ------
    ConfigError
        For values out of range, or inconsistent ones.
    """
    activation(options.get("activation_function", Fitting.activation_function))
    options |= {"neuron": neuron, "trainable": _flags(trainable, neuron)}
    return Fitting(
        **{name: _CONVERSIONS.get(name, _plain)(value) for name, value in options.items()}
    )
