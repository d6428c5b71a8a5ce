"""Tables on a terminal, in a pipe and in a log file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from .streams import write_any_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from ..evaluation.metrics import Errors

    Row = tuple[str, int, Errors]

#: Maximum width of a table if there is no terminal.
WIDTH = 100

#: Longer names are shown without their common folder.
LONG_NAME = 14

#: Placeholder for a missing label.
NOTHING = "—"


def console(stderr: bool = False) -> Console:
    """Return a console: as wide as the terminal, or 100 columns without colours elsewhere."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    write_any_text(stream)
    terminal = stream.isatty()
    return Console(
        stderr=stderr, width=None if terminal else WIDTH, highlight=False, soft_wrap=False
    )


def plain_table(title: str = "", caption: str = "") -> Table:
    """Return an empty table in the common style of all commands."""
    from rich import box
    from rich.console import ConsoleOptions, RenderResult
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

    class Trimmed(Table):
        """A table without trailing blanks, with which rich fills lines up to its width."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            parts = super().__rich_console__(console, options)
            segments = (part for part in parts if isinstance(part, Segment))
            for line in Segment.split_lines(segments):
                yield from without_end(line)
                yield Segment.line()

    def without_end(line: list[Segment]) -> list[Segment]:
        while line and not line[-1].text.strip():
            line = line[:-1]
        return [*line[:-1], *(Segment(last.text.rstrip(), last.style) for last in line[-1:])]

    # Text, not str: a folder named [bold] is not markup.
    return Trimmed(
        title=Text(title) if title else None,
        caption=Text(caption) if caption else None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="dim",
        pad_edge=False,
        padding=(0, 1, 0, 0),  # six columns of numbers then fit into 80 characters
    )


def short_names(names: Sequence[str]) -> tuple[str, list[str]]:
    """Return the common folder of all systems, and their names without it.

    The folder is empty if the names are short enough to be shown in full.
    """
    if max(map(len, names), default=0) <= LONG_NAME:
        return "", list(names)
    parents = zip(*(name.split("/")[:-1] for name in names), strict=False)
    shared = takewhile(lambda parts: len(set(parts)) == 1, parents)
    folder = "".join(f"{parts[0]}/" for parts in shared)
    return folder.rstrip("/#"), [name.removeprefix(folder) for name in names]


def table(
    rows: Sequence[Row],
    title: str,
    quantities: Sequence[str],
    *,
    caption: bool = True,
) -> Table:
    """Return the errors of systems as a table, one line each, and their total.

    Parameters
    ----------
    rows
        Name, number of frames and errors of each system.
    title
        Heading.
    quantities
        Keys of :func:`multifit.outputs.quantities`; each has two columns.
    caption
        True to name the common folder of the systems below, if the names lack it.
    """
    from rich.text import Text

    from ..evaluation.metrics import Errors

    folder, names = short_names([name for name, _, _ in rows])
    found = plain_table(title, f"in {folder}" if folder and caption else "")
    found.add_column("system", overflow="fold", min_width=6)
    found.add_column("frames", justify="right", no_wrap=True)
    for key in quantities:
        found.add_column(f"{heading(key)}\nrmse", justify="right", no_wrap=True)
        found.add_column("mae", justify="right", no_wrap=True)
    total = sum((errors for _, _, errors in rows), Errors())
    shown = [(name, n, errors) for name, (_, n, errors) in zip(names, rows, strict=True)]
    if len(rows) > 1:
        shown.append(("total", sum(n for _, n, _ in rows), total))
    for k, (name, n, errors) in enumerate(shown):
        if len(rows) > 1 and k == len(rows):
            found.add_section()
        cells = [cell for key in quantities for cell in _cells(errors, key)]
        found.add_row(Text(name), str(n), *cells)
    return found


def heading(key: str) -> str:
    """Return a quantity and its unit on two lines: ``energy``, ``eV/atom``.

    If the unit is long, ``/atom`` stays with the name, to keep the column narrow.
    """
    from ..outputs import quantities

    title, unit = quantities()[key].title, quantities()[key].unit
    name, slash, atom = title.partition("/")
    return f"{title}\n{unit}" if "/" in unit else f"{name}\n{unit}{slash}{atom}"


def _cells(errors: Errors, key: str) -> tuple[str, str]:
    """Return RMSE and MAE as text."""
    if not errors.number.get(key):
        return NOTHING, NOTHING
    return f"{errors.rmse(key):.3e}", f"{errors.mae(key):.3e}"


def progress(about: str, total: int, unit: str = "frames") -> tuple[Progress, TaskID]:
    """Return a progress bar on stderr, shown only on a terminal, and its task."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    return bar, bar.add_task(about, total=total)
