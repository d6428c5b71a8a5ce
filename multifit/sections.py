"""Sections of an input, and the kinds of values they hold.

A kind is an annotated Python type: pydantic checks the type, :class:`Words` rewords its messages,
and the reference page prints the same words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeAlias

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .host.sizes import as_bytes
from .rules import MAX_CUTOFF, MAX_SLOTS, MAX_WIDTH, Rule, at_most, first_broken

#: Integers must fit in 64 bits.
TOO_LARGE = 2**63


class Section(BaseModel):
    """A section of the input: immutable, no unknown keys, no conversion between types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,  # keeps `import multifit.config` quick
    )


class RuledSection(Section):
    """A section whose options have relations, as data that settings of the core read, too."""

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _follows_rules(self) -> Self:
        rule = first_broken(self, self.rules)
        if rule is not None:
            raise relation(rule.key, rule.says(self))
        return self


@dataclass(frozen=True)
class Words:
    """The requirement on a value, as the end of "… must be", and a limit if a value is beyond."""

    text: str
    most: float | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema of the type, with every complaint about the value as a whole reworded.

        Complaints about a part of the value (an element of a list) keep their own words.
        """

        def check(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            try:
                return inner(value)
            except ValidationError as error:
                if isinstance(value, tuple) and _is_about_an_element(error):
                    raise
                limit = at_most(value, self.most) or _too_large(value)
                raise PydanticCustomError("kind", "{words}", {"words": self.text + limit}) from None

        return core_schema.no_info_wrap_validator_function(check, handler(source))


def _too_large(value: Any) -> str:
    return " and less than 2⁶³" if isinstance(value, int) and value >= TOO_LARGE else ""


#: Complaints about a section, or a key of one, in a list of sections.
_OF_SECTIONS = (
    *("kind", "relation", "missing", "extra_forbidden", "literal_error", "union_tag_invalid"),
    *("union_tag_not_found", "model_type", "model_attributes_type", "dict_type"),
)


def _is_about_an_element(error: ValidationError) -> bool:
    """Return True if all complaints have words of ours and name an element of the given list."""
    return all(
        e["type"] in _OF_SECTIONS
        and e["loc"]
        and isinstance(e["loc"][0], int)
        # A missing key, not a missing element of a list.
        and (e["type"] != "missing" or isinstance(e["loc"][-1], str))
        for e in error.errors()
    )


class OrByName:
    """Marks a list with an entry for each type that may be an object with names of types as well.

    The object is spelled out before anything is checked; the JSON schema knows both.
    """

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema of both forms."""
        array = handler(schema)
        return {"anyOf": [array, {"type": "object", "additionalProperties": array["items"]}]}


def words_of(field: FieldInfo) -> str:
    """Return the requirement on the value of a key, in words."""
    return next(m.text for m in field.metadata if isinstance(m, Words))


def relation(key: str, sentence: str) -> PydanticCustomError:
    """Return the error of a section for a ``key`` that does not fit its other keys.

    Parameters
    ----------
    key
        The key of the section that the sentence is about; "" for the section itself.
    sentence
        Text after the name of the key, such as ``"is 8, but must be at most rcut, 6"``.
    """
    return PydanticCustomError("relation", "{sentence}", {"key": key, "sentence": sentence})


# ---- numbers ------------------------------------------------------------------------------------

