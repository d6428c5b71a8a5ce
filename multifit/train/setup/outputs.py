"""The output files of a run, and a check of their names before it starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ...config import Config
from ...errors import ConfigError, TrainingError
from ..profile.output import FILE as PROFILE
from .inputs import check_inputs_kept
from .stat_file import stat_path

#: The files of a finished run.
MODEL = "model.dp"
EMA_MODEL = "model_ema.dp"
BEST_MODEL = "model_best.dp"
PLOT = "training.png"

_MODELS = {"the model": MODEL, "the averaged model": EMA_MODEL, "the best model": BEST_MODEL}

#: Start of the names of the best models of ``validating``.
BEST_CKPT = "best.ckpt"


def best_folder(config: Config, output: Path) -> Path:
    """Return the folder of the best models of ``validating``."""
    given = config.validating.save_best_dir
    return (output / config.training.save_ckpt).parent if given is None else output / given


def check_outputs(
    config: Config, output: Path, inputs: Mapping[str, Path], *, profile: bool = False
) -> None:
    """Raise if the outputs of a run cannot be where they are to be; nothing is written.

    Parameters
    ----------
    inputs
        The files that the run reads, by what they are.
    profile
        True if the run writes a profile.

    Raises
    ------
    ConfigError
        If two of them have the same name, or one that of an input, or a name is a folder's.
    TrainingError
        If something on the disk is in the way.
    """
    _check_names(config)
    files, folders = _files(config, output, profile), _folders(config, output)
    _check_distinct(files, folders)
    # A model of the same name is renamed when the new one is written, not replaced.
    others = {key: path for key, path in files.items() if key not in _MODELS}
    check_inputs_kept(others, inputs)
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


def _check_names(config: Config) -> None:
    """Raise if a key that names a file, or the beginning of its name, names a folder."""
    training, validating = config.training, config.validating
    given = {"training.disp_file": training.disp_file}
    if validating.full_validation:
        given["validating.full_val_file"] = validating.full_val_file
    for key, text in given.items():
        if _names_folder(text):
            raise ConfigError(f"{key} is {text!r}, a folder; give the name of a file in it")
    text = training.save_ckpt
    if _names_folder(text):
        raise ConfigError(
            f"training.save_ckpt is {text!r}, a folder; add the beginning of the names of "
            f"checkpoints, as in {os.path.join(text, 'model.ckpt')!r}"
        )


def _names_folder(text: str) -> bool:
    return os.path.basename(text) in ("", ".", "..")


def _files(config: Config, output: Path, profile: bool) -> dict[str, Path]:
    """Return the possible output files of a run, by the key or option that names them."""
    training, validating = config.training, config.validating
    found = {
        **{key: output / name for key, name in _MODELS.items()},
        "the plot": output / PLOT,
        **({"the profile": output / PROFILE} if profile else {}),
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
