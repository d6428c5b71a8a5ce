"""DeePMD-kit's classes of fitting nets, each with its signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..backend import Backend
from ..errors import ConfigError, UnsupportedError
from ..fitting import Fitting, init, settings
from ..nn.networks import Seed
from ..rules import POSITIVE
from ._arguments import collect_arguments
from ._general_fitting import GeneralFitting

Array = Any


class InvarFitting(GeneralFitting):
    """Fit a rotationally invariant atomic quantity of ``dim_out`` components.

    The parameters are those of DeePMD-kit's class; ``seed`` draws its initial weights.
    ``bias_atom`` is (ntypes, dim_out).
    """

    #: The arguments for the number of outputs and for the bias of each type.
    _dim_out: ClassVar[str] = "dim_out"
    _bias: ClassVar[str] = "bias_atom"

    @collect_arguments
    def __init__(
        self,
        var_name: str,
        ntypes: int,
        dim_descrpt: int,
        dim_out: int,
        neuron: Sequence[int] = (120, 120, 120),
        resnet_dt: bool = True,
        numb_fparam: int = 0,
        numb_aparam: int = 0,
        bias_atom: np.ndarray | None = None,
        rcond: float | None = None,
        tot_ener_zero: bool = False,
        trainable: bool | Sequence[bool] | None = None,
        atom_ener: Sequence[float | None] | None = None,
        activation_function: str = "tanh",
        precision: str = "float64",
        layer_name: Sequence[str | None] | None = None,
        use_aparam_as_mask: bool = False,
        spin: Any = None,
        mixed_types: bool = True,
        exclude_types: Sequence[int] = (),
        type_map: Sequence[str] | None = None,
        seed: Seed = None,
        *,
        dim_case_embd: int = 0,
        default_fparam: Sequence[float] | None = None,
        backend: str | Backend = "numpy",
    ) -> None: ...

    def _setup(
        self,
        *,
        type_map: Sequence[str] | None,
        seed: Seed,
        backend: str | Backend,
        spin: Any = None,
        **options: Any,
    ) -> None:
        """Set settings, initial parameters and the given bias from the arguments.

        Raises
        ------
        ConfigError
            For values out of range, or inconsistent ones.
        UnsupportedError
            For options that this version or the backend does not support.
        """
        if spin is not None:
            raise UnsupportedError(
                f"spin = {spin!r} is not available: no backend of multifit has spin; leave it out"
            )
        bias, dim_out = options.pop(self._bias, None), options.pop(self._dim_out, 1)
        POSITIVE.require(self._dim_out, dim_out)
        if self.fits is not None:
            options["var_name"] = self.fits
        config = settings(dim_out=dim_out, **options)
        params = init(config, seed)
        if bias is not None:
            params["bias_atom_e"] = _checked_bias(config, self._bias, bias)
        super().__init__(config, params, type_map, backend)


class EnergyFittingNet(InvarFitting):
    """Fit atomic energies in eV.

    Examples
    --------
    >>> import numpy as np
    >>> net = EnergyFittingNet(ntypes=2, dim_descrpt=3, neuron=[4, 4], seed=1)
    >>> net(np.zeros((1, 5, 3)), np.zeros((1, 5), dtype=int))["energy"].shape
    (1, 5, 1)
    """

    fits = "energy"

    @collect_arguments
    def __init__(
        self,
        ntypes: int,
        dim_descrpt: int,
        neuron: Sequence[int] = (120, 120, 120),
        resnet_dt: bool = True,
        numb_fparam: int = 0,
        numb_aparam: int = 0,
        rcond: float | None = None,
        tot_ener_zero: bool = False,
        trainable: bool | Sequence[bool] | None = None,
        atom_ener: Sequence[float | None] | None = None,
        activation_function: str = "tanh",
        precision: str = "float64",
        layer_name: Sequence[str | None] | None = None,
        use_aparam_as_mask: bool = False,
        spin: Any = None,
        mixed_types: bool = False,
        exclude_types: Sequence[int] = (),
        type_map: Sequence[str] | None = None,
        seed: Seed = None,
        *,
        dim_case_embd: int = 0,
        default_fparam: Sequence[float] | None = None,
        backend: str | Backend = "numpy",
    ) -> None: ...


class DOSFittingNet(InvarFitting):
    """Fit atomic densities of states, whose sum is that of a frame.

    The parameters are those of DeePMD-kit's class, in its order.

    Parameters
    ----------
    ntypes, dim_descrpt
        Number of atom types, and of components of the descriptor.
    numb_dos
        Number of energies at which the density of states is given.
    neuron, resnet_dt, activation_function, precision
        Widths of the hidden layers; True if layers with a residual connection have a trainable time
        step; activation function and precision.
    numb_fparam, numb_aparam
        Number of frame parameters, and of atomic parameters.
    bias_dos
        Bias of the outputs of each type, (ntypes, numb_dos); 0 by default.
    rcond
        Relative size below which singular values count as zero when the bias is fitted.
    trainable
        True if training changes the net; a list has one flag for each hidden layer and the output.
    mixed_types
        True if all types share one net.
    exclude_types
        Types whose atoms contribute nothing.
    type_map
        Names of the types.
    seed
        Seed of the initial weights.
    dim_case_embd, default_fparam
        Number of branches of a multi-task model; frame parameters where none are given.
    backend
        The name of a backend, or an adapter.

    Raises
    ------
    ConfigError
        For values out of range, or inconsistent ones.

    Examples
    --------
    >>> import numpy as np
    >>> net = DOSFittingNet(ntypes=2, dim_descrpt=3, numb_dos=7, neuron=[4, 4], seed=1)
    >>> net(np.zeros((1, 5, 3)), np.zeros((1, 5), dtype=int))["dos"].shape
    (1, 5, 7)
    """

    fits = "dos"
    _dim_out = "numb_dos"
    _bias = "bias_dos"

    @collect_arguments
    def __init__(
        self,
        ntypes: int,
        dim_descrpt: int,
        numb_dos: int = 300,
        neuron: Sequence[int] = (120, 120, 120),
        resnet_dt: bool = True,
        numb_fparam: int = 0,
        numb_aparam: int = 0,
        bias_dos: np.ndarray | None = None,
        rcond: float | None = None,
        trainable: bool | Sequence[bool] = True,
        activation_function: str = "tanh",
        precision: str = "float64",
        mixed_types: bool = False,
        exclude_types: Sequence[int] = (),
        type_map: Sequence[str] | None = None,
        seed: Seed = None,
        *,
        dim_case_embd: int = 0,
        default_fparam: Sequence[float] | None = None,
        backend: str | Backend = "numpy",
    ) -> None: ...

    @property
    def bias_dos(self) -> Array:
        """The numbers added to the outputs of each type, (ntypes, numb_dos)."""
        return self.params["bias_atom_e"]


def _checked_bias(config: Fitting, name: str, given: Any) -> np.ndarray:
    """Return the given bias (ntypes, dim_out), float64.

    Parameters
    ----------
    name
        Of the option.

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
