"""The bases of the sections ``model.descriptor``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field

from ._kinds import (
    Activation,
    Cutoff,
    Flag,
    NotNegative,
    Precision,
    Seed,
    Sel,
    SomeWidths,
    TypePairs,
)
from ._section import RuledSection


class AnyDescriptorSection(RuledSection):
    """Keys and traits of a section ``model.descriptor`` of any descriptor.

    There are ``rcut``, the cutoff in Å, ``trainable`` and ``seed``, as keys or properties.
    """

    #: other name of a key → the key
    key_aliases: ClassVar[dict[str, str]] = {}
    #: the same for keys of sections inside this one
    inner_aliases: ClassVar[dict[str, dict[str, str]]] = {}
    #: True if the descriptor of an atom without neighbours is 0, at least with ``set_davg_zero``
    can_vanish: ClassVar[bool] = False
    #: True if the descriptor has one net for all types, and slots for all types together
    mixed_types: ClassVar[bool] = False
    #: keys that only say how something is computed, with the names of sections inside this one
    without_effect: ClassVar[tuple[str, ...]] = ()
    #: True if there is one fitting net for all types, although they are told apart
    one_fitting_net: ClassVar[bool] = False

    type: str

    @property
    def numbers(self) -> Sequence[int | str] | str:
        """Numbers of neighbours: for each type or cutoff, or a rule to count them in the data."""
        raise NotImplementedError(f"{type(self).__name__} has no numbers of neighbours")

    def parts(self) -> Iterator[tuple[str, AnyDescriptorSection]]:
        """Yield the end of the path and the section of each part; of one descriptor, itself."""
        yield "", self

    @property
    def shells(self) -> tuple[float, ...]:
        """Cutoffs in Å shorter than ``rcut`` that have numbers of neighbours of their own."""
        return ()

    def with_numbers(self, script: dict[str, Any], numbers: Sequence[int]) -> None:
        """Put numbers of neighbours into this section as a dict, for model files."""
        raise NotImplementedError(f"{type(self).__name__} has no numbers of neighbours")

    def options(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return the settings of the descriptor.

        Parameters
        ----------
        numbers
            Of neighbours, all known.
        """
        return {name: getattr(self, name) for name in type(self).model_fields}

    def vanishes_alone(self, kind: int, ntypes: int) -> bool:
        """Return True if the descriptor of an atom of a type without neighbours is 0.

        Vectors of types beside it do not count. Empty slots count by the mean, which is 0 if all
        pairs of the type are excluded.
        """
        if not self.can_vanish or getattr(self, "set_davg_zero", True):
            return self.can_vanish
        excluded = {frozenset(pair) for pair in getattr(self, "exclude_types", ())}
        return all(frozenset((kind, b)) in excluded for b in range(ntypes))

    @property
    def is_own(self) -> bool:
        """True if model files with the descriptor are not in a form of DeePMD-kit."""
        return False

    @property
    def appends_types(self) -> bool:
        """True if the descriptor has a vector of the atom's type beside the environment."""
        return False

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        raise NotImplementedError(f"{type(self).__name__} has no dim_out")


class SingleSection(AnyDescriptorSection):
    """The keys of ``model.descriptor`` of descriptors without parts."""

    trainable: Flag = Field(
        default=True, description="Whether training changes the parameters of the descriptor."
    )
    seed: Seed = Field(
        default=None,
        description="Seed of the initial parameters; null draws another one in each run.",
    )


class DescriptorSection(SingleSection):
    """The keys of ``model.descriptor`` of descriptors with one cutoff."""

    sel: Sel = Field(
        default="auto",
        description="How many neighbours of each type an atom can have; the farthest beyond that "
        "are dropped. `auto` counts them in the training data, multiplies the largest count by a "
        "factor (`auto:F`, 1.1 by default) and rounds up to a multiple of 4.",
    )
    rcut: Cutoff = Field(default=6.0, description="Cut-off radius in Å.")

    @property
    def numbers(self) -> Sequence[int | str] | str:
        """Numbers of neighbours in ``sel``."""
        return self.sel

    def with_numbers(self, script: dict[str, Any], numbers: Sequence[int]) -> None:
        """Put numbers of neighbours into this section as a dict, for model files."""
        script["sel"] = list(numbers)

    def options(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return the settings of the descriptor."""
        return {**super().options(numbers), "sel": tuple(numbers)}


class PairsSection(SingleSection):
    """The keys of descriptors of pairs of atoms."""

    exclude_types: TypePairs = Field(
        default=(), description="Pairs of types that do not see each other in the descriptor."
    )
    env_protection: NotNegative = Field(
        default=0.0, description="Length in Å added to distances before they are divided by."
    )


class EmbeddingSection(DescriptorSection, PairsSection):
    """The keys of descriptors with embedding nets of the smooth environment matrix."""

    neuron: SomeWidths = Field(
        default=(10, 20, 40),
        description="Widths of the hidden layers of the embedding net. A layer as wide as the one "
        "before it, or twice as wide, adds its input to its output.",
    )
    precision: Precision = Field(
        default="default",
        description="Floating-point precision of the embedding net; default is float64.",
    )
    rcut_smth: NotNegative = Field(
        default=0.5,
        description="Distance in Å from which the weight of a neighbour falls to 0 at `rcut`.",
    )
    activation_function: Activation = Field(
        default="tanh", description="Activation function of the embedding net."
    )
    resnet_dt: Flag = Field(
        default=False,
        description="Whether the layers that add their input have a trainable step size.",
    )
    set_davg_zero: Flag = Field(
        default=False,
        description="Whether the mean that the environment is shifted by is set to 0.",
    )


class RadialSection(EmbeddingSection):
    """The keys of descriptors with an embedding net of the distance."""

    type_one_side: Flag = Field(
        default=False,
        description="Whether the embedding net depends on the type of the neighbour alone, rather "
        "than on the types of both atoms.",
    )
