"""Amounts of memory as users write and read them."""

from __future__ import annotations

import math
import re

#: Bytes of a unit.
UNITS: dict[str, int] = {"B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    UNITS |= {_letter: 1000**_power, f"{_letter}B": 1000**_power, f"{_letter}IB": 1024**_power}


def as_bytes(size: float | str) -> int:
    """Return the bytes of a size: a number of MB, or a text such as ``"2 GB"`` or ``"512 MiB"``.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> as_bytes("1.5 GB"), as_bytes(200)
    (1500000000, 200000000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", str(size).strip(), re.IGNORECASE)
    unit = UNITS.get(found[2].upper() or "MB") if found else None
    if found is None or unit is None or not math.isfinite(value := float(found[1]) * unit):
        raise ValueError(f"{size!r} is not a size such as 500 or '2 GB'")
    return round(value)


def in_words(nbytes: int) -> str:
    """Return a size to print.

    Examples
    --------
    >>> in_words(256_000_000), in_words(23_250_000_000)
    ('256 MB', '23.2 GB')
    """
    for unit, least, digits in (("TB", 1e12, 1), ("GB", 1e9, 1), ("MB", 1e6, 0)):
        if nbytes >= least:
            return f"{nbytes / least:.{digits}f} {unit}"
    return f"{nbytes / 1e6:.3g} MB"
