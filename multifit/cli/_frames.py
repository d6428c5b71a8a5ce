"""The errors of each frame as a table, and those of frames and atoms as text files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..console.tables import NOTHING, heading, plain_table, short_names
from ..console.words import counted
from ..data import System
from ..evaluation import per_frame
from ..evaluation.per_frame import Filling
from ..evaluation.predictions import Chunk
from ..models import Model
from ._detail import Details

if TYPE_CHECKING:
    from rich.table import Table

#: Format of errors in files.
NUMBER = "%.9e"


@dataclass(frozen=True)
class Row:
    """A frame: its number in its system, its root-mean-square errors, its levels in eV."""

    system: str
    frame: int
    errors: tuple[float, ...]
    levels: tuple[float, ...]


class Frames:
    """Collects the errors of frames, and optionally writes them to files.

    Parameters
    ----------
    model
        The model.
    details
        Prefix of the files, if requested.
    """

    def __init__(self, model: Model, details: Details | None) -> None:
        self.model = model
        self.output = model.output
        self.details = details
        self.rows: list[Row] = []

    def add(self, system: System, chunk: Chunk) -> None:
        """Add some frames of a system."""
        levels = self._levels(system, chunk)
        new = [
            Row(
                system.name,
                int(chunk.frames[k]),
                tuple(
                    errors.rmse(key) if errors.number.get(key) else np.nan
                    for key in self.output.of_frames
                ),
                tuple(float(x) for x in levels[:, k]),
            )
            for k, errors in enumerate(per_frame.frame_errors(chunk))
        ]
        self.rows += new
        if self.details is not None:
            self._write_frames(self.details, chunk, new)
            self._write_atoms(self.details, system, chunk)

    def _levels(self, system: System, chunk: Chunk) -> np.ndarray:
        """Return Fermi levels and gaps (4, n), or nothing (0, n) if they are unknown."""
        if self.model.grid is None or self.model.grid.electrons is None:
            return np.zeros((0, len(chunk.frames)))
        if not per_frame.fills(self.model, system):
            return np.full((len(Filling._fields), len(chunk.frames)), np.nan)
        return np.stack(per_frame.filling(self.model, chunk))

    def _write_frames(self, details: Details, chunk: Chunk, new: list[Row]) -> None:
        natoms = chunk.real.sum(axis=1)
        titles = ["frame", "natoms", *(f"rmse_{key}" for key in self.output.of_frames)]
        titles += Filling._fields if new[0].levels else ()
        rows = [
            [row.frame, n, *row.errors, *row.levels] for row, n in zip(new, natoms, strict=True)
        ]
        form = ["%d", "%d", *[NUMBER] * (len(titles) - 2)]
        details.append("frames.out", new[0].system, " ".join(titles), np.array(rows), form)

    def _write_atoms(self, details: Details, system: System, chunk: Chunk) -> None:
        found = per_frame.atom_errors(self.output.name, chunk)
        if not found:
            return
        frame, atom = np.nonzero(chunk.real)
        columns = [chunk.frames[frame], atom, chunk.atype[chunk.real]]
        columns += [errors[chunk.real] for errors in found.values()]
        names = ", ".join(f"{a} {name}" for a, name in enumerate(self.model.type_map))
        titles = " ".join(["frame", "atom", "type", *(f"rmse_{key}" for key in found)])
        form = [*["%d"] * 3, *[NUMBER] * len(found)]
        rows = np.stack(columns, axis=1)
        details.append("atoms.out", system.name, f"{titles} (types: {names})", rows, form)

    def table(self) -> Table:
        """Return a line for each frame, in the order of the data."""
        from rich.text import Text

        # The table of the systems names their folder.
        _, names = short_names([row.system for row in self.rows])
        found = plain_table("Frames")
        found.add_column("system", overflow="fold", min_width=6)
        found.add_column("frame", justify="right", no_wrap=True)
        keys = self.output.of_frames
        shown = [k for k in range(len(keys)) if any(not np.isnan(r.errors[k]) for r in self.rows)]
        for k in shown:
            found.add_column(f"{heading(keys[k])}\nrmse", justify="right", no_wrap=True)
        if self.rows and self.rows[0].levels:
            for what in ("Fermi level", "gap"):
                found.add_column(f"{what}\neV\nlabel", justify="right", no_wrap=True)
                found.add_column("predicted", justify="right", no_wrap=True)
        for name, row in zip(names, self.rows, strict=True):
            errors = [_cell(row.errors[k], ".3e") for k in shown]
            levels = [_cell(level, ".3f") for level in row.levels]
            found.add_row(Text(name), str(row.frame), *errors, *levels)
        return found

    def note(self) -> str:
        """Return the reason why frames have no Fermi level or gap, empty if all have."""
        without = [row for row in self.rows if not np.isfinite((*row.levels, 0.0)).all()]
        if not without:
            return ""
        return (
            f"— {counted(len(without), 'frame')} without a Fermi level or gap: there is no label, "
            "or the energies end before the DOS holds all electrons"
        )


def _cell(value: float, form: str) -> str:
    return NOTHING if np.isnan(value) else f"{value:{form}}"
