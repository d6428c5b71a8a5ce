"""The kinds of values that sections hold."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, TypeAlias

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AfterValidator, BeforeValidator, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from ..host.sizes import as_bytes
from ..rules import MAX_CUTOFF, MAX_SLOTS, MAX_WIDTH
from ._section import TOO_LARGE, Words

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
