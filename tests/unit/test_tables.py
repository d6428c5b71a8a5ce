"""What tables look like."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from multifit.console.tables import plain_table, table
from multifit.evaluation.metrics import Errors


def printed(what: object, **options: object) -> str:
    text = io.StringIO()
    Console(file=text, width=70, **options).print(what)  # type: ignore[arg-type]
    return text.getvalue()


def errors() -> Errors:
    found = Errors()
    found.add({"energy": np.ones(2)}, {"energy": np.zeros(2)}, np.ones((2, 3), dtype=bool))
    return found


def test_no_line_ends_with_blanks() -> None:
    rows = [("a/somewhere/one", 2, errors()), ("a/somewhere/other", 2, errors())]
    shown = printed(table(rows, "Energy", ("energy",)))
    assert [line for line in shown.split("\n") if line != line.rstrip()] == []
    assert "in a/somewhere" in shown
    assert "1.000e+00  1.000e+00\n" in shown
    assert shown.count("\n") == len(shown.splitlines())


def test_colours_stay() -> None:
    found = plain_table("A [b] title")
    found.add_column("name")
    found.add_row("x")
    shown = printed(found, force_terminal=True, color_system="standard", legacy_windows=False)
    assert "\x1b[1mname\x1b[0m\n" in shown
