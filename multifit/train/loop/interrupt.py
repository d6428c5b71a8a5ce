"""Signals that stop a run: it finishes its step and writes a checkpoint first."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

#: signal → exit code, for the available signals: Windows has no SIGUSR1. 75 tells queue
#: systems that the job may be restarted.
EXIT_CODES = {
    signal.Signals[name]: code
    for name, code in {"SIGINT": 130, "SIGTERM": 75, "SIGUSR1": 75}.items()
    if name in signal.Signals.__members__
}

#: Seconds in which a second signal counts as the first one: Ctrl-C may be pressed twice.
PATIENCE = 1.0

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
            for number in EXIT_CODES:
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


def _answer() -> None:
    """Write to stderr, bypassing Python's streams: the interrupted code may be writing to one."""
    try:
        # The terminal's line contains ^C and possibly a bar.
        os.write(2, f"\n{NOTICE}\n".encode() if os.isatty(2) else f"{NOTICE}\n".encode())
    except OSError:  # nobody reads it; the run stops anyway
        return
