"""The ``model.descriptor`` section: one class for each registered descriptor."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any

from pydantic import Field

from ..descriptors import sections

_CLASSES = sections()

#: The annotation of ``model.descriptor``.
DescriptorSection: Any = (
    _CLASSES[0]
    if len(_CLASSES) == 1
    else Annotated[functools.reduce(operator.or_, _CLASSES), Field(discriminator="type")]
)

#: other name of a key → the key
KEY_ALIASES = {alias: key for cls in _CLASSES for alias, key in cls.key_aliases.items()}

#: section inside it → {other name of a key: key}
INNER_ALIASES = {
    f"model.descriptor.{name}": dict(names)
    for cls in _CLASSES
    for name, names in cls.inner_aliases.items()
}
