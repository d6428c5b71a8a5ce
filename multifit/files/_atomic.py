"""Replacing a file in one step, so that a crash leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from multifit.errors import FileFormatError

from ._processes import is_running

_ONE_WRITER = threading.Lock()  # two threads have one process id, hence one temporary name
_LEFTOVER = re.compile(r"(.+)\.tmp\.(\d{1,10})", re.S)
_OURS = re.compile(r".+\.(?:dp|h5|hdf5|json|yaml|yml)", re.I | re.S)
#: Bytes that are compared at once: a piece stays in the cache of the processor.
COMPARED = 2**18
# Some network file systems cannot flush a folder; the file itself is on disk anyway.
_NO_FOLDER_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}


def write_atomically(path: Path, *content: bytes) -> None:
    """Replace the file by one with this content, which is on disk when the call returns.

    The content goes to ``<name>.tmp.<process id>`` in the same folder, is flushed, read back and
    compared, and only then renamed. A symbolic link is kept: its target is replaced.

    Parameters
    ----------
    path
        The file to replace or create; its folder must exist.
    content
        All its bytes, in pieces that follow one another: joining large ones would copy them.
    """
    target = _target(path)
    temporary = _temporary(target)
    with _ONE_WRITER:
        try:
            _write_verified(temporary, content, _mode(target))
            os.replace(temporary, target)
        except BaseException as error:
            # Where even this fails, the leftover is for remove_stale; the first error counts.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise FileFormatError(
                    f"{path} could not be written ({error.strerror or error}); what was there "
                    "before is unchanged; check the free space and the permissions of its folder"
                ) from error
            raise
    _flush_folder(target)


def try_file(path: Path, *content: bytes) -> None:
    """Raise unless :func:`write_atomically` could write a file; nothing is left on the disk.

    To be called before work that takes long, so that it does not fail at its end. The content goes
    to the same temporary file as it would then, but is not flushed to the disk.

    Raises
    ------
    FileFormatError
        If the file could not be written.
    """
    target = _target(path)
    temporary = _temporary(target)
    with _ONE_WRITER:
        try:
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:
                file.writelines(content or (b".",))
        except OSError as error:
            raise FileFormatError(
                f"{path} cannot be written ({error.strerror or error}); check the name, the free "
                "space and the permissions of its folder"
            ) from error
        finally:
            with contextlib.suppress(OSError):  # it is not there, or it cannot go either
                temporary.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    return target.with_name(f"{target.name}.tmp.{os.getpid()}")


def _target(path: Path) -> Path:
    """Return the file to replace, behind all links, if its name can be one."""
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise FileFormatError(f"{path} is a folder; give the name of a file in it")
        if target.exists() and not target.is_file():  # renaming would put a file in its place
            raise FileFormatError(
                f"{path} cannot be written: it is a device or a pipe; give the name of a file"
            )
        if not target.parent.is_dir():
            raise FileFormatError(
                f"{path} cannot be written: {target.parent} is not a folder; create it first"
            )
    except (OSError, ValueError) as error:  # too long, or with a null character
        if isinstance(error, FileFormatError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise FileFormatError(
            f"{str(path)[:200]!r} cannot be the name of a file ({reason}); choose another"
        ) from error
    return target


def _mode(target: Path) -> int | None:
    """Return the permissions of a file that is to be replaced, or None if it is new."""
    return target.stat().st_mode & 0o777 if target.exists() else None


def _write_verified(temporary: Path, content: Sequence[bytes], mode: int | None) -> None:
    """Write a new file, wait until it is on disk and compare what it reads back."""
    temporary.unlink(missing_ok=True)  # from a dead process that had our process id
    with temporary.open("xb") as file:
        if mode is not None:
            temporary.chmod(mode)
        for piece in content:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    with temporary.open("rb") as file:
        # Comparing takes a tenth of the time of a checksum, and pieces of the memory of a copy.
        same = all(_is_next(file, piece) for piece in content)
        if not same or file.read(1):
            raise OSError(errno.EIO, "the disk returns other bytes than were written")


def _is_next(file: BinaryIO, content: bytes) -> bool:
    """Return True if these bytes come next in a file."""
    starts = range(0, len(content), COMPARED)
    return all(
        file.read(min(COMPARED, len(content) - start)) == content[start : start + COMPARED]
        for start in starts
    )


def _flush_folder(target: Path) -> None:
    """Wait until the new name of the file is on disk too."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    try:
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FLUSH:
            raise FileFormatError(
                f"{target} is written, but its folder could not be flushed to disk "
                f"({error.strerror or error}); check the disk before you rely on the file"
            ) from error


def remove_stale(folder: str | os.PathLike[str], names: Iterable[str] = ()) -> list[Path]:
    """Delete the temporary files of dead processes in the folder, and return them.

    Only names created by :func:`multifit.files.write` are touched. The process is
    looked up on this machine: call it in a folder into which no other machine is writing.

    Parameters
    ----------
    folder
        Folder of models and checkpoints; not searched recursively.
    names
        Names of further files there that were written atomically, such as tables.
    """
    removed, known = [], set(names)
    try:
        for path in sorted(Path(folder).iterdir()):
            match = _LEFTOVER.fullmatch(path.name)
            regular = path.is_file() and not path.is_symlink()
            ours = match is not None and (match[1] in known or _OURS.fullmatch(match[1]))
            if match and ours and regular and not is_running(int(match[2])):
                path.unlink(missing_ok=True)
                removed.append(path)
    except OSError as error:
        raise FileFormatError(
            f"{error.filename or folder} could not be cleared of temporary files "
            f"({error.strerror or error}); check the folder and its permissions"
        ) from error
    return removed
