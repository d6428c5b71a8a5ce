"""Errors of pydantic in one sentence: the key, its value and the requirement."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, did_you_mean
from ..sections import words_of
from . import _unsupported
from ._aliases import ALIASES, TYPE_ALIASES
from ._config import sections
from ._draft import Draft, Problem, general, join, shorten, shown

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

#: Sections that are named as having a key.
HOMES = 3

#: Similarity from which a key of another section may be what was meant.
ALIKE = 0.8

#: The type of a section whose parts cannot be of that type.
NESTED = "hybrid"

_Loc = tuple[int | str, ...]


def config_error(draft: Draft, problems: list[Problem], where: str) -> ConfigError:
    """Return the error for the first of the problems, which counts the others."""
    first = problems[0]
    subject = shorten(draft.name(first.path)) or "the input"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ConfigError(f"{subject} in {where} {first.says}{more}")


def problems(error: ValidationError) -> list[Problem]:
    """Return a problem for each complaint, without those that follow from an unknown type."""
    details = [(_location(e), e) for e in error.errors(include_url=False)]
    foreign = [loc for loc, e in details if e["type"] in ("literal_error", "union_tag_invalid")]
    sections_of_unknown_type = {loc[:-1] for loc in foreign}
    return [
        _problem(loc, e)
        for loc, e in details
        if loc in foreign or not any(loc[: len(s)] == s for s in sections_of_unknown_type)
    ]


def _location(e: ErrorDetails) -> _Loc:
    """Return the keys that lead to the value, without the types that pydantic puts between them."""
    loc: list[int | str] = []
    for part in e["loc"]:
        path = general(_dotted(tuple(loc)))
        if len(sections().get(path, ())) > 1 and part in types_of(path):
            continue
        loc.append(part)
    if e["type"] in ("union_tag_invalid", "union_tag_not_found"):
        loc.append("type")
    return tuple(loc)


def types_of(section: str) -> list[str]:
    """Return the types of a section."""
    fields = [cls.model_fields for cls in sections()[section]]
    return [str(name) for known in fields for name in typing.get_args(known["type"].annotation)]


def _types_at(path: str) -> list[str]:
    """Return the types that a section of an input may have there."""
    section = general(path)
    return [name for name in types_of(section) if section == path or name != NESTED]


def _problem(loc: _Loc, e: ErrorDetails) -> Problem:
    """Return the sentence for one complaint."""
    context: dict[str, Any] = e.get("ctx", {})
    path = _dotted(loc)
    section, key = general(_dotted(loc[:-1])), str(loc[-1]) if loc else ""
    match e["type"]:
        case "kind":
            foreign = _unsupported.is_foreign_text(path, e["input"])
            but = f"{_unsupported.SAYS}: it" if foreign else "but"
            return Problem(path, f"is {shown(e['input'])}, {but} must be {context['words']}")
        case "relation":
            return Problem(".".join(filter(None, (path, context["key"]))), str(context["sentence"]))
        case "missing":
            return Problem(path, f"is missing, but must be {_words(section, key)}")
        case "extra_forbidden":
            return Problem(path, _unknown_key(section, key, e["loc"]))
        case "literal_error":
            return Problem(path, _unknown_type(_dotted(loc[:-1]), e["input"]))
        case "union_tag_invalid":
            return Problem(path, _unknown_type(_dotted(loc[:-1]), e["input"].get("type")))
        case "union_tag_not_found":
            return Problem(path, "is missing, but must be " + _or(_types_at(_dotted(loc[:-1]))))
        case "model_type" | "model_attributes_type" | "dict_type":
            return Problem(path, f"is {shown(e['input'])}, but must be an object with keys")
        case _:
            return Problem(path, f"is {shown(e['input'])}, but must be valid: {e['msg']}")


def _dotted(loc: _Loc) -> str:
    path = ""
    for part in loc:
        path = join(path, part)
    return path


def _words(section: str, key: str) -> str:
    """Return the requirement on a key."""
    if f"{section}.{key}".lstrip(".") in sections():
        return "an object with keys"
    if key == "type":
        return _or(types_of(section))
    return next(
        words_of(cls.model_fields[key]) for cls in sections()[section] if key in cls.model_fields
    )


def _unknown_key(section: str, key: str, loc: _Loc) -> str:
    """Return the end of the sentence about an unknown key of a section.

    Parameters
    ----------
    loc
        The keys that lead to it, with the type of the section if it has several.
    """
    classes = sections()[section]
    if loc[-2:-1] == (NESTED,) and any(key in cls.model_fields for cls in classes):
        return "is a key of the descriptors in list: give it in each of them"
    for cls, kind in zip(classes, types_of(section) if len(classes) > 1 else (), strict=False):
        if key in cls.model_fields:
            return f'belongs to the type "{kind}" of {section}, but must not be given with another'
    homes = _homes(section, key)
    if homes:
        named = [*homes[:HOMES], *(["another section"] if len(homes) > HOMES else [])]
        return f"is not a known key here: it belongs {_within(named)}"
    if there := sorted({p.rpartition(".")[0] for p in _unsupported.KEYS if p.endswith(f".{key}")}):
        return f"is not a known key here: DeePMD-kit has it {_within(there)}; leave it out"
    if len(classes) > 1:
        kinds = zip(classes, types_of(section), strict=False)
        classes = tuple(cls for cls, kind in kinds if kind in loc) or classes
    known = sorted({name for cls in classes for name in cls.model_fields})
    return "is not a known key" + (_near(section, key) or f"; known are {', '.join(known)}")


def _names(section: str) -> list[str]:
    """Return the keys of a section, with their other names."""
    known = {name for cls in sections()[section] for name in cls.model_fields}
    return sorted({*known, *ALIASES.get(section, {})})


def _homes(section: str, key: str) -> list[str]:
    """Return the sections that have exactly this key, those within the given one first."""
    homes = [path for path in sections() if path != section and key in _names(path)]
    return sorted(homes, key=lambda path: not path.startswith(f"{section}."))


def _within(homes: Iterable[str]) -> str:
    """Return the end of a sentence about keys of some sections."""
    named = [f"in {path}" if path else "at the top level" for path in homes]
    return " or ".join([*named[:1], *(name.removeprefix("in ") for name in named[1:])])


def _near(section: str, key: str) -> str:
    """Return a hint at the nearest key: of this section, unless another has a much nearer one."""
    near = did_you_mean(key, _names(section))
    mine = _likeness(key, _names(section))
    best = max(sections(), key=lambda path: _likeness(key, _names(path)))
    likeness = _likeness(key, _names(best))
    if likeness < ALIKE or likeness <= mine:
        return near
    return did_you_mean(key, _names(best)).replace("'?)", f"' {_within([best])}?)")


def _likeness(key: str, names: Iterable[str]) -> float:
    """Return the largest similarity of a word to one of others, from 0 to 1."""
    return max(difflib.SequenceMatcher(None, key, name).ratio() for name in names)


def _unknown_type(path: str, given: object) -> str:
    section, known = general(path), _types_at(path)
    if given == NESTED and given not in known:
        return f"is {shown(given)}, but must not be: put its parts into the outer list"
    if isinstance(given, str) and given in _unsupported.TYPES.get(section, ()):
        return f"is {shown(given)}, {_unsupported.SAYS}: it must be {_or(known)}"
    names = [*known, *TYPE_ALIASES.get(section, {})]
    near = did_you_mean(given, names) if isinstance(given, str) and len(known) > 1 else ""
    return f"is {shown(given)}, but must be {_or(known)}{near}"


def _or(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)
