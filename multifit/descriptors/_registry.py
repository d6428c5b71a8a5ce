"""Discovery of descriptors: entry points of the group ``multifit.descriptors``.

The descriptors of this project are registered like a third party's. An entry point names a class
that satisfies :class:`~multifit.descriptors.Descriptor`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import logging
import typing
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .. import precision as prec
from ..errors import ConfigError, FileFormatError, UnsupportedError, did_you_mean
from ..support import FEATURES, Feature
from ..tree import Tree
from ._protocol import Descriptor

if TYPE_CHECKING:
    from ..sections import AnyDescriptorSection

ENTRY_POINTS = "multifit.descriptors"

#: The distribution whose names a third party cannot take.
OWN = "multifit"

log = logging.getLogger(__name__)

#: Required attributes of a class.
_MEMBERS = sorted(
    name for name in {*vars(Descriptor), *Descriptor.__annotations__} if not name.startswith("_")
)


@functools.cache
def _entry_points() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """Return the entry points by name, in both orders those of this project first."""
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=_is_foreign):
        found.setdefault(point.name, []).append(point)
    return found


def _is_foreign(point: importlib.metadata.EntryPoint) -> bool:
    return point.dist is None or point.dist.name != OWN


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist else point.value


@functools.cache
def _load(name: str) -> type[Descriptor]:
    """Return the class of an entry point, and add its row to the support matrix.

    Raises
    ------
    ConfigError
        If it cannot be imported or is not a descriptor; the message says why.
    """
    point = _entry_points()[name][0]
    who = f"the descriptor {name!r} of {_package(point)}"
    try:
        found = point.load()
    except (Exception, SystemExit) as exc:  # a third party's module raises anything
        reason = f"{type(exc).__name__}: {exc}".partition("\n")[0]
        raise ConfigError(
            f"the descriptor {name!r} cannot be imported from {point.value} ({reason}); mend or "
            f"uninstall {_package(point)}"
        ) from exc
    fields = getattr(found, "__dataclass_fields__", {})
    missing = [member for member in _MEMBERS if member not in fields and not hasattr(found, member)]
    if missing:
        raise ConfigError(f"{who} lacks {', '.join(missing)}; mend or uninstall it")
    if found.name != name:
        raise ConfigError(f"{who} calls itself {found.name!r}; register it under that name")
    if not (isinstance(found.aliases, tuple) and isinstance(found.backends, frozenset)):
        raise ConfigError(f"{who} has no tuple of aliases or no frozenset of backends; mend it")
    FEATURES[f"descriptor {name}"] = Feature(
        f"descriptor {name}",
        found.backends,
        lambda asked: asked.descriptor is not None and name in _names_of(asked.descriptor),
    )
    return found  # type: ignore[no-any-return]


def _names_of(descriptor: Any) -> Iterator[str]:
    """Yield the name of a descriptor, or of the section of an input for one, and of its parts."""
    yield str(getattr(descriptor, "type", None) or descriptor.name)
    for part in getattr(descriptor, "list", ()):
        yield from _names_of(part)


@functools.cache
def available() -> dict[str, type[Descriptor]]:
    """Return the usable descriptors by name; others are left out and logged."""
    found: dict[str, type[Descriptor]] = {}
    taken: dict[str, str] = {}
    for name, points in _entry_points().items():
        for point in points[1:]:
            owner = _package(points[0])
            log.warning("%s is left out: %s has a descriptor %r", _package(point), owner, name)
        try:
            each = _load(name)
        except ConfigError as exc:
            log.warning("%s", exc)
            continue
        clash = next((word for word in (name, *each.aliases) if word in taken), None)
        if clash is not None:
            log.warning("descriptor %s is left out: %s is %s already", name, clash, taken[clash])
            continue
        found[name] = each
        taken |= dict.fromkeys((name, *each.aliases), name)
    return found


def get_descriptor(name: str) -> type[Descriptor]:
    """Return the class of a descriptor, by its name or an alias.

    Those of a third party are imported only if none of this project has the name.

    Raises
    ------
    UnsupportedError
        If there is no such descriptor.
    ConfigError
        If it is registered but cannot be used; the message says why.
    """
    own = [key for key, points in _entry_points().items() if not _is_foreign(points[0])]
    for key in own:
        if name == key or name in _load(key).aliases:
            return _load(key)
    for key, found in available().items():
        if name == key or name in found.aliases:
            return found
    if name in _entry_points():
        _load(name)
        raise ConfigError(f"the descriptor {name!r} is left out: one of its names is taken")
    known = sorted(available())
    raise UnsupportedError(
        f"there is no descriptor {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
    )


def aliases() -> dict[str, str]:
    """Return the name of the descriptor for each alias."""
    return {alias: name for name, found in available().items() for alias in found.aliases}


@functools.cache
def sections(without: str = "") -> tuple[type[AnyDescriptorSection], ...]:
    """Return the classes of ``model.descriptor``, one for each descriptor.

    One that does not fit the class of its descriptor is left out and logged.

    Parameters
    ----------
    without
        A descriptor that is left out without a word.

    Raises
    ------
    ConfigError
        If there is none: the installation is incomplete.
    """
    found: list[type[AnyDescriptorSection]] = []
    for name, each in available().items():
        if name == without:
            continue
        try:
            section = each.section()
            _check_section(each, section, found)
        except Exception as exc:  # a third party's module raises anything
            log.warning("the section of the descriptor %s is left out: %s", name, exc)
            continue
        found.append(section)
    if not found:
        raise ConfigError("no descriptor is registered: install multifit again")
    return tuple(found)


def _check_section(
    descriptor: type[Descriptor],
    section: type[AnyDescriptorSection],
    others: Sequence[type[AnyDescriptorSection]],
) -> None:
    """Raise ConfigError for a section that would break an input, or whose keys have no effect."""
    if typing.get_args(section.model_fields["type"].annotation) != (descriptor.name,):
        raise ConfigError(f"its type must be Literal[{descriptor.name!r}]")
    used = {field.name for field in dataclasses.fields(descriptor)} | {"type", "seed"}  # type: ignore[arg-type]
    keys = _keys(section, used)
    if keys - used:
        raise ConfigError(f"the class does not use {', '.join(sorted(keys - used))}")
    foreign = {key for other in others for key in (*other.model_fields, *other.key_aliases)}
    if set(section.key_aliases) & foreign:
        raise ConfigError("one of its key_aliases is a key of another descriptor")


def _keys(section: Any, used: Collection[str]) -> set[str]:
    """Return the keys of a section; of one inside it that is not used as a whole, its own."""
    found: set[str] = set()
    for name, field in section.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        whole = inner is None or name in used
        found |= {name} if whole else _keys(field.annotation, used)
    return found


def key_of(descriptor: Descriptor, name: str) -> str:
    """Return the key of a setting in ``model.descriptor``: within a section there if need be."""
    section: Any = descriptor.section()
    for key, field in section.model_fields.items():
        if name in getattr(field.annotation, "model_fields", ()):
            return f"{key}.{name}"
    return name


def build(
    section: AnyDescriptorSection, sel: Iterable[int], type_map: Sequence[str] = ()
) -> Descriptor:
    """Return the settings of a section.

    Parameters
    ----------
    sel
        One number for each type, or of descriptors that do not tell them apart for all together
        within each of their cutoffs; the section may leave it to be determined from the data.
    type_map
        Names of the types, for descriptors that depend on them.
    """
    cls: Any = get_descriptor(section.type)
    names = [field.name for field in dataclasses.fields(cls)]
    given = section.options(tuple(sel))
    options = {name: given[name] for name in names if name in given}
    if type_map:
        of_types = {"ntypes": len(type_map), "type_map": tuple(type_map)}
        options |= {name: value for name, value in of_types.items() if name in names}
    if "precision" in options:
        options["precision"] = prec.canonical(options["precision"])
    found: Descriptor = cls(**options)
    return found


def build_parts(
    section: AnyDescriptorSection, sels: Sequence[Sequence[int]], type_map: Sequence[str] = ()
) -> Descriptor:
    """Return the settings of a section that may have several parts.

    Parameters
    ----------
    sels
        As for :func:`build`, of each part.
    """
    built = [
        build(part, sel, type_map) for (_, part), sel in zip(section.parts(), sels, strict=True)
    ]
    cls: Any = get_descriptor(section.type)
    found: Descriptor = cls(tuple(built)) if hasattr(section, "list") else built[0]
    return found


def deserialize(node: dict[str, Any]) -> tuple[Descriptor, Tree]:
    """Return the settings and parameters of a ``descriptor`` section of a file.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings.
    UnsupportedError
        If the descriptor is of another kind, or uses an unsupported option.
    """
    kind = node.get("type")
    if not isinstance(kind, str):
        raise FileFormatError("the model's descriptor does not say its type")
    try:
        found = get_descriptor(kind)
    except UnsupportedError as exc:
        names = " and ".join(map(repr, available()))
        raise UnsupportedError(
            f"the model's descriptor is of type {kind!r}; multifit reads {names}"
        ) from exc
    return found.deserialize(node)
