"""The plot of a finished run: the learning curve, and predictions against labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ._lcurve import is_row

#: How many intervals the axes of labels and predictions have at most.
TICKS = 4


@dataclass
class Parity:
    """Labels and predictions of energies per atom (eV) and force components (eV/Å)."""

    energy: list[np.ndarray] = field(default_factory=list)
    force: list[np.ndarray] = field(default_factory=list)

    def add(
        self, output: Mapping[str, np.ndarray], label: Mapping[str, np.ndarray], real: np.ndarray
    ) -> None:
        """Add some frames; the arguments are those of :meth:`multifit.evaluation.Errors.add`."""
        if "energy" in label:
            natoms = real.sum(axis=1)
            pair = np.stack([label["energy"] / natoms, output["energy"] / natoms])
            self.energy.append(pair)
        if "force" in label:
            pair = np.stack([label["force"][real].ravel(), output["force"][real].ravel()])
            self.force.append(pair)


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
        "global_cdf": ("CDF/atom", "C1"),
        "local_dos": ("atomic DOS, states/eV", "C2"),
        "local_cdf": ("atomic CDF", "C3"),
    }
    for column, name in enumerate(names):
        metric, _, kind = name.rpartition("_")
        term = metric.partition("_")[2]
        if term in styles and np.isfinite(rows[:, column]).any():
            title, colour = styles[term]
            line = "-" if kind == "val" else ":"
            axes.loglog(rows[:, 0], rows[:, column], line, color=colour, label=f"{title} ({kind})")
    axes.set(xlabel="step", ylabel="error of a batch", title="learning curve")
    if len(axes.lines):
        axes.legend(fontsize="x-small")
    else:
        axes.text(0.5, 0.5, "no steps", transform=axes.transAxes, ha="center")


def _draw_parity(axes: Any, pairs: list[np.ndarray], title: str, unit: str) -> None:
    axes.set(xlabel=f"label, {unit}", ylabel=f"prediction, {unit}", title=title)
    if not pairs:
        axes.text(0.5, 0.5, "no labels", transform=axes.transAxes, ha="center")
        return
    label, prediction = np.concatenate(pairs, axis=1)
    low, high = float(min(label.min(), prediction.min())), float(max(label.max(), prediction.max()))
    axes.plot([low, high], [low, high], color="0.6", linewidth=1)
    axes.plot(label, prediction, ".", markersize=2, rasterized=True)
    rmse = float(np.sqrt(np.mean((label - prediction) ** 2)))
    axes.text(0.05, 0.92, f"rmse {rmse:.3g} {unit}", transform=axes.transAxes)
    axes.ticklabel_format(useOffset=False)
    # Energies per atom have many digits: more ticks would run into each other.
    axes.locator_params(nbins=TICKS)


def plot(path: Path, curve: Path, parity: Parity, relative: bool = False) -> None:
    """Write a PNG with three panels: learning curve, energies, forces.

    Parameters
    ----------
    relative
        Whether the force errors of the curve are divided by the labels' lengths.
    """
    # Figure itself, not pyplot: quicker to import, and no window system is asked for.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_curve(left, curve, relative)
    _draw_parity(middle, parity.energy, "energy per atom", "eV")
    _draw_parity(right, parity.force, "force components", "eV/Å")
    figure.savefig(path, dpi=120)
