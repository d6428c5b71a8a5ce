"""The ``model.descriptor`` section of se_e3_tebd."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ... import sections as t
from ...rules import Rule
from .._rules import RADIAL_RULES
from .._typed_section import MODE, Mode
from ..dpa1._section import TypedSection


class SeE3TebdSection(TypedSection):
    """The descriptor se_e3_tebd: angles between neighbours, with embedded types."""

    rules: ClassVar[tuple[Rule, ...]] = RADIAL_RULES

    type: Literal["se_e3_tebd"] = Field(description="Kind of descriptor.")
    tebd_input_mode: Mode = Field(default="concat", description=MODE.format("angle"))
    smooth: t.Flag = Field(
        default=True, description="Whether with `strip` the factor of types fades out."
    )
    set_davg_zero: t.Flag = Field(
        default=True,
        description="Whether the mean that the environment is shifted by is set to 0; it does not "
        "enter this descriptor.",
    )
    use_tebd_bias: t.Flag = Field(
        default=True, description="Whether the layer that embeds types has a bias."
    )

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] + self.tebd_dim * self.concat_output_tebd
