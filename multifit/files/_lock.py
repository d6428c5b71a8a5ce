"""A lock file: one run at a time writes into a folder, also if several hosts share its disk.

The file names its owner: host, process and start. On the host of the owner, the lock of a process
that is gone is taken over at once. Other hosts cannot look up the process. They rely on the time
of the last change, which the owner renews every few seconds, and take a lock over that nobody
renews. No lock therefore outlives a crash by more than :data:`PATIENCE` seconds.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import platform
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import BusyError, FileFormatError
from ..host.identity import boot
from ._processes import is_running, started

#: Seconds between two signs of life, and without one after which a lock is abandoned. File systems
#: on a network may show a change only after a while.
HEARTBEAT, PATIENCE = 10.0, 60.0

#: Seconds in which a process that is being killed should have ended.
GRACE = 1.0

#: Errors of file systems without hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Lock:
    """A context within which no other one with the same file can be entered.

    Parameters
    ----------
    path
        The lock file; its folder must exist.
    advice
        The remedy if the lock is taken, such as ``"choose another folder with --output"``.
    tell
        Called with a sentence if it takes long, or if the lock of a dead process is taken over.
    """

    def __init__(self, path: Path, advice: str, tell: Callable[[str], object] = print) -> None:
        self.path, self._advice, self._tell = path, advice, tell
        self._token = secrets.token_hex(8)
        self._file: int | None = None
        self._ended = threading.Event()
        self._pulse: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Take the lock, and renew it in a thread.

        Raises
        ------
        BusyError
            If another run has it.
        FileFormatError
            If the lock file cannot be written.
        """
        try:
            self._file = self._taken()
        except OSError as exc:
            raise FileFormatError(
                f"{self.path} cannot be written ({exc.strerror or exc}); check the free space and "
                "the permissions of its folder"
            ) from exc
        self._pulse = threading.Thread(target=self._renew, name="multifit lock", daemon=True)
        self._pulse.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock, unless another run has taken it over."""
        self._ended.set()
        if self._pulse is not None:
            self._pulse.join()
        mine = _owner(self.path).get("token") == self._token
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if mine:
            # A folder that became read-only keeps the file, which is recognized as abandoned.
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise BusyError if another run has the lock; take it again if the file was deleted."""
        owner = _owner(self.path)
        if owner.get("token") == self._token:
            return
        if owner:
            raise BusyError(
                f"{self.path.parent} was taken over by {_described(owner)} while this run gave no "
                f"sign of life; only one of them can go on here: {self._advice}"
            )
        # Whatever is wrong with the folder is reported where files of value are written.
        with contextlib.suppress(OSError):
            before, self._file = self._file, self._taken()
            if before is not None:
                os.close(before)

    def _renew(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            # By its number: the name may belong to another run, or to none, by now.
            with contextlib.suppress(OSError, TypeError):
                os.utime(self._file if os.utime in os.supports_fd else self.path)  # type: ignore[arg-type]

    def _taken(self) -> int:
        """Return the open lock file, which is ours now."""
        # Processes of other hosts may have the same id.
        temporary = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}.tmp")
        file = self._created(temporary)
        try:
            while not self._named(temporary, file):
                owner = _owner(self.path)
                if not self._soon_abandoned(owner, os.fstat(file).st_mtime):
                    raise BusyError(
                        f"{self.path.parent} is in use by {_described(owner)}; wait until it has "
                        f"ended, or {self._advice} (if this process is certainly gone, delete "
                        f"{self.path})"
                    )
                if self._removed(owner) and owner:
                    self._tell(f"taking over from {_described(owner)}, which is gone")
        except BaseException:
            os.close(file)
            raise
        finally:
            temporary.unlink(missing_ok=True)
        return file

    def _created(self, path: Path) -> int:
        """Return a new open file that names this process as its owner."""
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
        file = os.open(path, flags, 0o644)
        try:
            os.write(file, json.dumps(_myself() | {"token": self._token}).encode())
            _flock(file)
        except BaseException:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        return file

    def _named(self, temporary: Path, file: int) -> bool:
        """Give the file the name of the lock; return False if this name is taken."""
        # Whole and at once, unlike a new file, which is empty at first.
        try:
            os.link(temporary, self.path)
        except FileExistsError:
            # The first answer of a network file system may have been lost.
            return _is_named(self.path, file)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            if self.path.exists():
                return False
            os.rename(temporary, self.path)
        return True

    def _soon_abandoned(self, owner: Mapping[str, Any], now: float) -> bool:
        """Return :meth:`_abandoned`, perhaps after a moment."""
        # A process that is killed takes a while to end.
        until = time.monotonic() + GRACE
        while not self._abandoned(owner, now):
            if time.monotonic() >= until or _owner(self.path).get("token") != owner.get("token"):
                return False
            time.sleep(GRACE / 20)
        return True

    def _abandoned(self, owner: Mapping[str, Any], now: float) -> bool:
        """Return True if the owner of the existing lock is gone.

        Parameters
        ----------
        now
            The time according to the file system, whose clock may differ from ours.
        """
        if _is_flocked(self.path):
            return False
        if owner and all(owner.get(key) == value for key, value in _machine().items()):
            return not is_running(owner["pid"], owner.get("born"))
        last = _changed(self.path)
        if last is None or now - last > PATIENCE:
            return True
        self._tell(
            f"{self.path.parent} has the lock of {_described(owner)}; waiting {PATIENCE:.0f} s for "
            "a sign of life"
        )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            time.sleep(min(1.0, PATIENCE / 10))
            if _changed(self.path) != last:
                # Gone, or of another run: the next attempt to take it will tell.
                return not self.path.exists()
        return True

    def _removed(self, owner: Mapping[str, Any]) -> bool:
        """Remove an abandoned lock; False if another run is faster."""
        try:
            file = _opened(self.path)
        except FileNotFoundError:
            return False
        try:
            # Two runs that both find it abandoned must not remove the lock of each other.
            mine = _flock(file) and _is_named(self.path, file)
            if mine and _owner(self.path).get("token") == owner.get("token"):
                if os.name == "nt":  # where an open file cannot be removed
                    os.close(file)
                    file = -1
                self.path.unlink(missing_ok=True)
                return True
        finally:
            if file >= 0:
                os.close(file)
        return False


