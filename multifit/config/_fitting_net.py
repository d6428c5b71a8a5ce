"""The ``model.fitting_net`` section."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..fitting import broken, gives_energies
from . import _types as t

Trainable = Annotated[
    bool | tuple[bool, ...], t.Words("true, false, or a list of true and false, one per layer")
]
LayerNames = Annotated[
    tuple[str | None, ...] | None,
    t.Words("a list with a name or null for each layer, or null"),
]


class FittingNetSection(t.Section):
    """How an atom's descriptor becomes its energy: one dense residual network per type."""

    type: Literal["ener"] = Field(default="ener", description="What is fitted.")
    numb_fparam: t.Count = Field(
        default=0, description="How many frame parameters (`fparam.npy`) enter the network."
    )
    numb_aparam: t.Count = Field(
        default=0, description="How many atomic parameters (`aparam.npy`) enter the network."
    )
    default_fparam: t.Numbers = Field(
        default=None, description="Frame parameters of data that have no `fparam.npy`."
    )
    dim_case_embd: t.Count = Field(
        default=0,
        description="Number of branches of a multi-task model, told apart by a one-hot input, "
        "which is 0 in a run that starts from nothing.",
    )
    neuron: t.Widths = Field(
        default=(120, 120, 120),
        description="Widths of the hidden layers. A layer as wide as the one before it adds its "
        "input to its output.",
    )
    activation_function: t.Activation = Field(
        default="tanh", description="Activation function of the fitting net."
    )
    precision: t.Precision = Field(
        default="default",
        description="Floating-point precision of the fitting net; default is float64.",
    )
    resnet_dt: t.Flag = Field(
        default=True,
        description="Whether the layers that add their input have a trainable step size.",
    )
    trainable: Trainable = Field(
        default=True,
        description="Whether training changes the fitting net; a list says it for each hidden "
        "layer and the output layer.",
    )
    rcond: t.MaybeBelowOne = Field(
        default=None,
        description="Relative size below which singular values count as 0 in the least-squares "
        "fit of the energy per type; null takes the machine precision.",
    )
    seed: t.Seed = Field(
        default=None,
        description="Seed of the initial parameters; null draws another one in each run.",
    )
    atom_ener: t.Energies = Field(
        default=(),
        description="Energy in eV of an isolated atom of each type; null leaves a type free. Needs "
        "`set_davg_zero` in the descriptor.",
    )
    layer_name: LayerNames = Field(
        default=None,
        description="Names of the layers, hidden and output; layers of one name share their "
        "parameters, in the nets of all types. A layer without a name has its own.",
    )
    use_aparam_as_mask: t.Flag = Field(
        default=False,
        description="Whether `aparam.npy` marks real atoms instead of entering the net: one of "
        "which it is 0 is not there.",
    )
    tot_ener_zero: t.Flag = Field(
        default=False,
        description="Whether the mean of the atomic energies of a frame is subtracted, so that "
        "their sum is 0. Needs a loss of atomic energies.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = broken(self)
        if found is not None:
            raise t.relation(*found)
        return self

    @property
    def gives_energies(self) -> bool:
        """Whether ``atom_ener`` has an energy for any type."""
        return gives_energies(self)
