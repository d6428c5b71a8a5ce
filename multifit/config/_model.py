"""The ``model`` section: descriptor, fitting net and how the model meets the data."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import MinLen
from pydantic import Field, model_validator

from . import _types as t

TypeMap = Annotated[
    Annotated[tuple[t.Text, ...], MinLen(1)] | None,
    t.Words("a list of one or more element names, or null"),
]
Trainable = Annotated[
    bool | tuple[bool, ...], t.Words("true, false, or a list of true and false, one per layer")
]
LayerNames = Annotated[
    tuple[str | None, ...] | None,
    t.Words("a list with a name or null for each layer, or null"),
]
OutBias = Annotated[
    dict[Literal["energy"], t.Energies] | None,
    t.Words(
        'null or {"energy": [...]} with a number or null for each type, or an object from the '
        "names in type_map to numbers"
    ),
]


class DescriptorSection(t.Section):
    """How the surroundings of an atom become numbers: the smooth two-body embedding se_e2_a."""

    type: Literal["se_e2_a"] = Field(description="Kind of descriptor.")
    sel: t.Sel = Field(
        default="auto",
        description="How many neighbours of each type an atom can have; the farthest beyond that "
        "are dropped. `auto` counts them in the training data, multiplies the largest count by a "
        "factor (`auto:F`, 1.1 by default) and rounds up to a multiple of 4.",
    )
    rcut: t.AboveZero = Field(default=6.0, description="Cut-off radius in Å.")
    rcut_smth: t.NotNegative = Field(
        default=0.5,
        description="Distance in Å from which the weight of a neighbour falls to 0 at `rcut`.",
    )
    neuron: t.SomeWidths = Field(
        default=(10, 20, 40),
        description="Widths of the hidden layers of the embedding net. A layer as wide as the one "
        "before it, or twice as wide, adds its input to its output.",
    )
    axis_neuron: t.Positive = Field(
        default=4,
        description="How many columns of the embedding enter the second factor of D = TᵀT.",
    )
    activation_function: t.Activation = Field(
        default="tanh", description="Activation function of the embedding net."
    )
    resnet_dt: t.Flag = Field(
        default=False,
        description="Whether the layers that add their input have a trainable step size.",
    )
    type_one_side: t.Flag = Field(
        default=False,
        description="Whether the embedding net depends on the type of the neighbour alone, rather "
        "than on the types of both atoms.",
    )
    precision: t.Precision = Field(
        default="default",
        description="Floating-point precision of the embedding net; default is float64.",
    )
    trainable: t.Flag = Field(
        default=True, description="Whether training changes the embedding net."
    )
    seed: t.Seed = Field(
        default=None,
        description="Seed of the initial parameters; null draws another one in each run.",
    )
    exclude_types: t.TypePairs = Field(
        default=(), description="Pairs of types that do not see each other in the descriptor."
    )
    env_protection: t.NotNegative = Field(
        default=0.0, description="Length in Å added to distances before they are divided by."
    )
    set_davg_zero: t.Flag = Field(
        default=False,
        description="Whether the mean that the environment is shifted by is set to 0.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.rcut_smth >= self.rcut:
            raise t.relation("rcut_smth", f"is {self.rcut_smth}, but must be < rcut, {self.rcut}")
        if self.axis_neuron > self.neuron[-1]:
            raise t.relation(
                "axis_neuron",
                f"is {self.axis_neuron}, but must be at most the last width of neuron, "
                f"{self.neuron[-1]}",
            )
        return self


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
        description="Number of branches of a multi-task model, told apart by a one-hot input.",
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
    rcond: t.MaybeNotNegative = Field(
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
        description="Energy in eV of an isolated atom of each type; null leaves a type free.",
    )
    layer_name: LayerNames = Field(
        default=None, description="Names of the layers; layers of one name share their parameters."
    )
    use_aparam_as_mask: t.Flag = Field(
        default=False,
        description="Whether atomic parameters mark real atoms instead of entering the net.",
    )
    tot_ener_zero: t.Flag = Field(
        default=False, description="Whether the sum of the atomic energies is forced to 0."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        layers = len(self.neuron) + 1
        for key, given in (("trainable", self.trainable), ("layer_name", self.layer_name)):
            if isinstance(given, tuple) and len(given) != layers:
                raise t.relation(
                    key,
                    f"has length {len(given)}, but must have length {layers}: {layers - 1} for the "
                    "hidden layers and 1 for the output layer",
                )
        if self.default_fparam is not None and len(self.default_fparam) != self.numb_fparam:
            raise t.relation(
                "default_fparam",
                f"has length {len(self.default_fparam)}, but must have length {self.numb_fparam}, "
                "the value of numb_fparam",
            )
        return self


class ModelSection(t.Section):
    """What is fitted: a descriptor and a fitting net, with the statistics that scale them."""

    type: Literal["standard"] = Field(default="standard", description="Kind of model.")
    type_map: TypeMap = Field(
        default=None,
        description="Names of the types of atoms, in the order of their indices. Without it all "
        "systems have to use the same indices in `type.raw`.",
    )
    descriptor: DescriptorSection = Field(description="The descriptor.")
    fitting_net: FittingNetSection = Field(description="The fitting net.")
    data_stat_nbatch: t.Positive = Field(
        default=10, description="How many batches of each system the statistics are taken from."
    )
    data_stat_protect: t.AboveZero = Field(
        default=0.01, description="Smallest standard deviation that anything is divided by."
    )
    data_bias_nsample: t.Positive = Field(
        default=10,
        description="How many samples of each system a changed energy bias is computed from.",
    )
    pair_exclude_types: t.TypePairs = Field(
        default=(), description="Pairs of types that are not neighbours of each other at all."
    )
    atom_exclude_types: t.Types = Field(
        default=(), description="Types whose atoms contribute no energy of their own."
    )
    preset_out_bias: OutBias = Field(
        default=None,
        description="Energy per atom of each type in eV instead of the fitted one, as "
        '`{"energy": [null, -1.0]}` or `{"energy": {"H": -1.0}}`; null is fitted.',
    )

    @property
    def ntypes(self) -> int | None:
        """Number of types, where ``type_map`` or ``sel`` tells it."""
        if self.type_map is not None:
            return len(self.type_map)
        sel = self.descriptor.sel
        return None if isinstance(sel, str) else len(sel)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_type_map(self)
        _check_lengths(self)
        _check_type_indices(self)
        return self


def _check_type_map(model: ModelSection) -> None:
    names = model.type_map or ()
    for i, name in enumerate(names):
        if name in names[:i]:
            raise t.relation("type_map", f'names "{name}" twice, but must name each type once')


def _check_lengths(model: ModelSection) -> None:
    """Raise if a list with an entry per type has not as many as there are types."""
    ntypes = model.ntypes
    if ntypes is None:
        return
    source = "type_map" if model.type_map is not None else "model.descriptor.sel"
    bias = (model.preset_out_bias or {}).get("energy", ())
    for key, given in (
        ("descriptor.sel", model.descriptor.sel),
        ("fitting_net.atom_ener", model.fitting_net.atom_ener),
        ("preset_out_bias.energy", bias),
    ):
        if isinstance(given, tuple) and len(given) not in (0, ntypes):
            raise t.relation(
                key,
                f"has length {len(given)}, but must have length {ntypes}, one entry for each type "
                f"of {source}",
            )


def _check_type_indices(model: ModelSection) -> None:
    ntypes = model.ntypes
    if ntypes is None:
        return
    pairs = {
        "descriptor.exclude_types": model.descriptor.exclude_types,
        "pair_exclude_types": model.pair_exclude_types,
        "atom_exclude_types": (model.atom_exclude_types,),
    }
    for key, groups in pairs.items():
        for index in (i for group in groups for i in group):
            if index >= ntypes:
                raise t.relation(
                    key,
                    f"names type {index}, but must name types below {ntypes}: the indices count "
                    "from 0",
                )