Flag: TypeAlias = Annotated[bool, Words("true or false")]
Count: TypeAlias = Annotated[int, Ge(0), Lt(TOO_LARGE), Words("an integer ≥ 0")]
Positive: TypeAlias = Annotated[int, Gt(0), Lt(TOO_LARGE), Words("an integer > 0")]
MaybePositive: TypeAlias = Annotated[
    Annotated[int, Gt(0), Lt(TOO_LARGE)] | None, Words("an integer > 0, or null")
]
Seed: TypeAlias = Annotated[
    Annotated[int, Ge(0), Lt(TOO_LARGE)] | None, Words("an integer ≥ 0, or null")
]
MaybeNumber: TypeAlias = Annotated[float | None, Words("a number, or null")]
Cutoff: TypeAlias = Annotated[float, Gt(0), Le(MAX_CUTOFF), Words("a number > 0", MAX_CUTOFF)]
NotNegative: TypeAlias = Annotated[float, Ge(0), Words("a number ≥ 0")]
AboveZero: TypeAlias = Annotated[float, Gt(0), Words("a number > 0")]
MaybeNotNegative: TypeAlias = Annotated[
    Annotated[float, Ge(0)] | None, Words("a number ≥ 0, or null")
]
MaybeAboveZero: TypeAlias = Annotated[
    Annotated[float, Gt(0)] | None, Words("a number > 0, or null")
]
BelowOne: TypeAlias = Annotated[float, Ge(0), Lt(1), Words("a number ≥ 0 and < 1")]
MaybeBelowOne: TypeAlias = Annotated[
    Annotated[float, Ge(0), Lt(1)] | None, Words("a number ≥ 0 and < 1, or null")
]
UpToOne: TypeAlias = Annotated[float, Gt(0), Le(1), Words("a number > 0 and ≤ 1")]
MaybeUpToOne: TypeAlias = Annotated[
    Annotated[float, Gt(0), Le(1)] | None, Words("a number > 0 and ≤ 1, or null")
]
MaybeRatio: TypeAlias = Annotated[
    Annotated[float, Ge(0), Le(1)] | None, Words("a number ≥ 0 and ≤ 1, or null")
]

# ---- texts --------------------------------------------------------------------------------------

Text: TypeAlias = Annotated[str, MinLen(1), Words("a text that is not empty")]
MaybeText: TypeAlias = Annotated[
    Annotated[str, MinLen(1)] | None, Words("a text that is not empty, or null")
]

ACTIVATIONS = (
    *("tanh", "gelu", "gelu_tf", "relu", "relu6", "softplus", "sigmoid", "silu"),
    *("silut", "custom_silu", "none", "linear"),
)
PRECISIONS = ("default", "float64", "float32", "float16", "bfloat16")


def _activation(name: str) -> str:
    head, _, threshold = name.lower().partition(":")
    if head not in ACTIVATIONS:
        raise ValueError("unknown")
    if ":" in name and not (
        head in ("silut", "custom_silu")
        and math.isfinite(number := float(threshold))
        and number > 0
    ):
        raise ValueError("bad threshold")
    return name.lower()


def _precision(name: str) -> str:
    if name.lower() not in PRECISIONS:
        raise ValueError("unknown")
    return name.lower()


Activation: TypeAlias = Annotated[
    str,
    AfterValidator(_activation),
    Words("one of " + ", ".join(ACTIVATIONS) + ", or silut:T with a threshold T > 0"),
]
Precision: TypeAlias = Annotated[
    str, AfterValidator(_precision), Words("one of " + ", ".join(PRECISIONS))
]


def _size(size: float | str | None) -> float | str | None:
    if size is not None:
        as_bytes(size)
    return size


#: As it is given: :func:`multifit.host.sizes.as_bytes` counts its bytes.
MaybeSize: TypeAlias = Annotated[
    Annotated[float, Ge(0)] | str | None,
    AfterValidator(_size),
    Words('a number of MB ≥ 0, a size such as "2 GB", or null'),
]

# ---- lists --------------------------------------------------------------------------------------

Width: TypeAlias = Annotated[int, Gt(0), Le(MAX_WIDTH), Words("an integer > 0", MAX_WIDTH)]
Slots: TypeAlias = Annotated[int, Ge(0), Le(MAX_SLOTS), Words("an integer ≥ 0", MAX_SLOTS)]
Widths: TypeAlias = Annotated[tuple[Width, ...], Words("a list of integers > 0")]
SomeWidths: TypeAlias = Annotated[
    tuple[Width, ...], MinLen(1), Words("a list of one or more integers > 0")
]
Numbers: TypeAlias = Annotated[
    tuple[Annotated[float, Words("a number")], ...] | None, Words("a list of numbers, or null")
]
Types: TypeAlias = Annotated[tuple[Count, ...], Words("a list of type indices, integers ≥ 0")]
TypePairs: TypeAlias = Annotated[
    tuple[
        Annotated[tuple[Count, Count], Words("a pair [i, j] of type indices, integers ≥ 0")], ...
    ],
    Words("a list of pairs [i, j] of type indices"),
]
Energies: TypeAlias = Annotated[
    tuple[Annotated[float | None, Words("a number or null")], ...],
    Words("a list with a number or null for each type"),
]
Spectra: TypeAlias = Annotated[
    tuple[
        Annotated[
            Annotated[tuple[float, ...], MinLen(1)] | None, Words("a list of numbers, or null")
        ],
        ...,
    ],
    Words("a list with a list of numbers or null for each type"),
]


