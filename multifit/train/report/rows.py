"""Text files that grow by a row from time to time, and survive what happens to their folder."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from ...console.words import counted
from ...errors import FileFormatError, TrainingError
from ...files import old_name
from ...files._atomic import write_atomically

Tell = Callable[[str], object]


class RowFile:
    """A file with a head and rows; each row begins with its step.

    A row is written whole or not at all. What cannot be written now is kept, and written with the
    next row. A file that was deleted is written again, with all its rows.

    Parameters
    ----------
    path
        The file. A device or a pipe, such as ``/dev/stdout``, is only ever appended to.
    head
        The first lines. A file with another first line is kept under a name that ends in ``.old``.
    columns
        Number of words of a row.
    after
        Rows of an earlier run up to this step are kept, and later ones added to a file whose name
        ends in ``.old``; 0 starts a new file.
    tell
        Called with one sentence if something happens to the file.
    """

    def __init__(self, path: Path, head: str, columns: int, after: int, tell: Tell) -> None:
        self.path, self._head, self._tell = path, head, tell
        self._waiting: list[str] = []
        self._file: int | None = None
        self._told = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        #: The rows of the earlier run, and a sentence if later ones were put aside.
        self.kept, self.note = _rows_until(path, head, columns, after, tell) if after else ([], "")
        self._begin("".join([head, *self.kept]))

    def add(self, row: str) -> None:
        """Add a row, which ends with a newline, or keep it if it cannot be written now."""
        self._waiting.append(row)
        self.flush()

    def flush(self, sync: bool = False) -> bool:
        """Write what waits; return True if nothing waits any more.

        Parameters
        ----------
        sync
            True to wait until all rows are on the disk.
        """
        try:
            self._require_file()
            while self._waiting:
                self._append("".join(self._waiting).encode())
                self._waiting.clear()
            if sync and self._file is not None and stat.S_ISREG(os.fstat(self._file).st_mode):
                os.fsync(self._file)
        except (OSError, FileFormatError) as exc:
            self._report(
                f"warning: {self.path} cannot be written ({reason(exc)}); its rows are kept until "
                "they can be"
            )
            return False
        return True

    def text(self) -> str:
        """Return the whole content, including rows that wait."""
        return self._content().decode("utf-8", errors="replace") + "".join(self._waiting)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            # All rows were written or reported before.
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _begin(self, text: str) -> None:
        """Replace the content, and open the file for further rows."""
        if self.path.exists() and not self.path.is_file():
            self._open()
            self._append(text.encode())
        else:
            write_atomically(self.path, text.encode())
            self._open()

    def _open(self) -> None:
        self.close()
        # Appending, even if another process truncates the file meanwhile. Readable, because a
        # file that is deleted can still be read here.
        regular = self.path.is_file()
        flags = (os.O_RDWR if regular else os.O_WRONLY) | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags)

    def _require_file(self) -> None:
        """Make sure that the open file is the one with the name, and make it again if not."""
        if self._file is None:
            raise OSError("it is closed")
        try:
            there: os.stat_result | None = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            there = None
        if there is not None:
            if not _same(there, self._file):  # perhaps the user's, who edited it
                self._open()
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self._content()
        rows = content.decode("utf-8", errors="replace").removeprefix(self._head).splitlines()
        self._begin((content or self._head.encode()).decode("utf-8", errors="replace"))
        self._report(f"{self.path} was deleted; it is written again, with {len(rows)} rows")

    def _append(self, data: bytes) -> None:
        """Append bytes, all or nothing."""
        file = self._file
        assert file is not None
        before, done = os.fstat(file), 0
        try:
            while done < len(data):
                done += os.write(file, data[done:])
        except OSError:
            if stat.S_ISREG(before.st_mode):
                with contextlib.suppress(OSError):
                    os.ftruncate(file, before.st_size)
            raise

    def _content(self) -> bytes:
        """Return the bytes of the open file, even if it was deleted; none if that is impossible."""
        try:
            if self._file is None or not stat.S_ISREG(os.fstat(self._file).st_mode):
                return b""
            os.lseek(self._file, 0, os.SEEK_SET)
            with os.fdopen(os.dup(self._file), "rb") as file:
                return file.read()
        except OSError:  # deleted by another host
            return b""

    def _report(self, text: str) -> None:
        if text != self._told:
            self._tell(text)
        self._told = text


def open_rows(what: str, path: Path, head: str, columns: int, after: int, tell: Tell) -> RowFile:
    """Return a :class:`RowFile`.

    Parameters
    ----------
    what
        The key that names the file, for messages.

    Raises
    ------
    TrainingError
        If it cannot be written.
    """
    try:
        return RowFile(path, head, columns, after, tell)
    except OSError as exc:
        raise TrainingError(
            f"{what} {path} cannot be written ({reason(exc)}); check the free space and the "
            "permissions of its folder, or name another"
        ) from exc


def reason(exc: BaseException) -> str:
    """Return what the operating system says, for a sentence."""
    source = exc.__cause__ if isinstance(exc.__cause__, OSError) else exc
    return str(getattr(source, "strerror", None) or source)


def _same(there: os.stat_result, file: int) -> bool:
    try:
        return os.path.samestat(there, os.fstat(file))
    except OSError:  # deleted by another host
        return False


def is_row(line: str, columns: int) -> bool:
    """Return True if a line is a step and numbers, as many as there are columns."""
    words = line.split()
    if len(words) != columns or not words[0].isdecimal():
        return False
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


def _rows_until(
    path: Path, head: str, columns: int, step: int, tell: Tell
) -> tuple[list[str], str]:
    """Return the rows of an earlier run up to a step, without torn ones; put later ones aside.

    Returns
    -------
    rows
        Whole lines.
    note
        A sentence about later rows, empty if there are none.
    """
    if not path.is_file():
        return [], ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines[:1] != head.splitlines(keepends=True)[:1]:
        old = old_name(path)
        path.replace(old)
        tell(f"{path} has other columns than this run, and is kept as {old.name}")
        return [], ""
    whole = [line for line in lines if line.endswith("\n") and is_row(line, columns)]
    rows = [line for line in whole if int(line.split()[0]) <= step]
    later = [line for line in whole if int(line.split()[0]) > step]
    if not later:
        return rows, ""
    old = _put_aside(path, head, step, later)
    note = f"{counted(len(later), 'row')} of {path} after step {step}: kept in {old.name}"
    return rows, note


def _put_aside(path: Path, head: str, step: int, rows: Sequence[str]) -> Path:
    """Add rows to a file of dropped rows, and return it: whose columns they are, else a new one."""
    first = head.partition("\n")[0]
    old = old_name(path, lambda found: _first_line(found) == first)
    is_new = not old.exists()
    with old.open("a", encoding="utf-8", newline="\n") as file:
        note = f"# after step {step}, dropped by a restart\n"
        file.write("".join([head if is_new else "", note, *rows]))
        file.flush()
        os.fsync(file.fileno())
    return old


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().rstrip("\n")
