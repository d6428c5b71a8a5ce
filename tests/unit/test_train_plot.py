"""The plot of a finished run."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from multifit.plots import Parity, draw_parity
from multifit.train._plot import plot


@pytest.mark.parametrize(("low", "high"), [(-52.4437, -52.4219), (-1e3, 1e3), (-13.0, -12.0)])
def test_ticks_do_not_run_into_each_other(low: float, high: float) -> None:
    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3)[1]
    draw_parity(axes, [np.stack([np.linspace(low, high, 9)] * 2)], "energy per atom", "eV")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(boxes) >= 3
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(boxes)]
    assert min(gaps) > 0


def test_a_plot_without_a_curve(tmp_path: Path) -> None:
    plot(tmp_path / "training.png", tmp_path / "none.out", Parity())
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
