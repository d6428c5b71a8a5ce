"""Figures: the protocol of plots, common parts, and the files."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..errors import DataError, FileFormatError, did_you_mean
from ..files._atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..data import System
    from ..evaluation.predictions import Chunk
    from ..inference.potential import Potential

#: File extensions of figures.
FORMATS = ("png", "pdf", "svg")

#: Dots per inch, if a format has any.
DPI = 120


class Plot(Protocol):
    """A comparison of predictions with labels: collected in chunks, then drawn."""

    shows_atoms: ClassVar[bool]  #: True if single atoms can be drawn

    def required(self, atoms: bool) -> tuple[str, ...]:
        """Return the labels required of a system, including atomic ones on request."""

    def add(self, system: System, chunk: Chunk) -> None:
        """Add some frames of a system."""

    def draw(self, middle: Any, right: Any) -> None:
        """Draw into two panels."""

    def figure(self, again: tuple[Potential, Sequence[System]] | None = None) -> Any:
        """Return a figure, also with atoms of a frame if it can be predicted again."""


def check_path(path: Path) -> None:
    """Raise if a figure cannot be written to the path.

    Raises
    ------
    DataError
        If the ending is no format of figures, the folder does not exist, or the path is a folder.
    """
    ending = path.suffix.removeprefix(".")
    if ending.lower() not in FORMATS:
        has = f"has the unknown ending {path.suffix!r}" if ending else "has no ending"
        raise DataError(
            f"{path} {has}{did_you_mean(ending, FORMATS)}; name the figure "
            f"{path.stem}.{FORMATS[0]}, or with .{' or .'.join(FORMATS[1:])}"
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder; choose another name for the figure")
    if not path.parent.is_dir():
        raise DataError(f"the folder {path.parent} of the figure does not exist; create it")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, without overlaps."""
    # Without a home folder that can be written it tells at length of a temporary one.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    # Figure itself, not pyplot: faster to import, and without a window system.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def write_error(axes: Any, rmse: float, unit: str) -> None:
    """Write an error into the upper left corner of a panel, readable on any background."""
    axes.text(
        0.03,
        0.95,
        f"rmse {rmse:.3g} {unit}",
        transform=axes.transAxes,
        va="top",
        fontsize="small",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def save(figure: Any, path: Path) -> None:
    """Write a figure in the format of the path's extension; an old file is replaced at the end.

    Raises
    ------
    DataError
        If that fails.
    """
    try:
        write_atomically(path, render(figure, path.suffix.removeprefix(".")))
    except FileFormatError as exc:
        raise DataError(str(exc)) from exc


def render(figure: Any, form: str) -> bytes:
    """Return the content of a figure's file in one of :data:`FORMATS`."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format=form)
    return drawn.getvalue()
