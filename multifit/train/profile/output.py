"""The times of a recorder, as a table and as a timeline for https://ui.perfetto.dev."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ... import files
from ...console.tables import plain_table
from ...console.words import counted
from .breakdown import Breakdown
from .recorder import BATCH, BESIDE, MAIN, STEP, Part, Recorder

FILE = "profile.json"

#: Name of the time of an outermost span outside its inner spans.
REST = "other"


def write_profile(
    recorder: Recorder, breakdown: Breakdown | None, output: Path, console: Console | None
) -> None:
    """Write the timeline and, with a console, print the tables."""
    path = output / FILE
    files.write(path, trace(recorder, breakdown))
    if console is None:
        return
    for line in once(recorder):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    rows = steps(recorder)
    if rows:
        console.print(_table_of_steps(rows))
    else:
        console.print("no step came after the first and those that compiled: give more numb_steps")
    if breakdown is not None:
        console.print(breakdown.table())
        for line in breakdown.notes():
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"timeline in {path}: open https://ui.perfetto.dev and drop the file there",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


def with_rest(parts: Sequence[Part], top: str) -> list[Part]:
    """Return the parts of an outermost span and its remainder, and then the span itself.

    The totals of those directly within it, the rest included, sum up to its own.
    """
    own = [part for part in parts if part.path == (top,)]
    if not own:
        return []
    whole, within = own[0], [part for part in parts if part.path[0] == top and len(part.path) > 1]
    rest = whole.total - sum(part.total for part in within if len(part.path) == 2)
    left = Part((top, REST), whole.calls, rest / whole.calls, rest)
    return [*within, left, whole]


def steps(recorder: Recorder) -> list[tuple[str, list[Part]]]:
    """Return (title, parts) of the training steps and, beside them, of the batches."""
    found = [(MAIN, STEP), (BESIDE, BATCH)]
    groups = [(thread, with_rest(recorder.parts(thread), top)) for thread, top in found]
    return groups if groups[0][1] else []


def once(recorder: Recorder) -> list[str]:
    """Return a line on each thing that is done once, and on the compilations."""
    apart = recorder.parts(MAIN, steady=False)
    lines = [
        f"{part.path[0]}: {part.total:.2f} s"
        for part in apart
        if len(part.path) == 1 and part.path[0] != STEP
    ]
    first = [part for part in apart if part.path == (STEP,)]
    spent = sum(part.total for part in apart if part.path[-1].startswith("compile "))
    if recorder.compiled:
        lines.append(f"{counted(len(recorder.compiled), 'compilation')}: {spent:.2f} s")
    if first:
        what = "the first step" if first[0].calls == 1 else "the first step and those that compiled"
        lines.append(f"{what}, not in the table: {first[0].total:.2f} s")
    return lines


def _table_of_steps(groups: list[tuple[str, list[Part]]]) -> Any:
    """Return the table; percentages are relative to the mean time of a step."""
    whole = groups[0][1][-1]
    table = plain_table(f"where the time of {counted(whole.calls, 'step')} went")
    table.add_column("", no_wrap=True)
    for name in ("calls", "median\nms", "mean\nms/step", "% of\na step", "total\ns"):
        table.add_column(name, justify="right", no_wrap=True)
    for title, parts in groups:
        if not parts:
            continue
        number = parts[-1].calls
        for part in parts:
            table.add_row(
                *_cells(part, title, number, whole.total / whole.calls),
                end_section=part is parts[-1],
            )
    return table


def _cells(part: Part, title: str, number: int, each: float) -> tuple[str, ...]:
    """Return a row: a part of an outermost span, or that span itself."""
    depth = len(part.path) - 2
    meanwhile = ", prepared meanwhile" if title == BESIDE else ""
    name = f"a {part.path[-1]}{meanwhile}" if depth < 0 else "  " * depth + part.path[-1]
    median = "" if part.path[-1] == REST else f"{part.median * 1e3:.2f}"
    mean = part.total / number
    percent = f"{100 * mean / each:.1f}"
    return name, str(part.calls), median, f"{mean * 1e3:.2f}", percent, f"{part.total:.2f}"


def trace(recorder: Recorder, breakdown: Breakdown | None) -> dict[str, Any]:
    """Return the timeline in Chrome's trace-event format, with the sums of all spans beside it."""
    events: list[dict[str, Any]] = []
    for k, (title, spans, _) in enumerate(recorder.timeline()):
        names = {"thread_name": {"name": title}, "thread_sort_index": {"sort_index": k}}
        for name, given in names.items():
            events.append({"ph": "M", "pid": 1, "tid": k, "name": name, "args": given})
        events += [
            {
                "ph": "X",
                "pid": 1,
                "tid": k,
                "name": span.name,
                "cat": title,
                "ts": round(span.began * 1e6, 3),  # microseconds
                "dur": round(span.seconds * 1e6, 3),
                "args": {"number": span.number},
            }
            for span in spans
        ]
    sums = [
        {"thread": title, "path": list(part.path), **_numbers(part)}
        for title, parts in steps(recorder)
        for part in parts
    ]
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "sums": sums,
            "compiled": recorder.compiled,
            "dropped_spans": sum(dropped for _, _, dropped in recorder.timeline()),
            "breakdown": None if breakdown is None else breakdown.as_dict(),
        },
    }


def _numbers(part: Part) -> dict[str, float]:
    return {"calls": part.calls, "median_s": part.median, "total_s": part.total}
