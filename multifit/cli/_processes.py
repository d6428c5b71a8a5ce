"""One of several processes of a run: its errors are told once, and it never outlives the others."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from ..console.silence import silence
from ..distributed import Group, PeerError
from ..errors import MultifitError
from ..signals import Stopped
from . import USER_ERROR


def together(processes: Group, run: Callable[[], int]) -> int:
    """Return the exit code of all processes; do not return if one has failed.

    Frameworks wait for lost processes when they are unloaded, and abort: this process then ends
    without that.
    """
    try:
        code = run()
        processes.leave()
        return code
    except PeerError:
        processes.end.tell()
        processes.end.wait_for_first()
    except MultifitError as exc:
        if _fail(processes, str(exc)):
            who = f"process {processes.rank}: " if processes.rank else ""
            print(f"multifit: {who}error: {exc}", file=sys.stderr)
    except KeyboardInterrupt:
        if _fail(processes, "interrupted"):
            print("multifit: interrupted", file=sys.stderr)
        _end(130)
    except Stopped as exc:
        if _fail(processes, str(exc)):
            print(f"multifit: {exc}", file=sys.stderr)
        _end(exc.code)
    except BaseException as exc:
        import traceback

        traceback.print_exc()
        processes.fail(f"{type(exc).__name__}: {exc}")
        _end(1)
    _end(USER_ERROR)
    raise AssertionError


#: What hides messages until this process ends; kept, as it would show them again otherwise.
_HIDDEN: list[contextlib.ExitStack] = []


def _fail(processes: Group, text: str) -> bool:
    """Tell the others why this process ends; return True if it has to tell the user.

    If process 0 does, this one waits until that has ended, which frameworks would report at length.
    """
    with contextlib.ExitStack() as hidden:
        if processes.rank:
            hidden.enter_context(silence(2))
        if processes.fail(text):
            return True
        _HIDDEN.append(hidden.pop_all())
    return False


def _end(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
