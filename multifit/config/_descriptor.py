"""The ``model.descriptor`` section."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from . import _types as t


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
