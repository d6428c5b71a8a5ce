"""DeePMD's fitting class of densities of states: :class:`InvarFitting` under another signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Backend
from ..nn.networks import Seed
from ._arguments import given_bias
from ._classes import InvarFitting
from ._ranges import require_count

Array = Any


class DOSFittingNet(InvarFitting):
    """Fit atomic densities of states, of which that of a frame is the sum.

    The parameters are those of DeePMD-kit's class, in its order.

    Parameters
    ----------
    ntypes, dim_descrpt
        Number of atom types, and of components of the descriptor.
    numb_dos
        Number of energies at which the density of states is given.
    neuron, resnet_dt, activation_function, precision
        Widths of the hidden layers, whether those that add their input have a trainable step, their
        activation function and precision.
    numb_fparam, numb_aparam
        How many parameters of a frame, and of an atom, are inputs of the net.
    bias_dos
        What is added to the outputs of each type, (ntypes, numb_dos); zero if not given.
    rcond
        Relative size below which singular values count as zero when the bias is fitted.
    trainable
        Whether training changes the net; a list says it for each hidden layer and the output layer.
    mixed_types
        Whether all types share one net.
    exclude_types
        Types whose atoms contribute nothing.
    type_map
        Names of the types.
    seed
        Of the initial weights.
    dim_case_embd, default_fparam
        As in :class:`EnergyFittingNet`.
    backend
        The name of a backend, or an adapter.

    Raises
    ------
    ConfigError
        For values out of range, or that do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> net = DOSFittingNet(ntypes=2, dim_descrpt=3, numb_dos=7, neuron=[4, 4], seed=1)
    >>> net(np.zeros((1, 5, 3)), np.zeros((1, 5), dtype=int))["dos"].shape
    (1, 5, 7)
    """

    fits = "dos"

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
    ) -> None:
        require_count("numb_dos", numb_dos, 1)  # before it is checked under the name dim_out
        super().__init__(
            var_name="dos",
            ntypes=ntypes,
            dim_descrpt=dim_descrpt,
            dim_out=numb_dos,
            neuron=neuron,
            resnet_dt=resnet_dt,
            numb_fparam=numb_fparam,
            numb_aparam=numb_aparam,
            rcond=rcond,
            trainable=trainable,
            activation_function=activation_function,
            precision=precision,
            mixed_types=mixed_types,
            exclude_types=exclude_types,
            type_map=type_map,
            seed=seed,
            dim_case_embd=dim_case_embd,
            default_fparam=default_fparam,
            backend=backend,
        )
        if bias_dos is not None:
            bias = given_bias(self.config, "bias_dos", bias_dos)
            self.params["bias_atom_e"] = self.backend.asarray(bias)

    @property
    def bias_dos(self) -> Array:
        """What is added to the outputs of each type, (ntypes, numb_dos)."""
        return self.params["bias_atom_e"]
