"""The number of threads of the frameworks.

Frameworks start a thread for each logical CPU of the machine, whatever a job may use of it. Some
read variables of the environment when they are loaded, others are told: each adapter does so
for its own framework, with the number from :func:`limited`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ..errors import ConfigError
from . import cores

#: The user's number.
VARIABLE = "MULTIFIT_THREADS"

#: The variable that most libraries know, and that batch systems and users set.
COMMON = "OMP_NUM_THREADS"

#: Variables of libraries for linear algebra, which they read when they are loaded.
LIBRARIES = (COMMON, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def positive(text: str) -> int:
    """Return a number of threads.

    Raises
    ------
    ValueError
        If it is not an integer > 0.
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16):
        raise ValueError(f"{text!r} is not an integer > 0")
    return int(text)


def wanted() -> int | None:
    """Return the number in ``$MULTIFIT_THREADS``, None if it is not set.

    Raises
    ------
    ConfigError
        If it is no number of threads.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return None
    try:
        return positive(given)
    except ValueError:
        raise ConfigError(f"{VARIABLE} is {given!r}, but must be an integer > 0") from None


def _common() -> int | None:
    """Return the first number in ``$OMP_NUM_THREADS``, None without a valid one."""
    first = os.environ.get(COMMON, "").partition(",")[0].strip()
    try:
        return positive(first)
    except ValueError:
        return None


def number() -> int:
    """Return the number of threads: ``$MULTIFIT_THREADS``, ``$OMP_NUM_THREADS`` or the cores."""
    return wanted() or _common() or cores.usable().number


def limited(current: int) -> int:
    """Return the number of threads for a framework that has ``current`` of them.

    A program that uses multifit may have set it, so that it is lowered only to what the process may
    use, unless the user asks for a number.
    """
    if wanted() is None and _common() is not None:
        return current  # frameworks read that variable themselves
    return wanted() or min(current, number())


def choose(given: int | None = None, share: int = 1) -> int:
    """Set the variables of the environment, for a program that owns its process, and return them.

    To be called before NumPy is imported.

    Parameters
    ----------
    given
        The user's number; by default :func:`number`.
    share
        Number of processes that share the cores, if the user gives no number.
    """
    given = given or wanted()
    chosen = given or _common() or max(1, cores.usable().number // share)
    if given or share > 1:
        os.environ[VARIABLE] = str(chosen)
    for name in LIBRARIES:
        if given:
            os.environ[name] = str(chosen)
        else:
            os.environ.setdefault(name, str(chosen))
    return chosen


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set variables of the environment that are not set, and take them back afterwards.

    For those that a framework reads and that other programs could misunderstand.
    """
    ours = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
