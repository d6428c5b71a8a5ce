"""Sections of the input that become settings of the core: they read the tables of the settings."""

from __future__ import annotations

import types
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt

from .. import sections as t
from ..rules import ListRange, Range, Ranges


class OptionsSection(t.RuledSection):
    """A section whose options have their ranges and relations from tables.

    The annotation of such an option is its plain type; the range is added when the class is made.
    """

    ranges: ClassVar[Ranges] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Give the fields the ranges of the table; the schema is built later (``defer_build``)."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if name in cls.ranges:
                field.annotation = _type(cls.ranges[name])
                field.metadata = [_words(cls.ranges[name])]


def _words(allowed: Range | ListRange) -> t.Words:
    return t.Words(allowed.words, allowed.le if isinstance(allowed, Range) else None)


def _type(allowed: Range | ListRange) -> Any:
    """Return the type that pydantic checks: that of the values with its bounds."""
    if isinstance(allowed, ListRange):
        one: Any = Annotated[_type(allowed.items), _words(allowed.items)]
        many: Any = types.GenericAlias(tuple, (one,) * allowed.length or (one, ...))
        many = one | many if allowed.single else many
        return many | None if allowed.null else many
    if allowed.kind is str:
        return Literal[allowed.choices]
    bounds = [
        bound(limit)
        for bound, limit in ((Ge, allowed.ge), (Gt, allowed.gt), (Lt, allowed.lt), (Le, allowed.le))
        if limit is not None
    ]
    if allowed.kind is int:
        bounds.append(Lt(t.TOO_LARGE))
    number: Any = Annotated[allowed.kind, *bounds] if bounds else allowed.kind
    return number | None if allowed.null else number
