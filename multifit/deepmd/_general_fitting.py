"""DeePMD-kit's class of general fitting nets: settings, parameters and a backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from ..backend import Backend, get_backend, native
from ..data import real_types
from ..errors import ConfigError, FileFormatError
from ..fitting import Fitting, deserialize, fit, serialize
from ..support import Asked, require_all
from ..tree import Tree, flatten, map_leaves

Array = Any


class GeneralFitting:
    r"""A fitting net: (settings, parameters, backend).

    Parameters
    ----------
    config
        The settings.
    params
        The parameters, a nested dict of NumPy arrays.
    type_map
        The names of the types.
    backend
        The name of a backend, or an adapter; returned arrays are of its kind, arguments can be
        NumPy's as well.
    """

    #: ``var_name`` of the nets of a class for one quantity.
    fits: ClassVar[str | None] = None

    def __init__(
        self,
        config: Fitting,
        params: Tree,
        type_map: Sequence[str] | None = None,
        backend: str | Backend = "numpy",
    ) -> None:
        self.config = config
        self.type_map = None if type_map is None else list(type_map)
        self.backend = get_backend(backend)
        require_all(Asked(fitting=config), self.backend.name)
        self.params = map_leaves(self.backend.asarray, params)

    def __repr__(self) -> str:
        """Return the settings that determine the net, and the backend."""
        c = self.config
        return (
            f"<{type(self).__name__} {c.var_name} of {c.ntypes} types from {c.dim_descrpt}, "
            f"neuron {list(c.neuron)}, {c.precision}, on {self.backend.name}>"
        )

    def set_case_embd(self, case_idx: int) -> None:
        """Select one of the ``dim_case_embd`` cases of the net, as a one-hot input.

        Raises
        ------
        ConfigError
            If the case does not exist.
        """
        cases = self.config.dim_case_embd
        if not 0 <= case_idx < cases:
            raise ConfigError(
                f"there is no case {case_idx}: dim_case_embd is {cases}, and cases count from 0"
            )
        self.params["case_embd"] = self.backend.asarray(np.eye(cases)[case_idx])

    def parameters(self) -> dict[str, Array]:
        """Return the parameters and statistics under their dotted names."""
        return flatten(self.params)

    def serialize(self) -> dict[str, Any]:
        """Return the net in the form of DeePMD-kit's model files, with NumPy arrays."""
        return serialize(self.config, map_leaves(self.backend.to_numpy, self.params), self.type_map)

    @classmethod
    def deserialize(cls, data: dict[str, Any], backend: str | Backend = "numpy") -> Self:
        """Return the net from the output of :meth:`serialize`, or of DeePMD-kit.

        Raises
        ------
        FileFormatError
            If an array is missing or has the wrong shape, or the net fits another quantity than
            this class.
        """
        config, params = deserialize(data)
        if cls.fits not in (None, config.var_name):
            raise FileFormatError(
                f"the fitting net is one of {config.var_name!r}, but {cls.__name__} is for "
                f"{cls.fits!r} only; GeneralFitting reads any"
            )
        net = cls.__new__(cls)
        GeneralFitting.__init__(net, config, params, data.get("type_map"), backend)
        return net

    def __call__(
        self,
        descriptor: Array,
        atype: Array,
        gr: Array | None = None,
        g2: Array | None = None,
        h2: Array | None = None,
        fparam: Array | None = None,
        aparam: Array | None = None,
    ) -> dict[str, Array]:
        """Return ``{var_name: (nframes, natoms, dim_out)}``.

        Parameters
        ----------
        descriptor
            (nframes, natoms, dim_descrpt).
        atype
            (nframes, natoms), integers; −1 is a virtual atom, whose output is zero, and so is one
            with the aparam 0 if ``use_aparam_as_mask``.
        gr, g2, h2
            Accepted and not used, as in DeePMD-kit.
        fparam
            (nframes, numb_fparam); ``default_fparam`` if not given.
        aparam
            (nframes, natoms, numb_aparam).

        Raises
        ------
        ValueError
            If a shape does not fit the settings, or a parameter is missing.
        """
        del gr, g2, h2
        xp, config = self.backend.xp, self.config
        descriptor, fparam, aparam = (native(self.backend, x) for x in (descriptor, fparam, aparam))
        nf, nloc, nd = descriptor.shape
        if nd != config.dim_descrpt:
            raise ValueError(
                f"the descriptor has {nd} components, but dim_descrpt is {config.dim_descrpt}"
            )
        if tuple(atype.shape) != (nf, nloc):
            raise ValueError(f"atype has the shape {tuple(atype.shape)}, but must be {(nf, nloc)}")
        d = xp.reshape(descriptor, (nf * nloc, nd))
        _require_shape("fparam", fparam, config.numb_fparam, (nf,))
        _require_shape("aparam", aparam, config.numb_aparam, (nf, nloc))
        types = self._types(atype, aparam)
        if types.size and types.max() >= config.ntypes:
            raise ValueError(f"atype has the type {types.max()}, but ntypes is {config.ntypes}")
        rows = self._parameter_rows(fparam, aparam, nf, nloc)
        parts, order = [], []
        for a in range(-1, config.ntypes):
            here = np.flatnonzero(types == a)
            order.append(here)
            if a < 0 or not here.size:
                parts.append(xp.zeros((here.size, config.dim_out), dtype=xp.float64))
                continue
            index = self.backend.asarray(here)
            inputs = [None if x is None else xp.take(x, index, axis=0) for x in (d, *rows)]
            parts.append(fit(xp, config, self.params, a, *inputs)[0])
        back = self.backend.asarray(np.argsort(np.concatenate(order), kind="stable"))
        y = xp.take(xp.concat(parts, axis=0), back, axis=0)
        y = xp.reshape(y, (nf, nloc, config.dim_out))
        return {config.var_name: self._without_mean(y, types) if config.tot_ener_zero else y}

    def _types(self, atype: Array, aparam: Array | None) -> np.ndarray:
        """Return the types of all atoms, (nf·nloc,), −1 for virtual ones."""
        host = atype if isinstance(atype, np.ndarray) else self.backend.to_numpy(atype)
        types = np.asarray(host).reshape(-1)
        if not self.config.use_aparam_as_mask:
            return types
        if aparam is None:
            raise ValueError("the fitting net has use_aparam_as_mask, but no aparam was given")
        return real_types(types, self.backend.to_numpy(aparam))

    def _without_mean(self, y: Array, types: np.ndarray) -> Array:
        """Return y (nf, nloc, dim_out) less its mean over the real atoms of a frame."""
        xp = self.backend.xp
        host = (types >= 0).astype(np.float64).reshape(y.shape[0], y.shape[1], 1)
        share = host / np.maximum(host.sum(axis=1, keepdims=True), 1.0)
        mean = xp.sum(y * self.backend.asarray(share), axis=1, keepdims=True)
        return (y - mean) * self.backend.asarray(host)

    def _parameter_rows(
        self, fparam: Array | None, aparam: Array | None, nf: int, nloc: int
    ) -> tuple[Array | None, Array | None]:
        """Return fparam and aparam with one row for each atom, (nf·nloc, n)."""
        xp, config = self.backend.xp, self.config
        if fparam is None and config.default_fparam is not None:
            fparam = self.backend.asarray(np.tile(config.default_fparam, (nf, 1)))
        if fparam is not None:
            fparam = xp.reshape(fparam, (nf, 1, -1))
            fparam = xp.broadcast_to(fparam, (nf, nloc, fparam.shape[2]))
            fparam = xp.reshape(fparam, (nf * nloc, -1))
        if aparam is not None:
            aparam = xp.reshape(aparam, (nf * nloc, -1))
        return fparam, aparam


def _require_shape(name: str, given: Array | None, number: int, rows: tuple[int, ...]) -> None:
    """Raise ValueError unless there are so many numbers for each frame or atom, or nothing."""
    wanted, found = (*rows, number), None if given is None else tuple(given.shape)
    if found is None or (number and found == wanted):
        return
    if not number:
        raise ValueError(f"{name} of the shape {found} was given, but numb_{name} is 0")
    raise ValueError(f"{name} has the shape {found}, but must be {wanted}: numb_{name} is {number}")
