"""The ``model.descriptor`` sections of se_atten and se_atten_v2."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ... import sections as t
from ...rules import Rule
from .._typed_section import APPENDS, MODE, NSEL, Mode, TypeKeys
from ._rules import RULES


class TypedSection(t.EmbeddingSection, TypeKeys):
    """The keys of descriptors with embedded types."""

    can_vanish: ClassVar[bool] = True
    mixed_types: ClassVar[bool] = True

    sel: t.MixedSel = Field(
        default="auto",
        description=NSEL.format("") + " Of a list, only the sum counts.",
    )
    tebd_dim: t.Width = Field(default=8, description="Length of the embedding of a type.")
    concat_output_tebd: t.Flag = Field(default=True, description=APPENDS)

    @property
    def appends_types(self) -> bool:
        """True if the descriptor has a vector of the atom's type beside the environment."""
        return self.concat_output_tebd


class _AttentionSection(TypedSection):
    """The keys of both descriptors."""

    rules: ClassVar[tuple[Rule, ...]] = RULES

    axis_neuron: t.Positive = Field(
        default=4,
        description="How many columns of the embedding enter the second factor of D = TᵀT.",
    )
    type_one_side: t.Flag = Field(
        default=False,
        description="Whether the embedding depends on the type of the neighbour alone, rather than "
        "on the types of both atoms.",
    )
    attn: t.Width = Field(default=128, description="Length of the vectors in layers of attention.")
    attn_layer: t.Count = Field(
        default=2,
        description="Number of layers of attention among the neighbours of an atom. Without any "
        "(0) a step takes a fraction of the time, often at the same accuracy.",
    )
    attn_dotr: t.Flag = Field(
        default=True,
        description="Whether attention between two neighbours is multiplied by the cosine of the "
        "angle between them.",
    )
    attn_mask: t.Flag = Field(default=False, description="Must be false, as in DeePMD-kit.")
    normalize: t.Flag = Field(
        default=True, description="Whether the vectors in layers of attention have length 1."
    )
    scaling_factor: t.AboveZero = Field(
        default=1.0,
        description="Attention is the softmax of products of vectors divided by the root of "
        "`attn` times this factor.",
    )
    temperature: t.MaybeNumber = Field(
        default=None,
        description="The factor of these products instead; it multiplies them, in spite of its "
        "name.",
    )
    trainable_ln: t.Flag = Field(
        default=True, description="Whether training changes the layer norms of attention."
    )
    ln_eps: t.MaybeAboveZero = Field(
        default=None,
        description="Number added to the variance in layer norms; null is 1e-5.",
    )

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] * self.axis_neuron + self.tebd_dim * self.concat_output_tebd


class SeAttenV2Section(_AttentionSection):
    """The descriptor se_atten_v2: DPA-1 with types embedded by a net of their own, smooth."""

    type: Literal["se_atten_v2"] = Field(description="Kind of descriptor.")


class SeAttenSection(_AttentionSection):
    """The descriptor se_atten (DPA-1): one embedding net for all types, and attention."""

    key_aliases: ClassVar[dict[str, str]] = {"smooth_type_embdding": "smooth_type_embedding"}

    type: Literal["se_atten"] = Field(description="Kind of descriptor.")
    tebd_input_mode: Mode = Field(default="concat", description=MODE.format("distance"))
    smooth_type_embedding: t.Flag = Field(
        default=False,
        description="Whether attention, and with `strip` the factor of types, fade out at the "
        "cut-off. Without, the energy jumps when a neighbour enters or leaves, if there is "
        "attention.",
    )
    set_davg_zero: t.Flag = Field(
        default=True,
        description="Whether the mean that the environment is shifted by is set to 0. If false, "
        "empty slots for neighbours count; unless `strip` is smooth, they then have the type of "
        "the first atom of the frame, as in DeePMD-kit, so that energies depend on the order of "
        "the atoms.",
    )
