"""The files of a run: trajectory, log and state.

A state records the sizes of trajectory and log. A restart cuts both at these sizes: what a killed
run wrote after its last state is computed again, and no row is missing or repeated.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write as ase_write

from ... import __version__, files
from ...errors import DataError, FileFormatError
from ...tree import Tree
from ._observables import header, line, read_log

#: The number of the layout of states.
VERSION = 1


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into one sentence."""
    try:
        yield
    except OSError as exc:
        raise DataError(
            f"{path} cannot be written ({exc.strerror or exc}); check the folder, its permissions "
            "and the free space"
        ) from exc


@dataclass
class Files:
    """The files of a run, named after their common stem.

    Attributes
    ----------
    stem
        ``md`` for ``md.xyz``, ``md.log``, ``md.restart.h5`` and ``md.png``.
    """

    stem: Path
    _open: dict[Path, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Raise DataError if the stem is a folder alone."""
        if not self.stem.name or self.stem.name == "..":
            raise DataError(f"--output is {self.stem}, a folder; add a name, such as md")

    @property
    def trajectory(self) -> Path:
        """Frames as extended xyz: positions, momenta, forces, energy and stress."""
        return self._named(".xyz")

    @property
    def log(self) -> Path:
        """One line for each frame."""
        return self._named(".log")

    @property
    def state(self) -> Path:
        """The state that a restart needs."""
        return self._named(".restart.h5")

    @property
    def picture(self) -> Path:
        """Temperature, energies, pressure and density."""
        return self._named(".png")

    def _named(self, ending: str) -> Path:
        return self.stem.with_name(self.stem.name + ending)

    def all(self) -> tuple[Path, ...]:
        """Return all files of a run."""
        return (self.trajectory, self.log, self.state, self.picture)

    def check_new(self, force: bool, source: Path | None = None) -> None:
        """Raise if a new run would overwrite files.

        Parameters
        ----------
        force
            True if it may, except for the structure it starts from.
        source
            That structure.

        Raises
        ------
        DataError
            If it would, or if there is no folder for them.
        """
        if not self.stem.parent.is_dir():
            raise DataError(f"the folder {self.stem.parent} does not exist; create it first")
        for path in self.all():
            if source is not None and path.exists() and path.samefile(source):
                raise DataError(f"the run would overwrite {source}; choose another --output")
            if path.exists() and not force:
                raise DataError(
                    f"{path} exists; continue that run with --restart, replace it with --force, or "
                    "choose another --output"
                )
        self.try_all()

    def try_all(self) -> None:
        """Raise DataError if one of the files could not be written."""
        for path in self.all():
            try:
                files.try_file(path)
            except FileFormatError as exc:
                raise DataError(str(exc)) from exc

    def lock(self, tell: Callable[[str], object]) -> files.Lock:
        """Return a context in which no other run writes these files."""
        path = self.stem.with_name(f".{self.stem.name}.lock")
        return files.Lock(path, "choose another --output", tell)

    def begin(self) -> None:
        """Delete the files of an earlier run, and open new ones."""
        for path in self.all():
            with _writing(path):
                path.unlink(missing_ok=True)
        self._append({})

    def resume(self, sizes: Mapping[str, int]) -> None:
        """Cut trajectory and log at the sizes of a state, and open them.

        Raises
        ------
        DataError
            If one is missing or shorter.
        """
        for path in (self.trajectory, self.log):
            found = path.stat().st_size if path.is_file() else -1
            if found < sizes[path.suffix]:
                what = "is missing" if found < 0 else "is shorter than when the state was saved"
                raise DataError(
                    f"{path} {what}, so that the run cannot be continued; restore it, or start a "
                    "new run with --force"
                )
        self._append(sizes)

    def _append(self, sizes: Mapping[str, int]) -> None:
        for path in (self.trajectory, self.log):
            with _writing(path):
                opened = path.open("ab")
                self._open[path] = opened
                opened.truncate(sizes.get(path.suffix, 0))

    def close(self) -> None:
        """Close trajectory and log."""
        while self._open:
            self._open.popitem()[1].close()

    def add(self, atoms: Any, row: Mapping[str, float]) -> None:
        """Append a frame and a line of the log, which are on disk when the call returns."""
        text = line(row)
        if not self._open[self.log].tell():
            text = header(row) + text
        self._write(self.trajectory, _frame(atoms, row))
        self._write(self.log, text)

    def _write(self, path: Path, text: str) -> None:
        opened = self._open[path]
        with _writing(path):
            opened.write(text.encode())
            opened.flush()
            os.fsync(opened.fileno())

    def save(self, state: Tree) -> None:
        """Replace the state by this one and the sizes of trajectory and log, at once."""
        sizes = {path.suffix: opened.tell() for path, opened in self._open.items()}
        head = {"software": "multifit", "version": __version__, "md": VERSION, "sizes": sizes}
        files.write(self.state, head | state)

    def read_state(self) -> Tree:
        """Return the saved state.

        Raises
        ------
        DataError
            If there is none.
        FileFormatError
            If it is damaged, or of another version.
        """
        if not self.state.is_file():
            raise DataError(
                f"{self.state} does not exist: there is no run to continue; leave out --restart"
            )
        found = files.read(self.state)
        if found.get("md") != VERSION:
            raise FileFormatError(
                f"{self.state} is not the state of a run that this version of multifit can "
                "continue; start a new run with --force"
            )
        return found

    def rows(self) -> dict[str, np.ndarray]:
        """Return the columns of the log by name."""
        return read_log(self.log.read_text())


def _frame(atoms: Any, row: Mapping[str, float]) -> str:
    """Return a frame as text."""
    shown = atoms.copy()
    shown.info = {"step": int(row["step"]), "time_fs": float(row["time_fs"])}
    names = ("energy", "forces", "stress") if atoms.pbc.all() else ("energy", "forces")
    shown.calc = SinglePointCalculator(shown, **{key: atoms.calc.results[key] for key in names})
    text = io.StringIO()
    ase_write(text, shown, format="extxyz")
    return text.getvalue()
