"""Refusing what a newer program wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from multifit.errors import FileFormatError


def check_version(node: Mapping[str, Any], known: range, path: str | os.PathLike[str]) -> int:
    """Return the ``"@version"`` of a node of a model file, which is 1 where it is not given.

    Parameters
    ----------
    node
        A dict with ``"@class"`` and perhaps ``"type"`` and ``"@version"``.
    known
        The versions that can be read: ``range(1, 3)`` are 1 and 2.
    path
        The file it is from, for the error.

    Raises
    ------
    FileFormatError
        If the version is newer, older, or not a whole number.

    Examples
    --------
    >>> check_version({"@class": "Layer", "@version": 2}, range(1, 3), "model.dp")
    2
    """
    version = node.get("@version", 1)
    names = [node[key] for key in ("@class", "type") if isinstance(node.get(key), str)]
    name = f"{' '.join(names) or 'a node':.60}"
    if isinstance(version, bool) or not isinstance(version, int):
        raise FileFormatError(
            f"{path}: {name} has the @version {' '.join(repr(version).split()):.60}, which is not "
            "a whole number; restore the file from a copy"
        )
    if version >= known.stop:
        raise FileFormatError(
            f"{path}: {name} has the @version {version}, and this multifit reads up to "
            f"{known.stop - 1}; it needs a newer multifit"
        )
    if version < known.start:
        raise FileFormatError(
            f"{path}: {name} has the @version {version}, older than {known.start}, the first that "
            "is read; open and save it once with the program that wrote it"
        )
    return version
