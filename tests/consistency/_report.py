"""The page of the documentation that says how far backends are apart."""

from __future__ import annotations

from collections.abc import Sequence

from _backends import INSTALLED
from _check import Record

import multifit
from multifit.backend import get_backend

HEAD = """\
# How equal the backends are

One suite, `tests/consistency`, compares every backend with NumPy, option by option. `nox -s
consistency` runs it and writes this page; it fails where a number is beyond its tolerance.

A number is the worst deviation that was seen, divided by the largest number of the array that it
is in. Values agree to 1e-10, derivatives (forces, gradients) to 1e-9, parameters after training to
1e-8; a line shows the largest tolerance of what it holds. Gradients and trained parameters, which
NumPy does not have, are compared with those of {reference}, and gradients along random directions
with differences of NumPy's values. Networks are in float64 unless the options say otherwise; the
reference of bfloat16, which NumPy does not have, is float64. 0 means the same bits, — that the
backend does not have the option (see the [support matrix](generated/support.md)) or is the
reference.

Versions: {versions}.
"""


def page(records: Sequence[Record]) -> str:
    """Return the Markdown page for a run of the suite."""
    names = [name for name in INSTALLED if any(one.backend == name for one in records)]
    versions = [f"multifit {multifit.__version__}"] + [
        f"{name} {get_backend(name).describe()['version']}" for name in ("numpy", *names)
    ]
    parts = [HEAD.format(reference=names[0], versions=", ".join(versions))]
    for feature in dict.fromkeys(sorted(one.feature for one in records)):
        mine = [one for one in records if one.feature == feature]
        parts.append(_table(feature, mine, names))
    return "\n".join(parts)


def _table(feature: str, records: Sequence[Record], names: Sequence[str]) -> str:
    lines = [
        f"## {feature[0].upper()}{feature[1:]}\n",
        "| options | " + " | ".join(names) + " | tolerance |",
        "|---|" + "---:|" * (len(names) + 1),
    ]
    for options in sorted({one.options for one in records}):
        mine = [one for one in records if one.options == options]
        seen = [_worst([one for one in mine if one.backend == name]) for name in names]
        loosest = max(one.tolerance for one in mine)
        cells = " | ".join(seen)
        lines.append(f"| {options} | {cells} | {_text(loosest)} |")
    return "\n".join(lines) + "\n"


def _worst(records: Sequence[Record]) -> str:
    return _text(max(one.deviation for one in records)) if records else "—"


def _text(x: float) -> str:
    return f"{x:.0e}" if x else "0"
