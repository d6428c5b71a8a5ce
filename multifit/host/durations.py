"""Durations as users and queues write them."""

from __future__ import annotations

import re

#: The longest one, in seconds.
MOST = 1e9

_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*s?")
_UNITS = re.compile(r"(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?")
_SLURM = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def as_seconds(text: str) -> float:
    """Return the seconds of a duration, > 0.

    Parameters
    ----------
    text
        A number of seconds; numbers with units, ``3h50m``; or what Slurm writes, ``1-02:00:00``,
        ``1-02``, ``02:00:00`` or ``30:00`` (minutes and seconds).

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> as_seconds("3h50m"), as_seconds("1-02:00:00"), as_seconds("90")
    (13800.0, 93600.0, 90.0)
    """
    given = text.strip().lower()
    found = _plain(given) or _with_units(given) or _of_slurm(given)
    if found is None or not 0 < found <= MOST:
        raise ValueError(
            f"{text!r} is not a duration > 0 such as 90s, 45m, 3h50m, 1-02:00:00 or a number of "
            "seconds"
        )
    return found


def _plain(text: str) -> float | None:
    found = _SECONDS.fullmatch(text)
    return float(found[1]) if found else None


def _with_units(text: str) -> float | None:
    found = _UNITS.fullmatch(text)
    return _sum(*found.groups()) if found and text else None


def _of_slurm(text: str) -> float | None:
    found = _SLURM.fullmatch(text)
    if found is None:
        return None
    days, first, second, third = found.groups()
    if days is None and third is None:  # minutes and seconds
        return _sum(None, None, first, second)
    return _sum(days, first, second, third)


def _sum(days: str | None, hours: str | None, minutes: str | None, seconds: str | None) -> float:
    d, h, m, s = (float(x or 0) for x in (days, hours, minutes, seconds))
    return ((d * 24 + h) * 60 + m) * 60 + s


def in_words(seconds: float) -> str:
    """Return a duration to print.

    Examples
    --------
    >>> in_words(13800), in_words(90), in_words(7.25)
    ('3 h 50 min', '1 min 30 s', '7.2 s')
    >>> in_words(0.0), in_words(3600 * 50)
    ('0 s', '50 h')
    """
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (m, "min"), (s, "s")) if n]
    return " ".join(parts[:2])
