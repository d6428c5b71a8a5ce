"""Files of an earlier run in the output folder, which a new run renames to ``.old``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...console.words import counted
from ...errors import TrainingError
from ...files import OLD, old_name
from ..setup.checkpoint_files import existing
from ..setup.outputs import BEST_CKPT, BEST_MODEL, best_folder
from ..setup.setup import Setup


def keep(path: Path) -> Path | None:
    """Put a file aside, and return its new path; None if there is no file.

    A link stays, and its target is renamed: the new file goes to the same disk.
    """
    if not path.is_file():
        return None
    target = Path(os.path.realpath(path))
    old, link = old_name(target), path.is_symlink()
    try:
        target.replace(old)
    except OSError as exc:
        raise TrainingError(
            f"{path} of an earlier run cannot be renamed to {old.name} ({exc.strerror or exc}); "
            "move it away, or choose another folder with --output"
        ) from exc
    return old if link else path.with_name(old.name)


def keep_earlier(setup: Setup, output: Path) -> list[str]:
    """Rename what an earlier run left, and return a message about it.

    Its curves and checkpoints would otherwise be replaced or mixed with those of this run. Its
    models stay until this run has some, and are then renamed, too.
    """
    config = setup.config
    single = [output / config.training.disp_file]
    folder, series = best_folder(config, output), [(output, config.training.save_ckpt)]
    for task in setup.tasks:
        single.append(task.file(output / BEST_MODEL))
        if config.validating.full_validation:
            single.append(task.file(output / config.validating.full_val_file))
        if config.validating.full_validation and config.validating.save_best:
            series.append((folder, str(task.file(Path(BEST_CKPT)))))
    old = {path: keep(path) for path in single}
    kept = [path.name for path, new in old.items() if new is not None]
    checkpoints = [path for place, prefix in series for _, path in existing(place, prefix)]
    new = [*old.values(), *(keep(path) for path in checkpoints)]
    numbered = any(path is not None and not path.name.endswith(OLD) for path in new)
    return [_said(output, kept, len(checkpoints), numbered)] if kept or checkpoints else []


def _said(output: Path, kept: Sequence[str], checkpoints: int, numbered: bool) -> str:
    """Return the message about renamed files.

    Parameters
    ----------
    numbered
        True if older files have some of the names, so that a number was added.
    """
    parts = [*kept, *([counted(checkpoints, "checkpoint")] if checkpoints else [])]
    listed = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    number = ", or a number after it where older files have that name" if numbered else ""
    return f"an earlier run left {listed} in {output}: kept with {OLD} added to their names{number}"
