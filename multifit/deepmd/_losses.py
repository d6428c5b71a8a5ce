"""DeePMD-kit's classes of losses, each with its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from ..backend import Backend, get_backend
from ..loss import DosLossConfig, EnergyLossConfig, LossConfig, huber_deltas
from ..support import Asked, require_all
from ._arguments import collect_arguments, refuse_unknown
from ._frames import loss_of_frames

Array = Any


class _Loss:
    """The settings of a loss and a backend, from the arguments of a class."""

    _settings: ClassVar[type[LossConfig]]
    backend: Backend
    config: LossConfig

    def _setup(self, *, backend: str | Backend, **options: Any) -> None:
        known = [field.name for field in fields(self._settings)]
        refuse_unknown(type(self).__name__, options, known)
        self.backend = get_backend(backend)
        self.config = self._settings(**self._converted(options))
        require_all(Asked(loss=self.config), self.backend.name)

    def _converted(self, options: dict[str, Any]) -> dict[str, Any]:
        return options

    def __repr__(self) -> str:
        """Return the prefactors of all active terms, and the backend."""
        config = self.config
        prefactors = {term: config.prefactors(term) for term in config.terms}
        terms = ", ".join(f"{term} {a:g} → {b:g}" for term, (a, b) in prefactors.items())
        return f"<{type(self).__name__} {config.loss_func}: {terms}, on {self.backend.name}>"


class EnergyLoss(_Loss):
    """The energy loss of :mod:`multifit.loss`, on arrays of a backend.

    The parameters are those of DeePMD-kit's class, in its order, and of ``input.json``'s loss
    section.

    Parameters
    ----------
    starter_learning_rate
        Learning rate at which the prefactors have their ``start`` values.
    start_pref_e, limit_pref_e, start_pref_f, limit_pref_f, start_pref_v, limit_pref_v
        Prefactors of energy, force and virial.
    start_pref_ae, limit_pref_ae, start_pref_pf, limit_pref_pf
        Prefactors of atomic energies, and of forces weighted per atom.
    relative_f
        eV/Å; force errors are divided by the length of the labelled force plus this.
    enable_atom_ener_coeff
        True if the energy is a sum of atomic energies with the coefficients ``atom_ener_coeff``.
    start_pref_gf, limit_pref_gf, numb_generalized_coord
        Prefactors of generalized forces, and the number of generalized coordinates.
    start_pref_h, limit_pref_h
        Prefactors of the Hessian.
    use_huber, huber_delta
        Huber loss: quadratic below ``huber_delta``, linear above; one number, or
        [energy, force, virial].
    loss_func
        ``"mse"`` or ``"mae"``.
    f_use_norm
        True if the force error is the norm of an atom's error vector.
    use_default_pf
        True if a missing ``atom_pref`` is 1.
    intensive_ener_virial
        True if squared errors of energy and virial are divided by the squared number of atoms.
    backend
        The name of a backend, or an adapter; arguments may be NumPy arrays as well.
    **unknown
        Raises an error.

    Raises
    ------
    ConfigError
        If an option is unknown, out of range, or would be ignored.
    UnsupportedError
        If the backend does not support an option.

    Examples
    --------
    >>> import numpy as np
    >>> loss = EnergyLoss(starter_learning_rate=1e-3)
    >>> pred = {"energy": np.ones(1), "force": np.zeros((1, 2, 3))}
    >>> value, metrics = loss(1e-3, pred, {"energy": np.zeros(1), "force": np.zeros((1, 2, 3))})
    >>> float(metrics["rmse_e"])
    0.5
    """

    _settings = EnergyLossConfig
    config: EnergyLossConfig

    @collect_arguments
    def __init__(
        self,
        starter_learning_rate: float = 1.0,
        start_pref_e: float = 0.02,
        limit_pref_e: float = 1.0,
        start_pref_f: float = 1000.0,
        limit_pref_f: float = 1.0,
        start_pref_v: float = 0.0,
        limit_pref_v: float = 0.0,
        start_pref_ae: float = 0.0,
        limit_pref_ae: float = 0.0,
        start_pref_pf: float = 0.0,
        limit_pref_pf: float = 0.0,
        relative_f: float | None = None,
        enable_atom_ener_coeff: bool = False,
        start_pref_gf: float = 0.0,
        limit_pref_gf: float = 0.0,
        numb_generalized_coord: int = 0,
        start_pref_h: float = 0.0,
        limit_pref_h: float = 0.0,
        use_huber: bool = False,
        huber_delta: float | Sequence[float] = 0.01,
        loss_func: str = "mse",
        f_use_norm: bool = False,
        use_default_pf: bool = False,
        intensive_ener_virial: bool = False,
        *,
        backend: str | Backend = "numpy",
        **unknown: Any,
    ) -> None: ...

    def _converted(self, options: dict[str, Any]) -> dict[str, Any]:
        return options | {"huber_delta": huber_deltas(options["huber_delta"])}

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
            ``atom_energy`` (nframes, natoms), ``hessian`` (nframes, 3·natoms, 3·natoms): those
            required by the terms.
        label
            The same with ``atom_ener`` for the atomic energies, and ``atom_pref`` (nframes,
            natoms), ``drdq`` (nframes, natoms, 3, numb_generalized_coord), ``atom_ener_coeff``
            (nframes, natoms); the numbers of a frame may have any shape. A label that is
            missing, or whose ``find_<label>`` is 0, switches its term off; its metrics are NaN.
            ``atom_ener_coeff``, and with ``use_default_pf`` ``atom_pref``, is 1 instead. At least
            one term must remain.
        natoms
            Number of real atoms of a frame, for all frames or (nframes,): they come first, and the
            others do not count. All atoms are real by default; needed only if no array has an axis
            of atoms.

        Raises
        ------
        ValueError
            If there is no prediction or no label to compare, a label's prediction is missing, a key
            is unknown, the number of atoms is undetermined or not in the arrays, or an array has
            another size.
        """
        return loss_of_frames(self.backend, self.config, learning_rate, prediction, label, natoms)


