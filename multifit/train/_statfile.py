"""A cache for the statistics of the data, which can take long for large data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files

if TYPE_CHECKING:
    from ._setup import Setup


class StatFile:
    """An HDF5 file with statistics, one entry for each combination of settings and data.

    Parameters
    ----------
    path
        A file (``.h5``, ``.hdf5``), or a folder in which ``multifit-stat.h5`` is made; None for no
        cache.
    """

    def __init__(self, path: Path | None, setup: Setup) -> None:
        if path is not None and path.suffix not in (".h5", ".hdf5"):
            path = path / "multifit-stat.h5"
        self.path = path
        self.key = _fingerprint(setup)

    def read(self) -> dict[str, np.ndarray] | None:
        """Return the statistics, or None if they are not there."""
        if self.path is None or not self.path.exists():
            return None
        entry = files.read(self.path).get("statistics", {}).get(self.key)
        return None if entry is None else dict(entry["@variables"])

    def write(self, found: dict[str, np.ndarray]) -> None:
        """Add the statistics to the file."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        known = files.read(self.path).get("statistics", {}) if self.path.exists() else {}
        known[self.key] = {"@variables": found}
        files.write(self.path, {"software": "multifit", "statistics": known})


def _fingerprint(setup: Setup) -> str:
    """Return a hash of everything that the statistics depend on."""
    config, descriptor = setup.config.model, setup.model.descriptor
    data: list[Any] = [
        [system.name, list(system.set_lengths), system.natoms, sorted(system.labels)]
        for system in setup.training.systems
    ]
    settings = {
        "environment": asdict(descriptor.environment),
        "sel": descriptor.sel,
        "exclude": [sorted(descriptor.excluded), setup.model.pair_exclude_types],
        "davg_zero": descriptor.set_davg_zero,
        "fitting": [setup.model.fitting.numb_fparam, setup.model.fitting.numb_aparam],
        "bias": [setup.model.preset_out_bias, setup.model.fitting.rcond],
        "sampling": [config.data_stat_nbatch, config.data_stat_protect, setup.training_sizes],
        "type_map": setup.model.type_map,
    }
    return hashlib.sha256(json.dumps([settings, data]).encode()).hexdigest()[:32]
