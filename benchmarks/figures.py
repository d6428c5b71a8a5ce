"""Pictures of the report: bars of times, and the cost of an atom over the number of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .results import InferenceCase, Report, TrainingCase, median, usual
from .tables import call_ms, floors, inference_keys, inference_title, training_keys, training_title

#: Of a framework; deepmd-kit's bars and lines have the same, paler and dashed.
COLOUR = {"numpy": "#555555", "jax": "#1b7837", "torch": "#d95f0e", "tensorflow": "#e7a500"} | {
    "paddle": "#2b6cb0"
}
PALE = 0.4

WIDTH = 7.6
ROW = 0.34


def draw(report: Report, folder: Path) -> list[Path]:
    """Draw what there is into a folder; return the files."""
    import matplotlib

    matplotlib.use("Agg")
    made: list[Path] = []
    for case, key in training_keys(report):
        made += _save(_training(case), folder / f"bench-training-{key}.png")
    for one, key in inference_keys(report):
        made += _save(_inference(one), folder / f"bench-inference-{key}.png")
        made += _save(_scaling(one), folder / f"bench-scaling-{key}.png")
    return made


def _save(figure: Any | None, path: Path) -> list[Path]:
    """Write a figure, if there is one; return its path."""
    if figure is None:
        return []
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=150)
    plt.close(figure)
    return [path]


#: A bar: program, framework, whether it is ours, milliseconds.
Bar = tuple[str, str, bool, float]


def _bars(bars: Sequence[Bar], title: str, unit: str) -> tuple[Any, Any]:
    """Return a figure with horizontal bars, the fastest first, and its axes."""
    import matplotlib.pyplot as plt

    ordered = sorted(bars, key=lambda bar: bar[3])
    height = ROW * len(ordered) + 1.2
    figure, axes = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    for row, (_, framework, ours, value) in enumerate(ordered):
        axes.barh(row, value, color=COLOUR[framework], alpha=1.0 if ours else PALE, height=0.7)
        axes.annotate(
            f"{value:.1f}" if value < 100 else f"{value:.0f}",
            (value, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(ordered)), [bar[0] for bar in ordered], fontsize=9)
    for label, bar in zip(axes.get_yticklabels(), ordered, strict=True):
        label.set_fontweight("bold" if bar[2] else "normal")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * ordered[-1][3])
    axes.set_xlabel(unit)
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _training(case: TrainingCase) -> Any | None:
    medians = [(run.name, run.framework, run.ours, median(run.step_ms)) for run in case.runs]
    bars = [(name, kind, ours, ms) for name, kind, ours, ms in medians if ms is not None]
    if not bars:
        return None
    figure, axes = _bars(bars, training_title(case), "ms per step (median)")
    _, lowest = floors(case)
    if lowest is not None:
        line = axes.axvline(lowest, color="black", linewidth=1, linestyle=":")
        words = f"products of matrices alone: {lowest:.1f} ms"
        axes.legend([line], [words], loc="upper right", frameon=False, fontsize=9)
    return figure


def _inference(case: InferenceCase) -> Any | None:
    sizes = [p.atoms for run in case.runs for p in run.points if p.frames == 1 and p.call_ms]
    if not sizes:
        return None
    atoms = usual(sorted(sizes))
    medians = [(run.name, run.framework, run.ours, call_ms(run, atoms)) for run in case.runs]
    bars = [(name, kind, ours, ms) for name, kind, ours, ms in medians if ms is not None]
    return _bars(bars, f"{inference_title(case)}, {atoms} atoms", "ms per frame (median)")[0]


def _scaling(case: InferenceCase) -> Any | None:
    """Return the figure of µs per atom over atoms, None for a single size."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    curves = [(run, [p for p in run.points if p.frames == 1 and p.call_ms]) for run in case.runs]
    sizes = sorted({p.atoms for _, points in curves for p in points})
    if len(sizes) < 2:
        return None
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4), layout="constrained")
    for run, points in curves:
        if not points:
            continue
        costs = [(median(p.call_ms) or 0.0) / p.atoms * 1e3 for p in points]
        style = "-" if run.ours else ":" if "compressed" in run.name else "--"
        axes.plot(
            [p.atoms for p in points],
            costs,
            style,
            color=COLOUR[run.framework],
            marker="o" if run.ours else "s",
            markersize=5,
            markerfacecolor=COLOUR[run.framework] if run.ours else "white",
            label=run.name,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.tick_params(labelsize=9)
    axes.set_xlabel("atoms")
    axes.set_ylabel("µs per atom (median)")
    axes.set_title(inference_title(case), fontsize=10, loc="left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize=8.5, frameon=False)
    return figure
