"""Pictures of densities of states (DOS): predictions over labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..console.tables import short_names
from ..evaluation.per_frame import atom_errors
from ..evaluation.predictions import Chunk
from ..models import Model
from ._figure import new_figure, write_error

if TYPE_CHECKING:
    from ._spectra import Spectrum

Array = np.ndarray

#: Inches of a panel.
WIDTH, HEIGHT = 4.2, 2.7

#: Colours of labels and of predictions.
LABEL, PREDICTION = "0.35", "C0"

#: Maximum number of letters of a system's name above a panel.
LETTERS = 34

#: Fraction of a panel left free for the error, above the curves.
HEADROOM = 0.22

UNIT, SUM_UNIT = "states/eV", "Σ states/eV"


def abscissa(model: Model) -> tuple[Array, str]:
    """Return the positions of the components (numb_dos,) and their name: energies or numbers."""
    if model.grid is None:
        return np.arange(model.fitting.dim_out), "component of the DOS"
    if model.grid.fermi_aligned:
        return model.grid.array, "energy from the Fermi level, eV"
    return model.grid.array, "energy, eV"


def draw_dos(axes: Any, model: Model, spectrum: Spectrum) -> None:
    """Draw the DOS of a frame, for each atom, with its Fermi levels."""
    _draw(axes, model, spectrum.label, spectrum.prediction, spectrum.dos_error, UNIT)
    _mark(axes, spectrum)
    axes.set_ylabel(f"DOS/atom, {UNIT}")


def draw_cdf(axes: Any, model: Model, spectrum: Spectrum) -> None:
    """Draw the running sums of the DOS of a frame, for each atom, with its Fermi levels."""
    label, prediction = (
        np.cumsum(each, dtype=np.float64) for each in (spectrum.label, spectrum.prediction)
    )
    _draw(axes, model, label, prediction, spectrum.cdf_error, SUM_UNIT)
    _mark(axes, spectrum)
    axes.set_ylabel(f"CDF/atom, {SUM_UNIT}")


def _draw(
    axes: Any, model: Model, label: Array, prediction: Array, error: float, unit: str
) -> None:
    x, name = abscissa(model)
    axes.fill_between(x, label, color=LABEL, alpha=0.18, linewidth=0)
    axes.plot(x, label, color=LABEL, linewidth=1.2, label="label")
    axes.plot(x, prediction, color=PREDICTION, linewidth=1.4, label="prediction")
    axes.set_xlabel(name)
    if len(x) > 1:
        axes.set_xlim(x[0], x[-1])
    axes.locator_params(axis="x", nbins=7)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + HEADROOM * (high - low))
    write_error(axes, error, unit)


def _mark(axes: Any, spectrum: Spectrum) -> None:
    """Draw the known Fermi levels within the panel."""
    left, right = axes.get_xlim()
    marks = (
        (spectrum.label_fermi, LABEL, "--", "Fermi level (label)"),
        (spectrum.fermi, PREDICTION, ":", "Fermi level (prediction)"),
    )
    for level, colour, style, name in marks:
        if left <= level <= right:
            axes.axvline(level, color=colour, linestyle=style, linewidth=1.2, label=name)


def names_of(spectra: Sequence[Spectrum]) -> list[str]:
    """Return the name of each frame, shortened to fit above a panel."""
    _, names = short_names([each.system for each in spectra])
    short = [name if len(name) <= LETTERS else f"…{name[1 - LETTERS :]}" for name in names]
    return [f"{name}, frame {each.frame}" for name, each in zip(short, spectra, strict=True)]


def dos_figure(
    model: Model, chosen: Mapping[str, Spectrum], atoms: tuple[str, Chunk] | None = None
) -> Any:
    """Return a figure with DOS and CDF of frames.

    Parameters
    ----------
    model
        The model.
    chosen
        Title → frame, a column each.
    atoms
        Name of a frame, and the frame itself, whose atoms are shown below.
    """
    columns = len(chosen)
    if atoms is None:
        figure: Any = new_figure(WIDTH * columns + 0.4, 2 * HEIGHT + 0.7)
        _draw_frames(figure, model, chosen)
        return figure
    across, down = _arrangement(len(_present(atoms[1])) + 2)
    heights = [2 * HEIGHT + 0.7, down * HEIGHT + 0.4]
    figure = new_figure(WIDTH * max(columns, across) + 0.4, sum(heights))
    top, bottom = figure.subfigures(2, 1, height_ratios=heights)
    _draw_frames(top, model, chosen)
    _draw_atoms(bottom, model, *atoms, across, down)
    return figure


def _draw_frames(figure: Any, model: Model, chosen: Mapping[str, Spectrum]) -> None:
    panels = figure.subplots(2, len(chosen), squeeze=False)
    rows = zip(chosen.items(), names_of(list(chosen.values())), strict=True)
    for column, ((title, spectrum), name) in enumerate(rows):
        draw_dos(panels[0, column], model, spectrum)
        draw_cdf(panels[1, column], model, spectrum)
        panels[0, column].set_title(f"{title}\n{name}", fontsize="medium", parse_math=False)
    _legend(figure, panels)


def _legend(figure: Any, panels: Any) -> None:
    """Add a legend of the lines below rows of panels."""
    found = {
        name: line
        for axes in panels.ravel()
        for line, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    order = sorted(found, key=lambda name: (name.startswith("Fermi"), name))
    figure.legend(
        [found[name] for name in order],
        order,
        loc="outside lower center",
        ncols=min(len(order), 2 * panels.shape[1]),
        frameon=False,
    )


def _present(chunk: Chunk) -> list[int]:
    """Return the types of the atoms of a frame."""
    return [int(a) for a in np.unique(chunk.atype[0]) if a >= 0]


def _arrangement(panels: int) -> tuple[int, int]:
    """Return the numbers of panels below and beside each other."""
    across = 3 if panels <= 3 else 4
    return across, math.ceil(panels / across)


def _draw_atoms(figure: Any, model: Model, name: str, chunk: Chunk, across: int, down: int) -> None:
    """Draw the mean of the atoms of each type, and the best and the worst atom of a frame."""
    label, output = chunk.label["atom_dos"][0], chunk.output["atom_dos"][0]
    atype, errors = chunk.atype[0], atom_errors(model.output.name, chunk)["atom_dos"][0]
    shown = []
    for a in _present(chunk):
        of_type, kind = atype == a, model.type_map[a]
        number = int(of_type.sum())
        title = f"mean of {number} {kind}" if number > 1 else f"the only {kind}"
        shown.append((title, label[of_type].mean(axis=0), output[of_type].mean(axis=0)))
    real = np.flatnonzero(atype >= 0)
    ranked = real[np.argsort(errors[real], kind="stable")]
    for word, atom in (("best", ranked[0]), ("worst", ranked[-1])):
        title = f"{word} atom: {atom} ({model.type_map[atype[atom]]})"
        shown.append((title, label[atom], output[atom]))
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (title, one, other) in zip(panels, shown, strict=False):
        _draw(axes, model, one, other, float(np.sqrt(np.mean((one - other) ** 2))), UNIT)
        axes.set_title(title, fontsize="medium", parse_math=False)
        axes.set_ylabel(f"atomic DOS, {UNIT}")
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    figure.suptitle(f"atoms of {name}", fontsize="medium", fontweight="bold", parse_math=False)
