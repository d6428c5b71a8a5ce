"""DeePMD's class of the DOS loss: settings and a backend behind the known signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backend import Backend, get_backend
from ..support import Asked, require_all
from ._dos_config import DosLossConfig
from ._whole import compare, describe, refuse_unknown

Array = Any


class DOSLoss:
    """The loss of densities of states of :mod:`multifit.loss`, on arrays of a backend.

    The parameters are those of DeePMD-kit's class, in its order and with its defaults, which are
    not those of ``input.json``; the ones that it does not have are given by name.

    Parameters
    ----------
    starter_learning_rate
        The learning rate at which the prefactors have their ``start`` values.
    numb_dos
        Number of points of the energy grid.
    start_pref_dos, limit_pref_dos, start_pref_cdf, limit_pref_cdf
        Prefactors of the density of states, and of its running sum along the grid.
    start_pref_ados, limit_pref_ados, start_pref_acdf, limit_pref_acdf
        Prefactors of both for the densities of states of atoms.
    loss_func
        ``"mse"`` or ``"mae"``.
    use_huber, huber_delta
        Whether errors are squared below ``huber_delta`` and grow in a straight line above it.
    shift_agnostic
        The largest rigid shift in energy, in grid points, that is not counted as an error.
    backend
        The name of a backend, or an adapter; what is given may be NumPy's arrays as well.
    **unknown
        Refused.

    Raises
    ------
    ConfigError
        If an option is unknown, out of range, or could only be ignored beside the others.
    UnsupportedError
        If the backend does not have this loss.

    Examples
    --------
    >>> import numpy as np
    >>> loss = DOSLoss(starter_learning_rate=1e-3, numb_dos=4)
    >>> pred, label = {"dos": np.ones((1, 4))}, {"dos": np.zeros((1, 4))}
    >>> value, metrics = loss(1e-3, pred, label, natoms=2)
    >>> float(metrics["rmse_global_dos"])
    0.5
    """

    def __init__(
        self,
        starter_learning_rate: float,
        numb_dos: int,
        start_pref_dos: float = 1.0,
        limit_pref_dos: float = 1.0,
        start_pref_cdf: float = 1000.0,
        limit_pref_cdf: float = 1.0,
        start_pref_ados: float = 0.0,
        limit_pref_ados: float = 0.0,
        start_pref_acdf: float = 0.0,
        limit_pref_acdf: float = 0.0,
        *,
        loss_func: str = "mse",
        use_huber: bool = False,
        huber_delta: float = 0.01,
        shift_agnostic: int = 0,
        backend: str | Backend = "numpy",
        **unknown: Any,
    ) -> None:
        refuse_unknown("DOSLoss", DosLossConfig, unknown)
        self.backend = get_backend(backend)
        self.config = DosLossConfig(
            starter_learning_rate=starter_learning_rate,
            numb_dos=numb_dos,
            start_pref_dos=start_pref_dos,
            limit_pref_dos=limit_pref_dos,
            start_pref_cdf=start_pref_cdf,
            limit_pref_cdf=limit_pref_cdf,
            start_pref_ados=start_pref_ados,
            limit_pref_ados=limit_pref_ados,
            start_pref_acdf=start_pref_acdf,
            limit_pref_acdf=limit_pref_acdf,
            loss_func=loss_func,
            use_huber=use_huber,
            huber_delta=huber_delta,
            shift_agnostic=shift_agnostic,
        )
        require_all(Asked(loss=self.config), self.backend.name)

    def __repr__(self) -> str:
        """Return the prefactors of all terms that count, and the backend."""
        return describe("DOSLoss", self.config, self.backend)

    def __call__(
        self,
        learning_rate: float,
        prediction: Mapping[str, Array],
        label: Mapping[str, Array],
        natoms: int | Array | None = None,
    ) -> tuple[Array, dict[str, Array]]:
        """Return the loss (a 0-d array) and the metrics (``rmse``, ``rmse_global_dos``, …).

        Parameters
        ----------
        prediction
            ``dos`` (nframes, numb_dos), ``atom_dos`` (nframes, natoms, numb_dos): those that the
            terms need.
        label
            The same; how the numbers of a frame are folded is free. A label that is missing, or
            whose ``find_<label>`` is 0, switches its terms off; their metrics are NaN. At least one
            term must be left.
        natoms
            How many of a frame's atoms are real, for all frames or (nframes,): they come first, and
            what is behind them does not count. All are if not given; needed only where no array of
            atoms tells how many there are.

        Raises
        ------
        ValueError
            If there is no prediction or no label to compare, a label's prediction is missing, a key
            is unknown, the number of atoms can not be told or is not in the arrays, or an array has
            another size.
        """
        return compare(self.backend, self.config, learning_rate, prediction, label, natoms)
