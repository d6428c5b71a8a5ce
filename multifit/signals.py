"""Signals that stop a run: it finishes its step and writes a checkpoint first.

A queue sends SIGTERM or SIGUSR1 before the time of a job is over, and the kernel SIGXCPU when its
processor time is. SIGHUP comes when a terminal is closed, unless nohup makes a run ignore it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

#: The exit code that tells queue systems that the job may be restarted.
RESTARTABLE = 75

#: signal → exit code, for the available signals: Windows has only two.
EXIT_CODES = {
    signal.Signals[name]: code
    for name, code in {
        **{"SIGINT": 130},
        **dict.fromkeys(("SIGTERM", "SIGUSR1", "SIGHUP", "SIGXCPU"), RESTARTABLE),
    }.items()
    if name in signal.Signals.__members__
}

#: Seconds in which a second signal counts as the first one: Ctrl-C may be pressed twice.
PATIENCE = 1.0

#: Signals that are left alone if the run was started with them ignored, as by nohup.
KEPT = {"SIGHUP"}

NOTICE = "stopping after this step, with a checkpoint; once more to end at once"


class Interrupt:
    """Within this context the first signal sets :attr:`exit_code`, a later one acts at once.

    Parameters
    ----------
    quiet
        True if the first one is not acknowledged on stderr.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.exit_code: int | None = None
        self._quiet = quiet
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the signal handlers; only possible in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in _heeded():
                self._before[number] = signal.signal(number, self._notice)
        return self

    def _notice(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal, or pass a later one to its previous handler.

        Python calls this between two bytecodes: while a framework compiles or computes in one
        call, signals wait for its end, and so does the acknowledgement.
        """
        if self.exit_code is None:
            self.exit_code = EXIT_CODES[signal.Signals(number)]
            self._since = time.monotonic()
            if not self._quiet:
                _answer()
        elif time.monotonic() - self._since >= PATIENCE:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the handlers; after a signal, not before the next one that counts.

        The checkpoint may be written, and the process finished, before the second of two quick
        signals arrives.
        """
        if self.exit_code is None or value is not None:
            self._restore()


class Stopped(BaseException):
    """A signal came while nothing had to be saved.

    Not an ``Exception``, as ``KeyboardInterrupt`` is none: what catches errors must not catch it.

    Attributes
    ----------
    code
        The exit code.
    """

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"stopped by {name}")
        self.code = code


def stoppable(work: Callable[[], int]) -> int:
    """Return the exit code of a piece of work, or of the signal that ended it at once.

    For the time before the first step and after the last one, outside of :class:`Interrupt`.
    Ctrl-C raises what it always raises.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(signal.Signals(number).name, EXIT_CODES[signal.Signals(number)])

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _heeded():
            if number != signal.SIGINT:
                before[number] = signal.signal(number, stop)
    try:
        return work()
    except Stopped as exc:
        print(f"multifit: {exc}", file=sys.stderr)
        return exc.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded() -> list[signal.Signals]:
    """Return the signals to act on."""
    return [
        number
        for number in EXIT_CODES
        if number.name not in KEPT or signal.getsignal(number) is not signal.SIG_IGN
    ]


def _answer() -> None:
    """Write to stderr, bypassing Python's streams: the interrupted code may be writing to one."""
    try:
        # The terminal's line contains ^C and possibly a bar.
        os.write(2, f"\n{NOTICE}\n".encode() if os.isatty(2) else f"{NOTICE}\n".encode())
    except OSError:  # nobody reads it; the run stops anyway
        return
