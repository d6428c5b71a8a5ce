"""Labels and predictions as text files, in the layout of DeePMD-kit's ``dp test -d``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..evaluation import pairs

_XYZ = ("x", "y", "z")
_COLUMNS = {
    "e": ("e",),
    "f": tuple(f"f{a}" for a in _XYZ),
    "v": tuple(f"v{a}{b}" for a in _XYZ for b in _XYZ),
    "ae": ("ae",),
    "h": ("h",),
}


class Details:
    """Files that all systems are appended to, each behind a comment with its name.

    A label that no system has gives no file.

    Parameters
    ----------
    prefix
        What the files' names begin with, folders included.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.written: list[str] = []
        self._system: dict[str, str] = {}
        folder = Path(prefix).parent
        if not folder.is_dir():
            raise DataError(f"the folder {folder} of the detail files does not exist; create it")

    def add(
        self,
        system: str,
        output: Mapping[str, np.ndarray],
        label: Mapping[str, np.ndarray],
        real: np.ndarray,
    ) -> None:
        """Append some frames of a system: labels to the left, predictions to the right."""
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

    def _append(self, ending: str, kind: str, system: str, rows: np.ndarray) -> None:
        """Write rows at the end of a file, which the first call makes anew."""
        path = f"{self.prefix}.{ending}"
        columns = [f"{side}_{name}" for side in ("data", "pred") for name in _COLUMNS[kind]]
        header = "" if self._system.get(path) == system else f"{system}: {' '.join(columns)}"
        try:
            with open(path, "a" if path in self._system else "w", encoding="utf-8") as file:
                np.savetxt(file, rows, header=header)
        except OSError as exc:
            raise DataError(
                f"{path} can not be written ({exc.strerror or exc}); check space and permissions"
            ) from exc
        if path not in self._system:
            self.written.append(path)
        self._system[path] = system
