"""The plot of a finished run: the learning curve, and predictions beside labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MultifitError
from ...outputs import Curve, curves
from ...plots import Plot, new_figure, render, save
from .rows import is_row


def read_curve(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the names of the columns and the rows of an ``lcurve.out``."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    names = "".join(lines[:1]).lstrip("# ").split()
    rows = [line.split() for line in lines if is_row(line, len(names))]
    return names, np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def _draw_curve(axes: Any, path: Path, relative: bool) -> None:
    # A restart with nothing left to train, in another folder, has no curve.
    names, rows = read_curve(path) if path.is_file() else ([], np.zeros((0, 0)))
    styles = curves()
    for column, name in enumerate(names):
        metric, _, kind = name.rpartition("_")
        term = metric.partition("_")[2]
        if term in styles and np.isfinite(rows[:, column]).any():
            title, colour = _legend(styles[term], relative), styles[term].colour
            line = "-" if kind == "val" else ":"
            # One entry for both lines of a term, or eight of them would hide the curves.
            label = None if title in axes.get_legend_handles_labels()[1] else title
            axes.loglog(rows[:, 0], rows[:, column], line, color=colour, label=label)
    axes.set(xlabel="step", ylabel="error of a batch", title="learning curve")
    if len(axes.lines):
        both = {line.get_linestyle() for line in axes.lines} == {"-", ":"}
        about = "— validation  ··· training" if both else None
        axes.legend(fontsize="x-small", title=about, title_fontsize="x-small")
    else:
        axes.text(0.5, 0.5, "no steps", transform=axes.transAxes, ha="center")


def _legend(curve: Curve, relative: bool) -> str:
    """Return title and unit of a curve."""
    unit = "relative" if relative and curve.relative else curve.unit
    return f"{curve.title}, {unit}" if unit else curve.title


def save_training_plot(path: Path, curve: Path, found: Plot, relative: bool = False) -> None:
    """Write a picture with three panels: the learning curve, and predictions beside labels.

    Parameters
    ----------
    found
        Predictions and labels.
    relative
        True if the force errors of the curve are divided by the labels' lengths.
    """
    save(_figure(curve, found, relative), path)


def why_no_plot(found: Plot) -> str:
    """Return why no picture can be drawn, empty if one without data can; nothing is written.

    To be called before a run, of which the picture is the last output.
    """
    kind = type(found).__name__
    if kind in _TRIED:
        return ""
    try:
        render(_figure(Path(), found, False), "png")
    except Exception as exc:  # a broken or half-installed matplotlib can raise anything
        return reason(exc)
    _TRIED.add(kind)
    return ""


#: Kinds of pictures that were drawn in this process: drawing another on trial tells nothing new.
_TRIED: set[str] = set()


def reason(exc: Exception) -> str:
    """Return the first line of an error, with its class where this says more."""
    text = str(exc).strip().partition("\n")[0]
    return text if isinstance(exc, MultifitError) else f"{type(exc).__name__}: {text}"


def _figure(curve: Path, found: Plot, relative: bool) -> Any:
    figure = new_figure(13, 4)
    left, middle, right = figure.subplots(1, 3)
    _draw_curve(left, curve, relative)
    found.draw(middle, right)
    return figure
