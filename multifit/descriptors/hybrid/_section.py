"""The ``model.descriptor`` section of hybrid."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MinLen
from pydantic import Field

from ... import sections as t
from ...rules import Rule
from .._registry import sections
from ._rules import RULES

_CLASSES = sections(without="hybrid")

#: A part.
_Part: Any = Annotated[functools.reduce(operator.or_, _CLASSES), Field(discriminator="type")]


class HybridSection(t.AnyDescriptorSection):
    """Several descriptors side by side: that of an atom is theirs, one after the other."""

    rules: ClassVar[tuple[Rule, ...]] = RULES

    type: Literal["hybrid"] = Field(description="Kind of descriptor.")
    list: Annotated[
        tuple[_Part, ...], MinLen(1), t.Words("a list of one or more sections of descriptors")
    ] = Field(
        description="The descriptors: objects with the keys of `model.descriptor`, each with its "
        "own `type`, `rcut`, `sel` and `seed`. `env_protection` must be the same in all."
    )

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return sum(part.dim_out for part in self.list)

    def vanishes_alone(self, kind: int, ntypes: int) -> bool:
        """Return True if the descriptor of an atom of a type without neighbours is 0."""
        return all(part.vanishes_alone(kind, ntypes) for part in self.list)

    @property
    def appends_types(self) -> bool:
        """True if a part has a vector of the atom's type beside the environment."""
        return any(part.appends_types for part in self.list)

    @property
    def is_own(self) -> bool:
        """True if model files with a part are not in a form of DeePMD-kit."""
        return any(part.is_own for part in self.list)

    @property
    def rcut(self) -> float:
        """The largest cut-off of the parts, Å."""
        return float(max(part.rcut for part in self.list))

    @property
    def seed(self) -> tuple[int | None, ...]:
        """The seed of each part."""
        return tuple(part.seed for part in self.list)

    @property
    def trainable(self) -> bool:
        """True if training changes a part."""
        return any(part.trainable for part in self.list)

    def parts(self) -> Iterator[tuple[str, t.AnyDescriptorSection]]:
        """Yield the end of the path and the section of each part."""
        for k, part in enumerate(self.list):
            yield f".list[{k}]", part
