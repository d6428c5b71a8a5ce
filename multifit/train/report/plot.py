"""The plot of a finished run: the learning curve, and predictions beside labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...plots import Parity, Spectra, draw_cdf, draw_dos, names_of, new_figure, save
from .lcurve import is_row


def read_curve(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the names of the columns and the rows of an ``lcurve.out``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    names = lines[0].lstrip("# ").split()
    rows = [line.split() for line in lines if is_row(line, len(names))]
    return names, np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def _draw_curve(axes: Any, path: Path, relative: bool) -> None:
    # A restart with nothing left to train, in another folder, has no curve.
    names, rows = read_curve(path) if path.exists() else ([], np.zeros((0, 0)))
    per = "relative" if relative else "eV/Å"
    styles = {
        "f": (f"force, {per}", "C0"),
        "e": ("energy, eV/atom", "C1"),
        "v": ("virial, eV/atom", "C2"),
        "ae": ("atomic energy, eV", "C3"),
        "pf": (f"weighted force, {per}", "C4"),
        "gf": ("generalized force", "C5"),
        "h": ("Hessian, eV/Å²", "C6"),
        "global_dos": ("DOS/atom, states/eV", "C0"),
        "global_cdf": ("CDF/atom, Σ states/eV", "C1"),
        "local_dos": ("atomic DOS, states/eV", "C2"),
        "local_cdf": ("atomic CDF, Σ states/eV", "C3"),
    }
    for column, name in enumerate(names):
        metric, _, kind = name.rpartition("_")
        term = metric.partition("_")[2]
        if term in styles and np.isfinite(rows[:, column]).any():
            title, colour = styles[term]
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


def _draw_median(middle: Any, right: Any, spectra: Spectra) -> None:
    """Draw DOS and CDF of the median frame into two panels."""
    median = spectra.median()
    panels = ((middle, draw_dos, "DOS"), (right, draw_cdf, "CDF"))
    for axes, draw, title in panels:
        if median is None:
            axes.set_title(title)
            axes.text(0.5, 0.5, "no labels", transform=axes.transAxes, ha="center")
            continue
        draw(axes, spectra.model, median)
        name = names_of([median])[0]
        axes.set_title(f"{title} of the median frame\n{name}", fontsize="medium", parse_math=False)
    if median is not None:
        # Sums grow from left to right: what is above them on the left is free.
        right.legend(fontsize="small", loc="upper left", bbox_to_anchor=(0.0, 0.91))


def save_training_plot(
    path: Path, curve: Path, found: Parity | Spectra, relative: bool = False
) -> None:
    """Write a picture with three panels: the learning curve, and predictions beside labels.

    Parameters
    ----------
    found
        Energies and forces, or densities of states of which those of the median frame are shown.
    relative
        Whether the force errors of the curve are divided by the labels' lengths.
    """
    figure = new_figure(13, 4)
    left, middle, right = figure.subplots(1, 3)
    _draw_curve(left, curve, relative)
    if isinstance(found, Parity):
        found.draw(middle, right)
    else:
        _draw_median(middle, right, found)
    save(figure, path)
