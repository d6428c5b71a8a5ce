"""Writing each output of a run on trial, so that none fails after hours of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ... import files
from ...errors import FileFormatError, TrainingError
from ..profile.output import FILE as PROFILE
from .checkpoint_files import file_name
from .outputs import BEST_CKPT, BEST_MODEL, EMA_MODEL, MODEL, PLOT, best_folder
from .setup import Setup
from .stat_file import stat_path

#: Name of a file that stands for those in the folder of TensorBoard.
_EVENTS = "events"


def try_outputs(setup: Setup, output: Path, *, plot: bool, profile: bool) -> None:
    """Raise unless each output of a run could be written; make their folders.

    Parameters
    ----------
    plot
        True if the run draws a plot at its end.
    profile
        True if it writes a profile.

    Raises
    ------
    TrainingError
        With the key of the input that names the output, its path and the reason.
    """
    for key, path in _outputs(setup, output, plot, profile):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A curve may go to a device or a pipe, which is not replaced but written to.
            if not path.exists() or path.is_file() or not key.startswith(_CURVES):
                files.try_file(path)
        except FileFormatError as exc:
            raise TrainingError(f"{key}: {exc}") from exc
        except OSError as exc:
            raise TrainingError(
                f"{key}: {path} cannot be written ({exc.strerror or exc}); name another"
            ) from exc


#: Keys of outputs that may be devices.
_CURVES = ("training.disp_file", "validating.full_val_file")


def _outputs(setup: Setup, output: Path, plot: bool, profile: bool) -> Iterator[tuple[str, Path]]:
    """Yield the key or the name of each output, and its longest path."""
    training, validating = setup.config.training, setup.config.validating
    last = setup.numb_steps
    yield "training.save_ckpt", output / file_name(training.save_ckpt, last)
    yield "training.disp_file", output / training.disp_file
    if training.stat_file is not None:
        yield "training.stat_file", stat_path(output / training.stat_file)
    if training.tensorboard:
        yield "training.tensorboard_log_dir", output / training.tensorboard_log_dir / _EVENTS
    if profile:
        yield "the profile", output / PROFILE
    for task in setup.tasks:
        yield "the model", task.file(output / MODEL)
        if training.enable_ema:
            yield "the averaged model", task.file(output / EMA_MODEL)
        if plot:
            yield "the plot", task.file(output / PLOT)
        if task.data.validation is None:
            continue
        yield "the best model", task.file(output / BEST_MODEL)
        if validating.full_validation:
            yield "validating.full_val_file", task.file(output / validating.full_val_file)
        if validating.full_validation and validating.save_best:
            best = best_folder(setup.config, output) / BEST_CKPT
            yield "validating.save_best_dir", Path(file_name(str(task.file(best)), last))
