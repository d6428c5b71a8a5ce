"""Messages of frameworks, which are hidden unless the user asks for them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

#: The variable with which the user asks for them; the option ``--verbose`` sets it.
VARIABLE = "MULTIFIT_VERBOSE"


def is_verbose() -> bool:
    """Return True if the user asks for messages of frameworks."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


@contextlib.contextmanager
def silence(*descriptors: int) -> Iterator[None]:
    """Hide what libraries print past Python's streams, unless verbose.

    Parameters
    ----------
    descriptors
        1 for standard output, 2 for standard error.
    """
    if is_verbose():
        yield
        return
    # What Python has buffered is not theirs.
    sys.stdout.flush()
    with contextlib.ExitStack() as stack:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        for number in descriptors:
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(nowhere, number)
        yield
