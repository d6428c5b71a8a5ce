"""Errors for the users of multifit.

Each is one sentence: the problem, its place (file, key, frame, atom) and the remedy.
The command line prints it and exits with code 2; any other exception is a defect of multifit.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MultifitError(Exception):
    """An error caused by the user's input; its text is meant for the user."""


class ConfigError(MultifitError, ValueError):
    """The input file has an unknown key or an invalid value."""


class DataError(MultifitError, ValueError):
    """A data system is missing, unreadable, inconsistent or holds values that are not finite."""


class FileFormatError(MultifitError, ValueError):
    """A model or checkpoint file is truncated, damaged, foreign or from a newer version."""


class BackendError(MultifitError, ImportError):
    """A backend is unknown, not installed, or broken at import."""


class UnsupportedError(MultifitError, NotImplementedError):
    """A feature that the chosen backend does not support (see :mod:`multifit.support`)."""


class TrainingError(MultifitError, RuntimeError):
    """Training cannot continue: the loss is not finite, or a checkpoint does not fit the run."""


class BusyError(MultifitError, RuntimeError):
    """Another run is writing into the same folder."""


class EngineError(MultifitError, RuntimeError):
    """A simulation engine is not installed, or a simulation does not fit the model."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest known word, or an empty string.

    Parameters
    ----------
    word
        The given word.
    known
        The accepted words.
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, n=max(1, len(names)), cutoff=0.6)
    # Swapped letters are a more common typo than missing ones.
    turned = [name for name in near if sorted(name) == sorted(word)]
    return f" (did you mean {(turned or near)[0]!r}?)" if near else ""
