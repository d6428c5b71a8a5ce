"""What sections of an input are made of: checks, and the words of their errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ..rules import Rule, at_most, first_broken

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
