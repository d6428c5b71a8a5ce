"""The documentation page with the deviations between backends."""

from __future__ import annotations

from collections.abc import Sequence

from _backends import INSTALLED
from _check import Record

import multifit
from multifit.backend import get_backend

HEAD = """\
# Consistency of the backends

The test suite `tests/consistency` compares every backend with NumPy, option by option. `nox -s
consistency` runs it and writes this page; it fails if a deviation exceeds its tolerance.

Each entry is the largest deviation, relative to the largest element of the compared array.
Tolerances are 1e-10 for values, 1e-9 for derivatives (forces, gradients) and 1e-8 for parameters
after training; a row shows the largest tolerance of its entries. Gradients and trained parameters,
which NumPy does not have, are compared with those of {reference}, and gradients along random
directions with finite differences of NumPy's values. Networks are in float64 unless the options
state otherwise. The reference for bfloat16, which NumPy does not have, is float64. 0 means
identical bits. — means that the backend is the reference or does not have the option (see the
[support matrix](generated/support.md)).

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
