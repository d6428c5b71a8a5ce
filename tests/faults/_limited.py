"""Calls in child processes with limits on time and memory, which report what they open."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import resource
import signal
import sys
import sysconfig
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multifit.errors import MultifitError

MEMORY = 2**30  #: bytes on top of what the process has at its start
SECONDS = 10  #: of the processor
PATIENCE = 60  #: seconds of the clock, on a machine that has other work

#: Beginnings of the names of audit events that no file may cause.
FORBIDDEN = (
    *("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn"),
    *("pickle.", "ftplib.", "smtplib.", "urllib.", "webbrowser.", "code.", "pty.", "os.kill"),
)

#: Places from which modules and their data may be read, and devices.
LIBRARIES = tuple(
    {
        *(os.path.realpath(path) for path in sysconfig.get_paths().values()),
        *(os.path.realpath(path) for path in (sys.prefix, sys.base_prefix)),
        str(Path(__file__).resolve().parents[2]),
        *("/proc/self", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu", "/sys/fs/cgroup"),
        *("/proc/meminfo", "/proc/sys/kernel/random/boot_id", "/usr/lib", "/usr/share/zoneinfo"),
    }
)


@dataclass(frozen=True)
class Outcome:
    """What came of a call: ``right``, ``refused`` (with a sentence), or a failure."""

    kind: str
    text: str
    seconds: float
    peak: int  #: bytes on top of those at the start

    @property
    def good(self) -> bool:
        """True if it was a right result or a clear sentence."""
        return self.kind in ("right", "refused")


def _watch(folder: Path, events: list[str]) -> None:
    """Note everything that happens outside of a folder and the libraries."""
    allowed = str(folder.resolve())

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str | bytes):
            path = os.path.realpath(os.fsdecode(args[0]))
            writes = bool((args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            own = (*LIBRARIES, f"/proc/{os.getpid()}/")
            known = path.startswith(allowed) or (not writes and path.startswith(own))
            if not known and path != "/dev/null":
                events.append(f"open {path}")
        elif event.startswith(FORBIDDEN):
            events.append(f"{event} {args!r:.100}")

    sys.addaudithook(hook)


def _child(call: Callable[[], None], folder: Path, write: int) -> None:
    """Make the call, and write what came of it to the pipe."""
    status = Path("/proc/self/statm").read_text().split()
    page = resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (int(status[0]) * page + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()  # a crash is reported by the parent
    events: list[str] = []
    os.chdir(folder)
    _watch(folder, events)
    kind, text = "right", ""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            call()
    except MultifitError as error:
        kind, text = "refused", str(error)
        if "\n" in text or len(text) < 20 or "Traceback" in text:
            kind = "no sentence"
    except BaseException:
        kind, text = "traceback", traceback.format_exc()
    if events:
        kind, text = "outside", "; ".join(events)
    os.write(write, f"{kind}\0{text[-6000:]}".encode(errors="replace"))


def limited(call: Callable[[], None], folder: Path) -> Outcome:
    """Make a call in a forked child with the limits, and return what came of it.

    Parameters
    ----------
    call
        Raises an error, or checks its own result.
    folder
        The only one that it may read and write.
    """
    read, write = os.pipe()
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            _child(call, folder, write)
        finally:
            os._exit(0)
    os.close(write)
    status, usage = _wait(pid)
    seconds = time.monotonic() - start
    with os.fdopen(read, "rb") as pipe:
        kind, _, text = pipe.read().decode(errors="replace").partition("\0")
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        slow = number in (signal.SIGXCPU, signal.SIGKILL)
        kind, text = ("hang", f"{seconds:.0f} s") if slow else ("crash", number.name)
    return Outcome(kind or "crash", text, seconds, usage.ru_maxrss * 1024)


def _wait(pid: int) -> tuple[int, Any]:
    """Wait for a child, and kill it if it is too slow."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return status, usage
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return status, usage
