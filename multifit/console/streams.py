"""Standard output and error that neither an old encoding nor a lost reader ends the program."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

#: Name of the error handler below.
PLAIN = "multifit.plain"

#: Characters that are written as others where an encoding lacks them; the rest becomes "?".
_ASCII = {
    **dict.fromkeys("–—−‐", "-"),
    **{"Å": "A", "√": "sqrt ", "…": "...", "→": "->", "±": "+-", "·": "*", "×": "x", "°": " deg"},
    **{"²": "^2", "³": "^3", "⁻": "^-", "≥": ">=", "≤": "<=", "Σ": "sum ", "σ": "sigma", "µ": "u"},
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("━╸╺─", "-"),
}

#: Errors of a stream whose reader has ended, or whose terminal is gone: they stay.
_GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO}


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what is written instead of the characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    if all("\udc80" <= c <= "\udcff" for c in missing):  # bytes of a file name that is no text
        return bytes(ord(c) - 0xDC00 for c in missing), error.end
    return "".join(_ASCII.get(c, "?") for c in missing), error.end


codecs.register_error(PLAIN, _plain)


def write_any_text(stream: Any) -> None:
    """Let a stream replace the characters that its encoding lacks, instead of failing."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=PLAIN)


class Losable:
    """A text stream that does not fail if nobody reads it, or if its disk is full.

    What cannot be written is lost. After an error that will not go away, nothing more is written;
    on a full disk each line is tried again.

    Parameters
    ----------
    stream
        The stream to write to.

    Attributes
    ----------
    lost
        The first error, None if everything was written so far.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._gone = stream, False
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write text as far as possible; return its length."""
        if not self._gone:
            try:
                self._stream.write(text)
            except OSError as exc:
                self._note(exc)
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered, as far as possible."""
        if not self._gone:
            try:
                self._stream.flush()
            except OSError as exc:
                self._note(exc)

    def _note(self, exc: OSError) -> None:
        self.lost = self.lost or exc
        if exc.errno in _GONE:
            self._gone = True
            self.discard()

    def discard(self) -> None:
        """Let what is still buffered go nowhere: Python would fail to write it when it ends."""
        with contextlib.suppress(OSError, ValueError):  # a stream in memory has no descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def losable_output() -> Iterator[tuple[Losable, Losable]]:
    """Make standard output and error :class:`Losable`, and yield both.

    A stream that is closed from the start is replaced by one that goes nowhere.
    """
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        streams = []
        for stream in before:
            found = stream or stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            write_any_text(found)
            streams.append(Losable(found))
        out, err = streams
        sys.stdout, sys.stderr = out, err
        try:
            yield out, err
        finally:
            for each in streams:
                each.flush()
                if each.lost is not None:
                    each.discard()
            sys.stdout, sys.stderr = before
