"""Calls that compile, from which signals return at once.

A compiler works in one call, for seconds to minutes, in which Python cannot act on signals. The
call therefore runs in a thread, while the main thread waits in short intervals. After a signal the
compilation is abandoned: nothing of it is needed for the checkpoint.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

#: Seconds between looks at the flag of signals.
INTERVAL = 0.1

#: Seconds that a call may still take after a signal: a step that is nearly done is finished.
GRACE = 1.0


class AbandonedError(Exception):
    """The call was abandoned after a signal."""


def call_interruptibly(
    signalled: Callable[[], int | None], f: Callable[..., Any], *args: Any
) -> Any:
    """Return f(*args), computed in a thread.

    Parameters
    ----------
    signalled
        Returns the exit code after a signal, else None.

    Raises
    ------
    AbandonedError
        If f has not returned :data:`GRACE` seconds after a signal. The process then ends without
        waiting for it, when everything else is done.
    """
    done, outcome = threading.Event(), _Outcome()

    def work() -> None:
        try:
            outcome.value = f(*args)
        except BaseException as exc:  # handed over to the caller, whatever it is
            outcome.error = exc
        finally:
            done.set()

    thread = threading.Thread(target=work, name="multifit-compile", daemon=True)
    thread.start()
    while not done.wait(INTERVAL):
        code = signalled()
        if code is not None and not done.wait(GRACE):
            # A thread in a compiler cannot be ended, and crashes if the interpreter ends first.
            atexit.register(_leave, thread, code)
            raise AbandonedError
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


class _Outcome:
    """What the thread found."""

    value: Any = None
    error: BaseException | None = None


def _leave(thread: threading.Thread, code: int) -> None:
    """End the process without the interpreter's own cleaning up if the thread still works."""
    if thread.is_alive():
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
