"""Models as drivers of dpdata: ``system.predict("model.dp", driver="multifit")``.

dpdata imports this module because of an entry point. It names no class: if this module is imported
first, dpdata looks at it while it is still empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Backend
from ..errors import EngineError
from ..inference.potential import Potential
from . import require
from ._backend import as_potential

require("dpdata", "dpdata")

from dpdata.driver import Driver  # noqa: E402


@Driver.register("multifit")
class MultifitDriver(Driver):  # type: ignore[misc]
    """A model that labels systems of dpdata with energies, forces and virials.

    Parameters
    ----------
    model
        A model file or checkpoint, or a loaded :class:`multifit.Potential`.
    backend
        ``numpy``, ``torch``, ``jax``, …; by default the fastest that is installed.
    fparam
        Parameters of all frames (numb_fparam,) or of each one (nframes, numb_fparam).
    aparam
        (natoms, numb_aparam) or (nframes, natoms, numb_aparam).

    Raises
    ------
    EngineError
        If the model has no forces.
    """

    def __init__(
        self,
        model: str | Path | Potential,
        backend: str | Backend | None = None,
        *,
        fparam: Sequence[float] | np.ndarray | None = None,
        aparam: Sequence[Sequence[float]] | np.ndarray | None = None,
    ) -> None:
        self.potential = as_potential(model, backend)
        if "force" not in self.potential.model.output.variables:
            raise EngineError(
                f"the model predicts {self.potential.model.output.plural}, but dpdata's labels are "
                "energies and forces; use an energy model"
            )
        self.fparam = None if fparam is None else np.asarray(fparam, dtype=np.float64)
        self.aparam = None if aparam is None else np.asarray(aparam, dtype=np.float64)

    def label(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the data of a system with ``energies``, ``forces`` and in cells ``virials``.

        Parameters
        ----------
        data
            Of ``dpdata.System``: ``atom_names``, ``atom_types``, ``coords`` and ``cells``.
        """
        names = np.asarray(data["atom_names"], dtype=np.str_)
        cells = None if data.get("nopbc", False) else data["cells"]
        found = self.potential.predict(
            data["coords"], names[data["atom_types"]], cells, self.fparam, self.aparam
        )
        labels = {"energies": found["energy"], "forces": found["force"]}
        if cells is not None:
            labels["virials"] = found["virial"]
        return data | labels
