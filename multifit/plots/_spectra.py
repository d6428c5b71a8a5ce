"""Densities of states (DOS) of representative frames, predicted and as labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..data import System
from ..evaluation import per_frame
from ..evaluation.predictions import Chunk, predictions
from ..inference.potential import Potential
from ..models import Model
from ._dos import dos_figure, draw_cdf, draw_dos, names_of

Array = np.ndarray


@dataclass(frozen=True)
class Spectrum:
    """The DOS of one frame.

    Attributes
    ----------
    system, frame
        The data system, and the frame's number in it.
    label, prediction
        In states/eV for each atom (numb_dos,).
    dos_error, cdf_error
        Root-mean-square errors for each atom, of the DOS and its running sums, in states/eV.
    label_fermi, fermi
        Fermi levels in eV, NaN if unknown.
    """

    system: str
    frame: int
    label: Array
    prediction: Array
    dos_error: float
    cdf_error: float
    label_fermi: float
    fermi: float


@dataclass
class Spectra:
    """The DOS of all compared frames; in single precision, which is enough for a picture."""

    model: Model
    frames: list[Spectrum] = field(default_factory=list)
    shows_atoms: ClassVar[bool] = True

    def required(self, atoms: bool) -> tuple[str, ...]:
        """Return the labels without which nothing can be drawn, or no atoms."""
        output = self.model.output
        return (output.label, output.atomic.label) if atoms else (output.label,)

    def add(self, system: System, chunk: Chunk) -> None:
        """Add some frames of a system; those without a label are left out."""
        dos = self.model.output
        if dos.label not in chunk.label:
            return
        natoms = chunk.real.sum(axis=1)[:, None]
        label, output = chunk.label[dos.label] / natoms, chunk.output[dos.name] / natoms
        diff = output - label
        errors = [_rms(diff), _rms(np.cumsum(diff, axis=1))]
        columns = zip(*errors, *_fermi_levels(self.model, system, chunk), strict=True)
        for k, numbers in enumerate(columns):
            pair = label[k].astype(np.float32), output[k].astype(np.float32)
            self.frames.append(
                Spectrum(system.name, int(chunk.frames[k]), *pair, *map(float, numbers))
            )

    def median(self) -> Spectrum | None:
        """Return the median frame by the error of the DOS."""
        ranked = self._ranked()
        return ranked[(len(ranked) - 1) // 2] if ranked else None

    def chosen(self) -> dict[str, Spectrum]:
        """Return the best, the median and the worst frame, as far as these are different."""
        ranked, median = self._ranked(), self.median()
        if median is None or len(ranked) == 1:
            return {} if median is None else {"the only frame": median}
        middle = {"median frame": median} if len(ranked) > 2 else {}
        return {"best frame": ranked[0], **middle, "worst frame": ranked[-1]}

    def draw(self, middle: Any, right: Any) -> None:
        """Draw DOS and CDF of the median frame into two panels."""
        median = self.median()
        panels = ((middle, draw_dos, "DOS"), (right, draw_cdf, "CDF"))
        for axes, draw, title in panels:
            if median is None:
                axes.set_title(title)
                axes.text(0.5, 0.5, "no labels", transform=axes.transAxes, ha="center")
                continue
            draw(axes, self.model, median)
            name = names_of([median])[0]
            about = f"{title} of the median frame\n{name}"
            axes.set_title(about, fontsize="medium", parse_math=False)
        if median is not None:
            # Sums grow from left to right: what is above them on the left is free.
            right.legend(fontsize="small", loc="upper left", bbox_to_anchor=(0.0, 0.91))

    def figure(self, again: tuple[Potential, Sequence[System]] | None = None) -> Any:
        """Return a figure with the chosen frames, and on request with atoms of a frame below."""
        atoms = None if again is None else self._atoms(*again)
        return dos_figure(self.model, self.chosen(), atoms)

    def _atoms(self, potential: Potential, systems: Sequence[System]) -> tuple[str, Chunk]:
        """Return the name and the content of the median frame of those with labels of atoms.

        It is predicted again: keeping the atoms of all frames would take much memory.
        """
        key = self.model.output.atomic.label
        having = {system.name: system for system in systems if key in system.labels}
        median = Spectra(self.model, [x for x in self.frames if x.system in having]).median()
        assert median is not None
        chunk = next(predictions(potential, having[median.system], np.array([median.frame])))
        return f"the median frame: {names_of([median])[0]}", chunk

    def _ranked(self) -> list[Spectrum]:
        return sorted(self.frames, key=lambda each: each.dos_error)


def _rms(diff: Array) -> Array:
    return np.asarray(np.sqrt(np.mean(diff**2, axis=1)))


def _fermi_levels(model: Model, system: System, chunk: Chunk) -> tuple[Array, Array]:
    """Return the Fermi levels (n,) of the labels and of the predictions, NaN if unknown."""
    unknown = np.full(len(chunk.frames), np.nan)
    if model.grid is None:
        return unknown, unknown
    if per_frame.fills(model, system):
        levels = per_frame.filling(model, chunk)
        return levels.label_fermi, levels.fermi
    if model.grid.fermi_aligned:
        return np.zeros(len(chunk.frames)), unknown
    if "efermi" in system.labels:
        return system.label(chunk.frames, "efermi"), unknown
    return unknown, unknown
