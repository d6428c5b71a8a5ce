"""Discovery of descriptors: entry points of the group ``multifit.descriptors``.

The descriptors of this project are registered like a third party's. An entry point names a class
that satisfies :class:`~multifit.descriptors.Descriptor`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import precision as prec
from ..errors import ConfigError, FileFormatError, UnsupportedError, did_you_mean
from ..support import FEATURES, Feature
from ..tree import Tree
from ._protocol import Descriptor

if TYPE_CHECKING:
    from ..sections import DescriptorSection

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
    """Return the entry points of each name, those of this project first."""
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        found.setdefault(point.name, []).append(point)
    return {name: sorted(points, key=_is_foreign) for name, points in found.items()}


def _is_foreign(point: importlib.metadata.EntryPoint) -> bool:
    return point.dist is None or point.dist.name != OWN


@functools.cache
def _load(name: str) -> type[Descriptor]:
    """Return the class of an entry point.

    Raises
    ------
    ConfigError
        If it cannot be imported or is not a descriptor; the message says why.
    """
    point = _entry_points()[name][0]
    try:
        found = point.load()
    except Exception as exc:  # a third party's module can raise anything
        reason = f"{type(exc).__name__}: {exc}".partition("\n")[0]
        raise ConfigError(
            f"the descriptor {name!r} cannot be imported from {point.value} ({reason}); mend or "
            f"uninstall {_package(point)}"
        ) from exc
    fields = getattr(found, "__dataclass_fields__", {})
    missing = [member for member in _MEMBERS if member not in fields and not hasattr(found, member)]
    if missing:
        raise ConfigError(
            f"the descriptor {name!r} of {_package(point)} lacks {', '.join(missing)}; mend or "
            "uninstall it"
        )
    if found.name != name:
        raise ConfigError(
            f"the descriptor {name!r} of {_package(point)} calls itself {found.name!r}; register "
            "it under that name"
        )
    FEATURES.setdefault(
        name,
        Feature(
            f"descriptor {name}",
            found.backends,
            lambda asked: asked.descriptor is not None and _name_of(asked.descriptor) == name,
        ),
    )
    return found  # type: ignore[no-any-return]


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist else point.value


def _name_of(descriptor: Any) -> str:
    """Return the name of a descriptor, or of the section of an input for one."""
    return str(getattr(descriptor, "type", None) or descriptor.name)


@functools.cache
def available() -> dict[str, type[Descriptor]]:
    """Return the usable descriptors by name; others are left out and logged."""
    found: dict[str, type[Descriptor]] = {}
    for name, points in _entry_points().items():
        try:
            found[name] = _load(name)
        except ConfigError as exc:
            log.warning("%s", exc)
        for point in points[1:]:
            log.warning("%s is left out: %s has a descriptor %r", _package(point), OWN, name)
    taken: dict[str, str] = {name: name for name in found}
    for name, each in list(found.items()):
        clash = next((a for a in each.aliases if taken.setdefault(a, name) != name), None)
        if clash is not None:
            log.warning("descriptor %s is left out: %s is %s already", name, clash, taken[clash])
            del found[name]
    return found


def get_descriptor(name: str) -> type[Descriptor]:
    """Return the class of a descriptor, by its name or an alias.

    Raises
    ------
    UnsupportedError
        If there is no such descriptor.
    ConfigError
        If it is registered but cannot be used; the message says why.
    """
    if name in _entry_points():
        return _load(name)
    for found in available().values():
        if name in found.aliases:
            return found
    known = sorted(available())
    raise UnsupportedError(
        f"there is no descriptor {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
    )


def aliases() -> dict[str, str]:
    """Return the name of the descriptor for each alias."""
    return {alias: name for name, found in available().items() for alias in found.aliases}


def sections() -> tuple[type[DescriptorSection], ...]:
    """Return the classes of ``model.descriptor``, one for each descriptor."""
    return tuple(found.section() for found in available().values())


def build(section: DescriptorSection, sel: Iterable[int]) -> Descriptor:
    """Return the settings of a section.

    Parameters
    ----------
    sel
        One number for each type; the section may leave it to be determined from the data.
    """
    cls: Any = get_descriptor(section.type)
    names = [field.name for field in dataclasses.fields(cls)]
    options = {name: getattr(section, name) for name in names if hasattr(section, name)}
    options["sel"] = tuple(sel)
    if "precision" in options:
        options["precision"] = prec.canonical(options["precision"])
    found: Descriptor = cls(**options)
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
    known = {name for name, each in available().items() for name in (name, *each.aliases)}
    if kind not in known and kind not in _entry_points():
        names = " and ".join(map(repr, available()))
        raise UnsupportedError(
            f"the model's descriptor is of type {kind!r}; multifit reads {names}"
        )
    return get_descriptor(kind).deserialize(node)
