"""``lcurve.out``, and TensorBoard on request."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from ...errors import ConfigError, TrainingError
from ...files._atomic import write_atomically

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

    Attributes
    ----------
    note
        A message about a file that was kept so; empty if there was none.
    """

    def __init__(self, path: Path, names: Sequence[str], validation: bool, after: int = 0) -> None:
        self.names, self.validation, self.path = tuple(names), validation, path
        head = header(names, validation)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept, self.note = _lines_until(path, head, after) if after else ([], "")
            rewrite(path, "".join([head, _NOTE, *kept]))
            self._file: TextIO = path.open("a", encoding="utf-8")
        except OSError as exc:
            raise self._error(exc) from exc

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
        self._append(f"{step:6d} " + " ".join(cells) + f" {lr:12.4e}\n")

    def _append(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as exc:
            self.close()
            raise self._error(exc) from exc

    def _error(self, exc: OSError) -> TrainingError:
        return TrainingError(
            f"{self.path} cannot be written ({exc.strerror}); check the free space and the "
            "permissions of its folder, or choose another one with --output"
        )

    def close(self) -> None:
        """Close the file."""
        # All lines were flushed when written; errors have already been reported.
        with contextlib.suppress(OSError):
            self._file.close()


def rewrite(path: Path, text: str) -> None:
    """Replace the text of a file atomically: the old text stays until the new one is on disk.

    Raises
    ------
    FileFormatError
        If the text cannot be written; the file is unchanged.
    OSError
        If it is a device or a pipe, whose text cannot be replaced, and writing fails.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as device:
            device.write(text)
    else:
        write_atomically(path, text.encode())


def _lines_until(path: Path, head: str, step: int) -> tuple[list[str], str]:
    """Return the lines of a curve up to a step, and a message if it has other columns."""
    if not path.exists():
        return [], ""
    kept: list[str] = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines[:1] != [head]:
        old = path.with_name(path.name + ".old")
        path.replace(old)
        return kept, f"{path} has other columns than this run, and is kept as {old.name}"
    for line in lines:
        whole = line.endswith("\n") and is_row(line, len(head.split()) - 1)
        if whole and int(line.split()[0]) <= step:
            kept.append(line)
    return kept, ""


def is_row(line: str, columns: int) -> bool:
    """Return True if a line is a step and numbers, as many as there are columns."""
    words = line.split()
    if len(words) != columns or not words[0].isdecimal():
        return False
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


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
