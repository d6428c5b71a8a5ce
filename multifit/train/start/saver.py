"""Writing the files of a run so that a full or vanished folder costs nothing but time."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import files
from ...errors import FileFormatError, TrainingError
from ..report.rows import RowFile, reason
from ..setup import checkpoint_files as ckpt
from .run import Run

#: Seconds until a checkpoint that could not be written is tried again, and between the last two
#: attempts at the end of a run.
RETRY, LAST_RETRY = 60.0, 5.0

Content = dict[str, Any]


@dataclass
class Saver:
    """The writer of checkpoints and models; what fails is kept in memory and tried again.

    Parameters
    ----------
    warn
        Called with one sentence.
    lock
        The lock of the output folder; None if there is none.
    tables
        Their rows are on disk before the checkpoint that they lead to.
    """

    run: Run
    warn: Callable[[str], object]
    lock: files.Lock | None = None
    tables: Sequence[RowFile] = ()
    saved: Path | None = field(default=None, init=False)  #: the last checkpoint
    saved_step: int = field(default=0, init=False)  #: its step, or the one the run begins after
    slowest: float = field(default=0.0, init=False)  #: seconds that a checkpoint took
    _waiting: dict[Path, Content] = field(default_factory=dict, init=False)
    _retry: float | None = field(default=None, init=False)
    _told: str = field(default="", init=False)

    def __post_init__(self) -> None:
        """Begin after the step of the checkpoint that is continued, if there is one."""
        self.saved_step = self.run.state.step

    @property
    def overdue(self) -> bool:
        """True if a checkpoint could not be written, and should be tried again now."""
        return self._retry is not None and time.monotonic() >= self._retry

    def write(self, path: Path, content: Content) -> bool:
        """Write a model file; if that fails, keep its content and return False."""
        self._waiting[path] = content
        return self._attempt(self._write_waiting)

    def remove(self, path: Path) -> None:
        """Remove a model file, written or not."""
        self._waiting.pop(path, None)
        # A folder that became read-only is reported by what is written next.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def try_save(self) -> str:
        """Write a checkpoint on trial before the first step; return a warning, or nothing.

        Raises
        ------
        TrainingError
            If none can be written.
        """
        with self._timed():
            return self.run.try_save()

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Note the time that a checkpoint takes."""
        before = time.monotonic()
        yield
        self.slowest = max(self.slowest, time.monotonic() - before)

    def save(self) -> Path | None:
        """Write what waits and a checkpoint of this step; return None if that fails.

        Raises
        ------
        BusyError
            If another run has taken over the folder.
        """
        if self.lock is not None:
            self.lock.check()
        with self._timed():
            done = self._attempt(self._save)
        if not done:
            return None
        if self._told:
            self.warn(f"files in {self.run.output} can be written again")
        self._retry, self._told = None, ""
        return self.saved

    def save_or_rescue(self) -> Path:
        """Return the checkpoint of this step, which is in another folder if all else fails."""
        path = self.save()
        if path is None:
            time.sleep(LAST_RETRY)
            path = self.save()
        return self._rescued_checkpoint(self._refuge()) if path is None else path

    def finish(
        self, models: Mapping[Path, Content], keep: Callable[[Path], Path | None] | None
    ) -> list[Path]:
        """Write the models of a finished run, and what waits.

        Parameters
        ----------
        keep
            Renames a model of an earlier run, and returns its new path; None to replace it.

        Returns
        -------
        old
            Models of an earlier run under their new names.

        Raises
        ------
        TrainingError
            If they cannot be written, and are therefore in another folder.
        """
        if self.lock is not None:
            self.lock.check()
        self._waiting.update(models)
        kept: dict[Path, Path | None] = {}

        def write() -> None:
            for path in set(models).difference(kept):
                kept[path] = None if keep is None else keep(path)
            self._write_waiting()

        rows = [table.flush(sync=True) for table in self.tables]
        if not (self._attempt(write) and all(rows)):
            time.sleep(LAST_RETRY)
            rows = [table.flush(sync=True) for table in self.tables]
            if not (self._attempt(write) and all(rows)):
                self._rescue()
        return [old for old in kept.values() if old is not None]

    def close(self) -> None:
        """Close the tables."""
        for table in self.tables:
            table.close()

    def _attempt(self, act: Callable[[], None]) -> bool:
        """Return True if something could be done; else tell why, and set the time to retry."""
        try:
            act()
        except (OSError, FileFormatError, TrainingError) as exc:
            self._retry = time.monotonic() + RETRY
            text = (
                f"warning: files in {self.run.output} cannot be written ({reason(exc)}): the run "
                f"goes on, and tries again every {RETRY:.0f} s; nothing written before is lost"
            )
            if text != self._told:
                self.warn(text)
            self._told = text
            return False
        return True

    def _write_waiting(self) -> None:
        for path in list(self._waiting):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, self._waiting[path])
            del self._waiting[path]

    def _save(self) -> None:
        """Write rows, models and the checkpoint, in this order, and remove old checkpoints."""
        self._write_waiting()
        for table in self.tables:
            table.flush(sync=True)
        run, training = self.run, self.run.setup.config.training
        (run.output / training.save_ckpt).parent.mkdir(parents=True, exist_ok=True)
        self.saved, self.saved_step = run.save(), run.state.step
        ckpt.prune(run.output, training.save_ckpt, training.max_ckpt_keep)

    def _rescue(self) -> None:
        """Write everything that waits into another folder, and raise TrainingError."""
        folder, why = self._refuge(), self._told.partition("(")[2].partition(")")[0]
        missing = ", ".join(str(path) for path in self._waiting) or "the tables"
        for path, content in self._waiting.items():
            files.write(folder / path.name, content)
        for table in self.tables:
            (folder / table.path.name).write_text(table.text(), encoding="utf-8")
        kept = self._rescued_checkpoint(folder)
        raise TrainingError(
            f"{missing} cannot be written ({why or 'see above'}): everything is in {folder} "
            f"instead, with the checkpoint {kept.name}; move it before that folder is cleared"
        )

    def _rescued_checkpoint(self, folder: Path) -> Path:
        """Write the checkpoint of this step into another folder, and return its path."""
        path = self.run.write_checkpoint(folder)
        self.saved, self.saved_step = path, self.run.state.step
        return path

    def _refuge(self) -> Path:
        """Return a new folder in the first place that can be written.

        Raises
        ------
        TrainingError
            If there is none.
        """
        for place in (".", "~", tempfile.gettempdir()):
            try:
                folder = Path(place).expanduser().resolve() / f"multifit-saved-{os.getpid()}"
                folder.mkdir(exist_ok=True)
                files.write(folder / "probe.json", {})
                (folder / "probe.json").unlink()
            except (OSError, RuntimeError, FileFormatError):
                continue
            return folder
        raise TrainingError(
            f"neither {self.run.output}, the current folder, the home folder nor "
            f"{tempfile.gettempdir()} can be written: the steps since {self.saved or 'the start'} "
            "are lost; check the disks"
        )
