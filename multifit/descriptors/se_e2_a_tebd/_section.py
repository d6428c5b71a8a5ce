"""The ``model.descriptor`` section of se_e2_a with embedded types."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ... import sections as t
from ...rules import Rule
from .._typed_section import MODE, Mode
from ._rules import RULES

#: About keys that an input of DeePMD-kit has in ``model.type_embedding``.
THERE = "`{}` of DeePMD-kit's `model.type_embedding`."


class SeE2ATebdSection(t.RadialSection):
    """The embedding se_e2_a with one net for all types, which are embedded as vectors.

    Inputs of DeePMD-kit have `"type": "se_e2_a"` (concat) or `"se_a_ebd_v2"` (strip) and
    `model.type_embedding`. Its TensorFlow alone has this descriptor, without model files; those of
    multifit are its own.
    """

    rules: ClassVar[tuple[Rule, ...]] = RULES
    one_fitting_net: ClassVar[bool] = True
    can_vanish: ClassVar[bool] = True

    type: Literal["se_e2_a_tebd"] = Field(
        description="Kind of descriptor. Not a type of DeePMD-kit."
    )
    axis_neuron: t.Positive = Field(
        default=4,
        description="How many columns of the embedding enter the second factor of D = TᵀT.",
    )
    tebd_input_mode: Mode = Field(default="concat", description=MODE.format("distance"))
    type_neuron: t.SomeWidths = Field(
        default=(8,), description=f"Widths of the layers that embed types: {THERE.format('neuron')}"
    )
    type_activation_function: t.Activation = Field(
        default="tanh",
        description=f"Their activation function: {THERE.format('activation_function')}",
    )
    type_resnet_dt: t.Flag = Field(
        default=False,
        description="Whether layers that add their input have a trainable step size: "
        f"{THERE.format('resnet_dt')}",
    )
    type_precision: t.Precision = Field(
        default="default", description=f"Their precision: {THERE.format('precision')}"
    )
    type_trainable: t.Flag = Field(
        default=True, description=f"Whether training changes them: {THERE.format('trainable')}"
    )
    type_seed: t.Seed = Field(
        default=None,
        description=f"Seed of their initial parameters; null derives it from `seed`: "
        f"{THERE.format('seed')}",
    )
    use_econf_tebd: t.Flag = Field(
        default=False,
        description="Whether types are embedded from the electron configurations of the elements "
        "in `type_map`.",
    )
    use_tebd_bias: t.Flag = Field(
        default=False, description="Whether the layers that embed types have biases."
    )

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] * self.axis_neuron + self.type_neuron[-1]

    @property
    def is_own(self) -> bool:
        """True: DeePMD-kit has no form of model files for it."""
        return True

    @property
    def appends_types(self) -> bool:
        """True: a vector of the atom's type stands beside the environment."""
        return True
