"""Labels and predictions as text files, in the layout of DeePMD-kit's ``dp test -d``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data import System
from ..errors import DataError
from ..evaluation.metrics import pairs
from ..evaluation.predictions import Chunk

_XYZ = ("x", "y", "z")
_COLUMNS = {
    "e": ("e",),
    "f": tuple(f"f{a}" for a in _XYZ),
    "v": tuple(f"v{a}{b}" for a in _XYZ for b in _XYZ),
    "ae": ("ae",),
    "h": ("h",),
    "dos": ("dos",),
    "ados": ("ados",),
}


class Details:
    """Files that all systems are appended to, each behind a comment with its name.

    A label that no system has gives no file. Densities of states have a file for each frame; its
    number counts the frames of all systems from 0.

    Parameters
    ----------
    prefix
        What the files' names begin with, folders included.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._system: dict[str, str] = {}
        self._ends: dict[str, tuple[str, str]] = {}
        self._nframes = 0
        folder = Path(prefix).parent
        if not folder.is_dir():
            raise DataError(f"the folder {folder} of the detail files does not exist; create it")

    @property
    def written(self) -> list[str]:
        """The files, series of them as their first and last."""
        return [first if first == last else f"{first} … {last}" for first, last in self._all()]

    def _all(self) -> list[tuple[str, str]]:
        return [*((path, path) for path in self._system), *self._ends.values()]

    def add(self, system: System, chunk: Chunk) -> None:
        """Append some frames of a system: labels to the left, predictions to the right."""
        label, output, real = chunk.label, chunk.output, chunk.real
        natoms = real.sum(axis=1)[:, None]
        if "energy" in label:
            pair = np.stack([label["energy"], output["energy"]], axis=1)
            self._append("e.out", "e", system, pair)
            self._append("e_peratom.out", "e", system, pair / natoms)
        if "force" in label:
            pair = np.concatenate([label["force"][real], output["force"][real]], axis=1)
            self._append("f.out", "f", system, pair)
        if "virial" in label:
            parts = [x["virial"].reshape(-1, 9) for x in (label, output)]
            pair = np.concatenate(parts, axis=1)
            self._append("v.out", "v", system, pair)
            self._append("v_peratom.out", "v", system, pair / natoms)
        if "atom_ener" in label:
            pair = np.stack([label["atom_ener"][real], output["atom_energy"][real]], axis=1)
            self._append("ae.out", "ae", system, pair)
        if "hessian" in label and "hessian" in output:
            there = pairs(real)
            pair = np.stack([label["hessian"][there], output["hessian"][there]], axis=1)
            self._append("h.out", "h", system, pair)
        self._add_dos(system, chunk)

    def _add_dos(self, system: System, chunk: Chunk) -> None:
        """Write the files of the frames, all energies of an atom before the next atom's."""
        for row, frame in enumerate(chunk.frames):
            number, self._nframes = self._nframes, self._nframes + 1
            for key, kind in (("dos", "dos"), ("atom_dos", "ados")):
                if key not in chunk.label:
                    continue
                columns = [x[key][row] for x in (chunk.label, chunk.output)]
                if key == "atom_dos":
                    columns = [x[chunk.real[row]].ravel() for x in columns]
                path = f"{self.prefix}.{kind}.out.{number}"
                header = f"{system.name}, frame {frame}: {_titles(kind)}"
                _write(path, "w", np.stack(columns, axis=1), header, "%.18e")
                first, _ = self._ends.get(kind, (path, path))
                self._ends[kind] = (first, path)

    def _append(self, ending: str, kind: str, system: System, rows: np.ndarray) -> None:
        self.append(ending, system.name, _titles(kind), rows)

    def append(
        self,
        ending: str,
        system: str,
        titles: str,
        rows: np.ndarray,
        form: str | Sequence[str] = "%.18e",
    ) -> None:
        """Write rows at the end of a file, which the first call makes anew.

        Parameters
        ----------
        ending
            Of the file's name.
        system, titles
            The name of the data system and what the columns are, for the comment above.
        rows
            (n, columns).
        form
            How numbers are written, or those of each column.
        """
        path = f"{self.prefix}.{ending}"
        header = "" if self._system.get(path) == system else f"{system}: {titles}"
        _write(path, "a" if path in self._system else "w", rows, header, form)
        self._system[path] = system


def _titles(kind: str) -> str:
    return " ".join(f"{side}_{name}" for side in ("data", "pred") for name in _COLUMNS[kind])


def _write(path: str, mode: str, rows: np.ndarray, header: str, form: str | Sequence[str]) -> None:
    try:
        with open(path, mode, encoding="utf-8") as file:
            np.savetxt(file, rows, header=header, fmt=form)
    except OSError as exc:
        raise DataError(
            f"{path} can not be written ({exc.strerror or exc}); check space and permissions"
        ) from exc
