"""The origin of a model, stored in its file: programs, input, data, seeds, course and parent.

Nothing in it identifies a person or a machine: of absolute paths only the last name is kept, and
neither the user nor the host is recorded.
"""

from __future__ import annotations

import datetime
import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from .. import __version__
from ..backend import Backend

#: Key in a model file. DeePMD-kit ignores it.
KEY = "provenance"
CLASS, VERSION = "Provenance", 1


def now() -> str:
    """Return the date and time, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def software(backend: Backend) -> dict[str, str]:
    """Return the versions of the programs that compute with a backend, and the platform."""
    known = backend.describe()
    return {
        "multifit": __version__,
        "backend": backend.name,
        "framework": known.get("version", ""),
        "devices": known.get("devices", ""),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def parent(how: str, path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of the model that another one is made from.

    Parameters
    ----------
    how
        ``init-model``, ``finetune`` or ``change-bias``.
    path, content
        Its file.
    """
    before = content.get(KEY)
    known = before if isinstance(before, dict) else {}
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = {key: known[key] for key in ("steps", "finished", "parent") if key in known}
    return {"how": how, "file": path.name, "sha256": digest, **kept}


def changed(content: Mapping[str, Any], how: str, path: Path) -> dict[str, Any]:
    """Return the origin of a model that differs from that of a file in a little, as the bias."""
    before = content.get(KEY)
    known = dict(before) if isinstance(before, dict) else {}
    head = {"@class": CLASS, "@version": VERSION}
    return {**head, **known, "finished": now(), "parent": parent(how, path, content)}


def without_folders(value: Any) -> Any:
    """Return nested values with absolute paths shortened to their last name: ``…/water``."""
    if isinstance(value, Mapping):
        return {key: without_folders(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(x) for x in value]
    if isinstance(value, str) and _is_absolute(value):
        return f"…/{PureWindowsPath(value).name}"
    return value


def _is_absolute(text: str) -> bool:
    return (
        PurePosixPath(text).is_absolute()
        or PureWindowsPath(text).is_absolute()
        or text.startswith("~")
    )
