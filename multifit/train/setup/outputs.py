"""The output files of a run, and a check of their names before it starts."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...config import Config
from ...errors import ConfigError, TrainingError
from .stat_file import stat_path

#: The files of a finished run.
MODEL = "model.dp"
EMA_MODEL = "model_ema.dp"
BEST_MODEL = "model_best.dp"
PLOT = "training.png"

#: The file by which other runs know that a folder is in use.
LOCK = ".multifit.lock"

#: Start of the names of the best models of ``validating``.
BEST_CKPT = "best.ckpt"


def best_folder(config: Config, output: Path) -> Path:
    """Return the folder of the best models of ``validating``."""
    given = config.validating.save_best_dir
    return (output / config.training.save_ckpt).parent if given is None else output / given


def check_outputs(config: Config, output: Path) -> None:
    """Raise if output files have the same name, or a folder is in the place of a file.

    Raises
    ------
    ConfigError
        If two of them have the same name.
    If something on disk is in the way.
        If something on the disk is in the way.
    """
    files, folders = _files(config, output), _folders(config, output)
    _check_distinct(files, folders)
    _check_checkpoints(config, output, files)
    for key, path in files.items():
        if os.path.isdir(path):
            another = " or name another" if "." in key else ""
            raise TrainingError(
                f"{key} cannot be written to {path}, as this is a folder; move it away{another}"
            )
        _check_folder(key, path.parent, output)
    for key, path in folders.items():
        _check_folder(key, path, output)


def _files(config: Config, output: Path) -> dict[str, Path]:
    """Return the possible output files of a run, by the key or option that names them."""
    training, validating = config.training, config.validating
    found = {
        "the model": output / MODEL,
        "the averaged model": output / EMA_MODEL,
        "the best model": output / BEST_MODEL,
        "the plot": output / PLOT,
        "training.disp_file": output / training.disp_file,
    }
    if validating.full_validation:
        found["validating.full_val_file"] = output / validating.full_val_file
    if training.stat_file is not None:
        found["training.stat_file"] = stat_path(output / training.stat_file)
    return {key: _plain(path) for key, path in found.items()}


def _folders(config: Config, output: Path) -> dict[str, Path]:
    """Return the folders that a run may make, besides those of its files."""
    training, validating = config.training, config.validating
    found = {}
    if training.tensorboard:
        found["training.tensorboard_log_dir"] = output / training.tensorboard_log_dir
    if validating.full_validation and validating.save_best:
        found["validating.save_best_dir"] = best_folder(config, output)
    return {key: _plain(path) for key, path in found.items()}


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _check_distinct(files: dict[str, Path], folders: dict[str, Path]) -> None:
    """Raise if a name is used twice."""
    taken: dict[Path, str] = {}
    for key, path in (*files.items(), *folders.items()):
        if path in taken:
            raise ConfigError(
                f"{key} is {path.name!r}, which is also the name of {taken[path]}; choose another"
            )
        if key in files:  # several outputs may be in one folder
            taken[path] = key


def _check_checkpoints(config: Config, output: Path, files: dict[str, Path]) -> None:
    """Raise if a name may be a checkpoint's."""
    series = [_plain(output / config.training.save_ckpt)]
    if config.validating.full_validation and config.validating.save_best:
        series.append(_plain(best_folder(config, output) / BEST_CKPT))
    if series[1:] == series[:1]:
        raise ConfigError(
            f"training.save_ckpt is {BEST_CKPT!r}, which is also the name of the best models of "
            "validating; choose another"
        )
    for prefix in series:
        pattern = re.compile(re.escape(prefix.name) + r"-\d+\.dp")
        for key, path in files.items():
            if path.parent == prefix.parent and pattern.fullmatch(path.name):
                raise ConfigError(
                    f"{key} is {path.name!r}, which may also be the name of a checkpoint; "
                    "choose another"
                )


def _check_folder(key: str, folder: Path, output: Path) -> None:
    """Raise if a folder below the output folder cannot be created because of a file."""
    # os.path returns False if access is denied: writing will then fail.
    there = next((path for path in (folder, *folder.parents) if os.path.exists(path)), output)
    inside = there not in (_plain(output), *_plain(output).parents)
    if inside and not os.path.isdir(there):
        raise TrainingError(
            f"{key} needs the folder {folder}, but {there} is a file; move it away or name another"
        )
