"""DeePMD's loss class: settings and a backend behind the known signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import Backend, get_backend
from ..batch import Atoms
from ..errors import ConfigError, UnsupportedError, did_you_mean
from ._energy import TERMS, EnergyLossConfig, energy_loss

Array = Any

#: Options of DeePMD's signature that must keep these values in this version.
_NOT_YET: dict[str, Any] = {
    "start_pref_pf": 0.0,
    "limit_pref_pf": 0.0,
    "relative_f": None,
    "enable_atom_ener_coeff": False,
    "start_pref_gf": 0.0,
    "limit_pref_gf": 0.0,
    "numb_generalized_coord": 0,
    "start_pref_h": 0.0,
    "limit_pref_h": 0.0,
    "use_default_pf": False,
}


def huber_deltas(delta: float | Sequence[float]) -> tuple[float, float, float]:
    """Return [energy, force, virial] from one number or three.

    Raises
    ------
    ConfigError
        For a list of another length.
    """
    if isinstance(delta, int | float):
        return (float(delta),) * 3
    if len(delta) != 3:
        raise ConfigError(
            f"huber_delta must be a number or [energy, force, virial], but has {len(delta)} numbers"
        )
    e, f, v = delta
    return float(e), float(f), float(v)


class EnergyLoss:
    """The energy loss of :mod:`multifit.loss`, on arrays of a backend.

    Parameters
    ----------
    starter_learning_rate
        The learning rate at which the prefactors have their ``start`` values.
    **options
        Those of ``input.json``'s loss section: ``start_pref_e``, ``limit_pref_e``, …,
        ``loss_func``, ``use_huber``, ``huber_delta``, ``f_use_norm``, ``intensive_ener_virial``.
    backend
        The name of a backend, or an adapter.

    Examples
    --------
    >>> import numpy as np
    >>> loss = EnergyLoss(starter_learning_rate=1e-3)
    >>> pred = {"energy": np.ones(1), "force": np.zeros((1, 2, 3))}
    >>> value, metrics = loss(1e-3, pred, {"energy": np.zeros(1), "force": np.zeros((1, 2, 3))})
    >>> float(metrics["rmse_e"])
    0.5
    """

    def __init__(
        self,
        starter_learning_rate: float = 1.0,
        *,
        huber_delta: float | Sequence[float] = 0.01,
        backend: str | Backend = "numpy",
        **options: Any,
    ) -> None:
        for name, off in _NOT_YET.items():
            if options.pop(name, off) != off:
                raise UnsupportedError(f"{name} is not available in this version")
        known = EnergyLossConfig.__dataclass_fields__
        for name in options:
            if name not in known:
                near = did_you_mean(name, known) or f"; known are {', '.join(sorted(known))}"
                raise ConfigError(f"EnergyLoss has no option {name!r}{near}")
        self.backend = get_backend(backend)
        self.config = EnergyLossConfig(
            starter_learning_rate, huber_delta=huber_deltas(huber_delta), **options
        )

    def __call__(
        self,
        learning_rate: float,
        prediction: Mapping[str, Array],
        label: Mapping[str, Array],
        natoms: int | Array | None = None,
    ) -> tuple[Array, dict[str, Array]]:
        """Return the loss (a 0-d array) and the metrics (``rmse``, ``rmse_e``, ``rmse_f``, …).

        Parameters
        ----------
        prediction
            ``energy`` (nframes,), ``force`` (nframes, natoms, 3), ``virial`` (nframes, 3, 3),
            ``atom_energy`` (nframes, natoms): those that the terms need.
        label
            The same with ``atom_ener`` for the atomic energies. A label that is missing, or whose
            ``find_<label>`` is 0, switches its term off; its metrics are NaN.
        natoms
            Atoms in each frame; needed only where no array of forces or atomic energies tells.

        Raises
        ------
        ValueError
            If the number of atoms can not be told.
        """
        backend, xp = self.backend, self.backend.xp
        nframes = prediction["energy"].shape[0]
        known = [prediction[key].shape[1] for key in ("force", "atom_energy") if key in prediction]
        if natoms is None and not known:
            raise ValueError("give natoms: neither force nor atom_energy tells how many atoms")
        counts = np.broadcast_to(known[0] if natoms is None else natoms, (nframes,))
        width = known[0] if known else 0
        mask = np.arange(width)[None, :] < counts[:, None]
        flat = {k: _flat(xp, k, v) for k, v in prediction.items()}
        target = {}
        for term in self.config.terms:
            mine, theirs = TERMS[term]
            present = theirs in label and mine in flat
            find = label.get(f"find_{theirs}", 1.0) if present else 0.0
            target[f"find_{theirs}"] = backend.asarray(np.asarray(float(find)))
            target[theirs] = _flat(xp, mine, label[theirs]) if present else flat.get(mine)
            if target[theirs] is None:
                rows = mask.size if mine in ("force", "atom_energy") else nframes
                target[theirs] = flat[mine] = xp.zeros((rows, 1), dtype=xp.float64)
        frame = np.repeat(np.arange(nframes), width)
        atoms = Atoms(
            backend.asarray(counts.astype(np.float64)),
            backend.asarray(mask.reshape(-1).astype(np.float64)),
            backend.asarray(frame),
        )
        return energy_loss(
            backend,
            self.config,
            backend.asarray(np.asarray(float(learning_rate))),
            flat,
            target,
            atoms,
        )


def _flat(xp: Any, key: str, value: Array) -> Array:
    """Return per-atom arrays as (N, …): frames and atoms in one axis."""
    if key == "force":
        return xp.reshape(value, (-1, 3))
    return xp.reshape(value, (-1,)) if key in ("energy", "atom_energy") else value
