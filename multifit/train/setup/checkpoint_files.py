"""Checkpoints on disk: their names, and removal of old ones."""

from __future__ import annotations

import re
from pathlib import Path

from ...files import old_name


def file_name(prefix: str, step: int) -> str:
    """Return a checkpoint's file name."""
    return f"{prefix}-{step}.dp"


def existing(folder: Path, prefix: str) -> list[tuple[int, Path]]:
    """Return the checkpoints of a run, (step, path), oldest first."""
    pattern = re.compile(re.escape(Path(prefix).name) + r"-(\d+)\.dp")
    parent = (folder / prefix).parent
    found = [(pattern.fullmatch(p.name), p) for p in parent.glob("*.dp")]
    return sorted((int(m.group(1)), p) for m, p in found if m)


def prune(folder: Path, prefix: str, keep: int) -> None:
    """Remove all but the newest checkpoints of a run."""
    for _, path in existing(folder, prefix)[:-keep]:
        path.unlink(missing_ok=True)


def set_aside(folder: Path, prefix: str, step: int) -> None:
    """Add ``.old`` to the names of checkpoints later than this step.

    They belong to an abandoned run. Otherwise :func:`prune` would remove this run's as the
    older ones, and a restart from the newest would continue the wrong run.
    """
    for later, path in existing(folder, prefix):
        if later > step:
            path.replace(old_name(path))