def _sel(sel: tuple[int, ...] | str) -> tuple[int, ...] | str:
    if isinstance(sel, str):
        head, colon, factor = sel.partition(":")
        if head != "auto" or (colon and not 1 <= float(factor) < math.inf):
            raise ValueError("bad text")
    elif sum(sel) == 0:
        raise ValueError("no neighbours")
    return sel


Sel: TypeAlias = Annotated[
    tuple[Slots, ...] | str,
    AfterValidator(_sel),
    Words(
        'a list of integers ≥ 0 and at most 100000, not all 0, or "auto", or "auto:F" with a '
        "factor F ≥ 1"
    ),
]


def _listed(sel: Any) -> Any:
    return (sel,) if isinstance(sel, int) and not isinstance(sel, bool) else sel


class OrNumber:
    """Marks a list that may also be a single integer, which the JSON schema then knows."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema of both forms."""
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_SLOTS}, handler(schema)]}


def _one_sel(sel: int | str) -> int | str:
    if isinstance(sel, str):
        _sel(sel)
    return sel


#: Of descriptors that do not tell types apart: one number, or several of which the sum counts.
MixedSel: TypeAlias = Annotated[
    tuple[Slots, ...] | str,
    AfterValidator(_sel),
    BeforeValidator(_listed),
    OrNumber(),
    Words(
        'an integer > 0 and at most 100000, a list of integers ≥ 0, not all 0, or "auto", or '
        '"auto:F" with a factor F ≥ 1'
    ),
]


#: Of one cutoff of several: one number for all types together.
OneSel: TypeAlias = Annotated[
    Annotated[int, Gt(0), Le(MAX_SLOTS)] | str,
    AfterValidator(_one_sel),
    Words('an integer > 0 and at most 100000, or "auto", or "auto:F" with a factor F ≥ 1'),
]


def _batch_size(size: int | tuple[int, ...] | str) -> int | tuple[int, ...] | str:
    if isinstance(size, str) and not re.fullmatch(
        r"auto|(auto|max|filter|mix):0*[1-9][0-9]{0,17}|mixed:0*[1-9][0-9]{0,5}", size
    ):
        raise ValueError("unknown rule")
    return size


BatchSize: TypeAlias = Annotated[
    Annotated[int, Gt(0), Lt(TOO_LARGE)] | Annotated[tuple[Positive, ...], MinLen(1)] | str,
    AfterValidator(_batch_size),
    Words(
        'an integer > 0, a list of them (one per system), or "auto", "auto:N", "max:N", '
        '"filter:N", "mix:N" or "mixed:N" with an integer N > 0'
    ),
]


# ---- descriptors --------------------------------------------------------------------------------


class AnyDescriptorSection(RuledSection):
    """What a section ``model.descriptor`` has for every descriptor.

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


class DescriptorSection(AnyDescriptorSection):
    """The keys of ``model.descriptor`` of descriptors with one cutoff."""

    sel: Sel = Field(
        default="auto",
        description="How many neighbours of each type an atom can have; the farthest beyond that "
        "are dropped. `auto` counts them in the training data, multiplies the largest count by a "
        "factor (`auto:F`, 1.1 by default) and rounds up to a multiple of 4.",
    )
    rcut: Cutoff = Field(default=6.0, description="Cut-off radius in Å.")
    trainable: Flag = Field(
        default=True, description="Whether training changes the parameters of the descriptor."
    )
    seed: Seed = Field(
        default=None,
        description="Seed of the initial parameters; null draws another one in each run.",
    )

    @property
    def numbers(self) -> Sequence[int | str] | str:
        """``sel``."""
        return self.sel

    def with_numbers(self, script: dict[str, Any], numbers: Sequence[int]) -> None:
        """Put numbers of neighbours into this section as a dict, for model files."""
        script["sel"] = list(numbers)

    def options(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return the settings of the descriptor."""
        return {**super().options(numbers), "sel": tuple(numbers)}


class EmbeddingSection(DescriptorSection):
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
    env_protection: NotNegative = Field(
        default=0.0, description="Length in Å added to distances before they are divided by."
    )
    exclude_types: TypePairs = Field(
        default=(), description="Pairs of types that do not see each other in the descriptor."
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
