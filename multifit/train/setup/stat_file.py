"""A cache for statistics of the data, which can be slow to compute for large data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import files
from ...data import add_arrays
from ...errors import FileFormatError
from ...outputs import OUTPUTS

if TYPE_CHECKING:
    from .setup import Setup
    from .task import Task

#: The labels used for statistics.
LABELS = (
    *(row.label for row in OUTPUTS.values()),
    *(row.atomic.label for row in OUTPUTS.values()),
    *(row.coefficients for row in OUTPUTS.values() if row.coefficients),
    *(label for row in OUTPUTS.values() for label in row.references),
    *("fparam", "aparam"),
)


def stat_path(given: Path) -> Path:
    """Return the HDF5 file that ``training.stat_file`` means: itself, or one in that folder."""
    return given if given.suffix in (".h5", ".hdf5") else given / "multifit-stat.h5"


class StatFile:
    """An HDF5 file with statistics, one entry for each combination of settings and data.

    Parameters
    ----------
    path
        A file (``.h5``, ``.hdf5``), or a folder for ``multifit-stat.h5``; None for no
        cache.
    """

    def __init__(self, path: Path | None, setup: Setup, task: Task) -> None:
        self.path = None if path is None else stat_path(path)
        self.key = "" if path is None else _fingerprint(setup, task)

    def read(self) -> dict[str, np.ndarray] | None:
        """Return the statistics, or None if they are not in the file.

        Raises
        ------
        FileFormatError
            If the file is damaged, or of another kind.
        """
        if self.path is None:
            return None
        entry = self._entries(self.path).get(self.key)
        return None if entry is None else dict(entry["@variables"])

    def write(self, found: dict[str, np.ndarray]) -> None:
        """Add the statistics to the file."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        known = self._entries(self.path) | {self.key: {"@variables": found}}
        files.write(self.path, {"software": "multifit", "statistics": known})

    def _entries(self, path: Path) -> dict[str, Any]:
        """Return the content of the file, empty if missing; refuse another kind of file."""
        if not path.exists():
            return {}
        try:
            content = files.read(path)
        except FileFormatError as exc:
            reason = str(exc).partition(";")[0].removeprefix(f"{path} ")
            raise self._foreign(path, reason) from exc
        entries = content.get("statistics")
        if content.get("software") != "multifit" or not isinstance(entries, dict):
            raise self._foreign(path, "it has no statistics")
        return entries

    def _foreign(self, path: Path, reason: str) -> FileFormatError:
        return FileFormatError(
            f"training.stat_file {path} is no statistics file of multifit ({reason}); "
            "delete it or name another"
        )


def _fingerprint(setup: Setup, task: Task) -> str:
    """Return a hash of everything that the statistics depend on."""
    config, model = setup.config.model, task.model
    descriptor, fitting = model.descriptor, model.fitting
    settings = {
        "descriptor": [descriptor.name, descriptor.statistics_settings()],
        "exclude": model.pair_exclude_types,
        "exclude_atoms": model.atom_exclude_types,
        "fitting": [fitting.numb_fparam, fitting.numb_aparam, fitting.default_fparam],
        "options": [fitting.use_aparam_as_mask, fitting.tot_ener_zero, fitting.atom_ener],
        "bias": [model.preset_out_bias, fitting.rcond, _fits_atoms(task)],
        "coefficients": task.loss.coefficients,
        "output": [fitting.var_name, fitting.dim_out],
        "grid": None if model.grid is None else asdict(model.grid),
        "protect": config.data_stat_protect,
        "type_map": model.type_map,
    }
    digest = hashlib.sha256(json.dumps(settings).encode())
    add_arrays(digest, _sampled(setup, task))
    return digest.hexdigest()[:32]


def _fits_atoms(task: Task) -> bool:
    """Return True if the loss has atomic labels, to which a bias is then fitted."""
    return task.model.output.atomic.label in task.loss.labels


def _sampled(setup: Setup, task: Task) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, values) of all arrays used for statistics.

    The values themselves, as names and times of files say nothing once data are moved, copied or
    corrected; they are read for the statistics anyway.
    """
    source, nbatch = task.data.training.source, setup.config.model.data_stat_nbatch
    for k, frames in source.first_frames(task.data.training.sizes, nbatch):
        system = source.systems[k]
        yield f"pbc {system.pbc}, types", system.atype(frames)
        if system.energies is not None:
            yield "energies", system.energies
        yield from sorted(system.load(frames, LABELS).items())