def _machine() -> dict[str, str]:
    """Return what identifies the numbering of processes that this one is part of."""
    found = {"host": platform.node(), "boot": boot(), "processes": ""}
    with contextlib.suppress(OSError):  # Linux only
        found["processes"] = os.readlink("/proc/self/ns/pid")  # containers have their own
    return found


def _myself() -> dict[str, Any]:
    """Return the description of this process for the lock file."""
    since = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    pid = os.getpid()
    return _machine() | {"pid": pid, "born": started(pid), "since": since, "command": command}


def _owner(path: Path) -> dict[str, Any]:
    """Return the content of a lock file; empty if it is missing or damaged."""
    try:
        # Opening asks a network file system anew.
        found = json.loads(path.read_bytes()[:4096])
    except (OSError, ValueError):
        return {}
    good = isinstance(found, dict) and isinstance(found.get("pid"), int)
    return found if good else {}


def _described(owner: Mapping[str, Any]) -> str:
    """Return ``another run (process 12 on n1 since 2026-01-31 12:00:00+00:00)``."""
    if not owner:
        return "another run"
    words = f"process {owner['pid']} on {owner.get('host')} since {owner.get('since')}"
    command = owner.get("command")
    return f"another run ({words}{f': {command}' if command else ''})"


def _changed(path: Path) -> float | None:
    """Return the time of the last sign of life; None if the file is gone."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _opened(path: Path) -> int:
    """Return an open lock file; that of another user can only be read."""
    try:
        return os.open(path, os.O_RDWR)
    except PermissionError:
        return os.open(path, os.O_RDONLY)


def _is_named(path: Path, file: int) -> bool:
    """Return True if a path is the name of an open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _flock(file: int) -> bool:
    """Mark an open file as in use; return False if another process has marked it.

    True also where the operating or the file system has no such marks.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def _is_flocked(path: Path) -> bool:
    """Return True if a process, perhaps on another host, marks the file as in use.

    This also finds a process that is suspended, and therefore gives no signs of life.
    """
    try:
        file = _opened(path)
    except OSError:
        return False
    try:
        return not _flock(file)
    finally:
        os.close(file)
