"""The plot of a finished run."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from _cases import build
from _cli_files import dos_model
from _water import fit, labelled, recipe, write
from matplotlib.figure import Figure
from rich.console import Console

from multifit.dos import Grid
from multifit.plots import Parity, Spectra, Spectrum, draw_parity
from multifit.train.report import plot
from multifit.train.report.plot import save_training_plot


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
    save_training_plot(tmp_path / "training.png", tmp_path / "none.out", Parity(build()))
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def spectrum(frame: int, error: float) -> Spectrum:
    label = np.array([0.0, 1.0, 0.5], dtype=np.float32)
    return Spectrum("$\\[a\\]$_b", frame, label, label + error, error, 2 * error, -0.5, 0.5)


def test_a_run_on_densities_of_states_shows_the_median_frame(tmp_path: Path, monkeypatch) -> None:
    figures = []
    monkeypatch.setattr(plot, "save", lambda figure, path: figures.append(figure))
    grid = Grid((-1.0, 0.0, 1.0), fermi_aligned=True)
    found = Spectra(dos_model(3, grid), [spectrum(0, 0.5), spectrum(1, 0.125), spectrum(2, 0.25)])
    curve = tmp_path / "lcurve.out"
    names = "rmse_global_cdf_val rmse_global_cdf_trn"
    curve.write_text(f"# step {names} lr\n1 0.5 0.4 0.1\n2 0.25 0.2 0.1\n")
    save_training_plot(tmp_path / "p.png", curve, found)
    figures[0].draw_without_rendering()
    left, middle, right = figures[0].axes
    legend = left.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["CDF/atom, Σ states/eV"]
    assert legend.get_title().get_text() == "— validation  ··· training"
    assert middle.get_title() == "DOS of the median frame\n$\\[a\\]$_b, frame 2"
    assert middle.texts[0].get_text() == "rmse 0.25 states/eV"
    assert right.texts[0].get_text() == "rmse 0.5 Σ states/eV"
    assert right.get_xlabel() == "energy from the Fermi level, eV"
    assert len(right.get_legend().get_texts()) == 4


def test_a_run_without_labels_of_the_whole_says_so(tmp_path: Path) -> None:
    save_training_plot(tmp_path / "training.png", tmp_path / "none.out", Spectra(dos_model()))
    assert (tmp_path / "training.png").exists()


def test_a_plot_that_cannot_be_drawn_is_told_at_the_start_and_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="PyTorch trains the model")
    write(tmp_path / "data", labelled(4))

    def broken(figure: object, form: str) -> bytes:
        raise RuntimeError("no font found\nin any folder")

    monkeypatch.setattr(plot, "render", broken)
    monkeypatch.setattr("multifit.plots._figure.render", broken)
    monkeypatch.setattr(plot, "_TRIED", set())
    text = io.StringIO()
    out = fit(tmp_path, recipe(steps=1), console=Console(file=text, width=300))
    said = text.getvalue()
    told = "warning: training.png cannot be drawn (RuntimeError: no font found): the run goes on"
    assert 0 < said.index(told) < said.index("step 1")
    assert f"warning: {out}/training.png is not drawn (RuntimeError: no font found)" in said
    assert (out / "model.dp").exists()
    assert not (out / "training.png").exists()
    assert said.rstrip().endswith(f"wrote {out}/model.dp")


def test_a_plot_is_drawn_on_trial_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(plot, "render", lambda figure, form: drawn.append(form))
    monkeypatch.setattr(plot, "_TRIED", set())
    for _ in range(2):
        assert plot.why_no_plot(Parity(build())) == ""
    assert drawn == ["png"]
