"""``lcurve.out``, and TensorBoard on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError, TrainingError
from .rows import Tell, open_rows

#: DeePMD-kit prints 3 digits; with 11, runs can be compared.
_NUMBER = "{:18.10e}"
_NOTE = "# If there is no available reference data, rmse_*_{val,trn} will print nan\n"


def header(names: Sequence[str], validation: bool) -> str:
    """Return the first line: the columns of DeePMD-kit's file, in its order."""
    kinds = ("val", "trn") if validation else ("trn",)
    columns = [f"{name}_{kind}" for name in names for kind in kinds]
    return "# step " + " ".join(f"{column:>18}" for column in columns) + f" {'lr':>12}\n"


class LearningCurve:
    """The file, with one line for each display; continued by a restart.

    Parameters
    ----------
    path
        The file.
    names
        The metrics, in the order of ``metric_names`` of the loss.
    validation
        True if there are validation columns.
    after
        Lines of an earlier run up to this step are kept; 0 starts a new file. A file with other
        columns is kept whole, under a name that ends in ``.old``.
    tell
        Called with one sentence if something happens to the file.
    """

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        validation: bool,
        after: int = 0,
        tell: Tell = print,
    ) -> None:
        self.names, self.validation = tuple(names), validation
        head = header(names, validation)
        columns = len(head.split()) - 1
        self.file = open_rows("training.disp_file", path, head + _NOTE, columns, after, tell)

    def write(
        self,
        step: int,
        training: Mapping[str, float],
        validation: Mapping[str, float] | None,
        lr: float,
    ) -> None:
        """Add a line."""
        cells = []
        for name in self.names:
            if self.validation:
                value = float("nan") if validation is None else validation.get(name, float("nan"))
                cells.append(_NUMBER.format(value))
            cells.append(_NUMBER.format(training.get(name, float("nan"))))
        self.file.add(f"{step:6d} " + " ".join(cells) + f" {lr:12.4e}\n")

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def require_tensorboard() -> None:
    """Raise ConfigError if tensorboardX is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as exc:
        raise ConfigError(
            "training.tensorboard needs tensorboardX; install it with: "
            'pip install "multifit[tensorboard]"'
        ) from exc


def tensorboard(folder: Path) -> Any:
    """Return a TensorBoard writer.

    Raises
    ------
    TrainingError
        If the folder cannot be created.
    """
    from tensorboardX import SummaryWriter

    try:
        return SummaryWriter(str(folder))
    except OSError as exc:
        raise TrainingError(
            f"training.tensorboard_log_dir {folder} cannot be written ({exc.strerror}); check the "
            "permissions, or name another"
        ) from exc
