"""Errors that are written for the person who runs multifit.

Each carries one sentence: what is wrong, where (file, key, frame, atom) and what to do.
The command line prints it and exits with code 2; any other exception is a defect of multifit.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MultifitError(Exception):
    """An error caused by what the user gave; its text is meant for the user."""


class ConfigError(MultifitError, ValueError):
    """The input file asks for something that is not there, or in a wrong way."""


class DataError(MultifitError, ValueError):
    """A data system is missing, unreadable, inconsistent or holds values that are not finite."""


class FileFormatError(MultifitError, ValueError):
    """A model or checkpoint file is truncated, damaged, foreign or from a newer version."""


class BackendError(MultifitError, ImportError):
    """A backend is unknown, not installed, or broken at import."""


class UnsupportedError(MultifitError, NotImplementedError):
    """A feature that the chosen backend does not have (see :mod:`multifit.support`)."""


class TrainingError(MultifitError, RuntimeError):
    """Training cannot continue: the loss is not finite, or a checkpoint does not fit the run."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest known word, or an empty string.

    Parameters
    ----------
    word
        What was given.
    known
        The words that would have been understood.
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, n=max(1, len(names)), cutoff=0.6)
    # The same letters in another order are a slip more often than letters that are left out.
    turned = [name for name in near if sorted(name) == sorted(word)]
    return f" (did you mean {(turned or near)[0]!r}?)" if near else ""