class DOSLoss(_Loss):
    """The loss of densities of states of :mod:`multifit.loss`, on arrays of a backend.

    The parameters are those of DeePMD-kit's class, in its order and with its defaults, which are
    not those of ``input.json``; parameters that it does not have are keyword-only.

    Parameters
    ----------
    starter_learning_rate
        Learning rate at which the prefactors have their ``start`` values.
    numb_dos
        Number of points of the energy grid.
    start_pref_dos, limit_pref_dos, start_pref_cdf, limit_pref_cdf
        Prefactors of the density of states, and of its running sum along the grid.
    start_pref_ados, limit_pref_ados, start_pref_acdf, limit_pref_acdf
        Prefactors of both for the densities of states of atoms.
    loss_func
        ``"mse"`` or ``"mae"``.
    use_huber, huber_delta
        Huber loss: quadratic below ``huber_delta``, linear above.
    shift_agnostic
        The largest rigid shift in energy, in grid points, that is not counted as an error.
    backend
        The name of a backend, or an adapter; arguments may be NumPy arrays as well.
    **unknown
        Raises an error.

    Raises
    ------
    ConfigError
        If an option is unknown, out of range, or would be ignored.
    UnsupportedError
        If the backend does not support this loss.

    Examples
    --------
    >>> import numpy as np
    >>> loss = DOSLoss(starter_learning_rate=1e-3, numb_dos=4)
    >>> pred, label = {"dos": np.ones((1, 4))}, {"dos": np.zeros((1, 4))}
    >>> value, metrics = loss(1e-3, pred, label, natoms=2)
    >>> float(metrics["rmse_global_dos"])
    0.5
    """

    _settings = DosLossConfig
    config: DosLossConfig

    @collect_arguments
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
    ) -> None: ...

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
            terms require.
        label
            The same; the numbers of a frame may have any shape. A label that is missing, or
            whose ``find_<label>`` is 0, switches its terms off; their metrics are NaN. At least one
            term must remain.
        natoms
            Number of real atoms of a frame, for all frames or (nframes,): they come first, and the
            others do not count. All atoms are real by default; needed only if no array has an axis
            of atoms.

        Raises
        ------
        ValueError
            If there is no prediction or no label to compare, a label's prediction is missing, a key
            is unknown, the number of atoms is undetermined or not in the arrays, or an array has
            another size.
        """
        return loss_of_frames(self.backend, self.config, learning_rate, prediction, label, natoms)
