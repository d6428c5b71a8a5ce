"""Labels and predictions as text files, in the layout of DeePMD-kit's ``dp test -d``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..console.words import few
from ..data import System
from ..errors import DataError
from ..evaluation.metrics import of_real_atoms
from ..evaluation.predictions import Chunk
from ..outputs import OutputDef, Variable
from ._output import check_output


class Details:
    """Files to which all systems are appended, each after a comment with its name.

    Labels missing from all systems have no file. Labels with components, as densities of states,
    have a file for each frame; its number counts the frames of all systems from 0.

    Parameters
    ----------
    prefix
        Prefix of the file names, including folders.
    output
        The output of the model.
    """

    def __init__(self, prefix: str, output: OutputDef) -> None:
        self.prefix, self.output = prefix, output
        self._system: dict[str, str] = {}
        self._ends: dict[str, tuple[str, str]] = {}
        self._nframes = 0
        self._files: set[str] = set()
        folder = Path(prefix).parent
        if not folder.is_dir():
            raise DataError(f"the folder {folder} of the detail files does not exist; create it")
        if os.path.basename(prefix) in ("", ".", ".."):
            raise DataError(
                f"--detail-file is {prefix}, a folder; add the beginning of the names of files, as "
                f"in {os.path.join(prefix, 'detail')}"
            )
        for variable in output.labelled:
            for ending in (f"{variable.file}.out", f"{variable.file}_peratom.out"):
                check_output(Path(f"{prefix}.{ending}"), "--detail-file")

    @property
    def written(self) -> list[str]:
        """The files, series of them as their first and last."""
        return [first if first == last else f"{first} … {last}" for first, last in self._all()]

    def left(self) -> str:
        """Return a sentence on files of an earlier run that this one did not replace, or none."""
        folder, start = os.path.split(self.prefix)
        names = "|".join(re.escape(variable.file) for variable in self.output.labelled)
        pattern = re.compile(
            rf"{re.escape(start)}\.(?:(?:{names})(?:_peratom)?|frames|atoms)\.out(?:\.(\d+))?"
        )
        found = [m for name in os.listdir(folder or ".") if (m := pattern.fullmatch(name))]
        found.sort(key=lambda m: (m[0].removesuffix(m[1] or ""), int(m[1] or 0)))
        old = [path for m in found if (path := os.path.join(folder, m[0])) not in self._files]
        if not old:
            return ""
        are = "is a file" if len(old) == 1 else f"are {len(old):,} files"
        return f"warning: {few(old)} {are} of an earlier run, which this one did not replace"

    def _all(self) -> list[tuple[str, str]]:
        return [*((path, path) for path in self._system), *self._ends.values()]

    def add(self, system: System, chunk: Chunk) -> None:
        """Append some frames of a system: labels to the left, predictions to the right."""
        for variable in self.output.labelled:
            if variable.label not in chunk.label or variable.key not in chunk.output:
                continue
            if not variable.has_components:
                self._add_rows(system, variable, chunk)
        self._add_frames(system, chunk)

    def _add_rows(self, system: System, variable: Variable, chunk: Chunk) -> None:
        """Append a row for each frame or atom, and for sums over atoms one divided by natoms."""
        both = (chunk.label[variable.label], chunk.output[variable.key])
        width = len(variable.columns)
        sides = [of_real_atoms(variable, x, chunk.real).reshape(-1, width) for x in both]
        pair, titles = np.concatenate(sides, axis=1), _titles(variable)
        self.append(f"{variable.file}.out", system.name, titles, pair)
        if not variable.atom_axes and self.output.reduction == "sum":
            natoms = chunk.real.sum(axis=1)[:, None]
            self.append(f"{variable.file}_peratom.out", system.name, titles, pair / natoms)

    def _add_frames(self, system: System, chunk: Chunk) -> None:
        """Write the files of the frames, all components of an atom before the next atom's."""
        for row, frame in enumerate(chunk.frames):
            number, self._nframes = self._nframes, self._nframes + 1
            for variable in self.output.labelled:
                if not variable.has_components or variable.label not in chunk.label:
                    continue
                columns = [chunk.label[variable.label][row], chunk.output[variable.key][row]]
                if variable.atom_axes:
                    columns = [x[chunk.real[row]].ravel() for x in columns]
                path = f"{self.prefix}.{variable.file}.out.{number}"
                header = f"{system.name}, frame {frame}: {_titles(variable)}"
                _write(path, "w", np.stack(columns, axis=1), header, "%.18e")
                self._files.add(path)
                first, _ = self._ends.get(variable.file, (path, path))
                self._ends[variable.file] = (first, path)

    def append(
        self,
        ending: str,
        system: str,
        titles: str,
        rows: np.ndarray,
        form: str | Sequence[str] = "%.18e",
    ) -> None:
        """Append rows to a file, which the first call creates.

        Parameters
        ----------
        ending
            Of the file's name.
        system, titles
            Name of the data system and of the columns, for the comment above.
        rows
            (n, columns).
        form
            Format of numbers, or one for each column.
        """
        path = f"{self.prefix}.{ending}"
        header = "" if self._system.get(path) == system else f"{system}: {titles}"
        _write(path, "a" if path in self._system else "w", rows, header, form)
        self._system[path] = system
        self._files.add(path)


def _titles(variable: Variable) -> str:
    return " ".join(f"{side}_{name}" for side in ("data", "pred") for name in variable.columns)


def _write(path: str, mode: str, rows: np.ndarray, header: str, form: str | Sequence[str]) -> None:
    try:
        with open(path, mode, encoding="utf-8") as file:
            np.savetxt(file, rows, header=header, fmt=form)
    except OSError as exc:
        raise DataError(
            f"{path} cannot be written ({exc.strerror or exc}); check space and permissions"
        ) from exc
