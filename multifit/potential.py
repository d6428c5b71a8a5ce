"""A trained model, ready to be used from Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import _arguments as args
from . import dos, files
from . import model as mdl
from .backend import Backend, get_backend
from .batch import Batcher, Frame, Layout
from .data import real_types
from .errors import DataError, FileFormatError, did_you_mean
from .spectrum import Spectrum
from .support import require_model
from .tree import Tree, map_leaves

#: Distance in Å down to which the embedding nets are interpolated from the start.
NEAREST = 0.7

#: Largest last coefficients of their series, relative to the largest: the last digits of a double.
TOLERANCE = 1e-12

#: Atoms that go through the networks at once; more would only cost memory.
ATOMS_AT_ONCE = 768

#: Outputs that frames have, and not their atoms.
PER_FRAME = ("energy", "virial", "dos")

#: Numbers in the largest array of derivatives when a Hessian is made; they are 64 MB.
TANGENTS_AT_ONCE = 1 << 23


class Potential:
    """Settings, parameters and a backend; :meth:`predict` is what people want.

    Parameters
    ----------
    model
        The settings.
    params
        The parameters as a nested dict of NumPy arrays.
    backend
        The name of a backend, or an adapter.
    """

    def __init__(self, model: mdl.Model, params: Tree, backend: str | Backend = "numpy") -> None:
        self.model = model
        self.backend = get_backend(backend)
        require_model(model, self.backend.name)
        self.params = map_leaves(self.backend.asarray, params)
        self._batcher = Batcher(
            model.descriptor.rcut,
            model.descriptor.sel,
            model.pair_exclude_types,
            self.backend.static_shapes,
        )
        self._host = params
        self._spectrum = Spectrum(
            self.backend, model.descriptor, set(), NEAREST, tolerance=TOLERANCE
        )
        self._evaluate = self.backend.compile(self._outputs)
        self._evaluate_virial = self.backend.compile(self._outputs_with_atom_virial)
        self._evaluate_hessian = self.backend.compile(self._outputs_with_hessian)

    def __repr__(self) -> str:
        """Return what the model is, in one line."""
        return f"<Potential {self.model} on {self.backend.name}>"

    def set_params(self, params: Tree) -> None:
        """Take other parameters (nested NumPy arrays) of the same model; nothing recompiles."""
        self._host = params
        self.params = map_leaves(self.backend.asarray, params)
        self._spectrum.check(params)

    def _outputs(self, params: Tree, batch: Tree) -> dict[str, Any]:
        return mdl.evaluate(self.backend, self.model, params, batch)

    def _outputs_with_atom_virial(self, params: Tree, batch: Tree) -> dict[str, Any]:
        return mdl.evaluate(self.backend, self.model, params, batch, atom_virial=True)

    def _outputs_with_hessian(self, params: Tree, batch: Tree) -> dict[str, Any]:
        return mdl.evaluate_hessian(self.backend, self.model, params, batch)

    @property
    def type_map(self) -> tuple[str, ...]:
        """The names of the types."""
        return self.model.type_map

    @property
    def rcut(self) -> float:
        """The cut-off in Å."""
        return self.model.descriptor.rcut

    def type_indices(self, types: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
        """Return types or element symbols as numbers, (natoms,) int64.

        Raises
        ------
        DataError
            If a type is outside the model's ``type_map`` (which atom).
        """
        try:
            given = np.asarray(types)
        except ValueError:
            given = np.zeros(0, dtype=object)
        if given.size == 0 and given.dtype.kind == "f":  # an empty list
            given = given.astype(np.int64)
        if given.dtype.kind in "US" and given.ndim == 1:
            index = {name: k for k, name in enumerate(self.type_map)}
            for atom, name in enumerate(given):
                if str(name) not in index:
                    raise DataError(
                        f"atom {atom} is {str(name)!r}, but the model knows "
                        f"{', '.join(self.type_map)}{did_you_mean(str(name), index)}"
                    )
            return np.array([index[str(name)] for name in given], dtype=np.int64)
        if given.dtype.kind not in "iu" or given.ndim != 1:
            raise DataError("types must be integers or element symbols, one for each atom")
        wrong = np.flatnonzero((given < -1) | (given >= len(self.type_map)))
        if wrong.size:
            raise DataError(
                f"atom {wrong[0]} has the type {given[wrong[0]]}, but the model has "
                f"{len(self.type_map)} types ({', '.join(self.type_map)})"
            )
        return given.astype(np.int64)

    def predict(
        self,
        coord: np.ndarray,
        types: Sequence[int] | Sequence[str] | np.ndarray,
        cell: np.ndarray | None = None,
        fparam: np.ndarray | None = None,
        aparam: np.ndarray | None = None,
        *,
        pbc: bool | Sequence[bool] | None = None,
        atom_virial: bool = False,
        hessian: bool = False,
        electrons: float | np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Return energies, forces and virials, or densities of states, as NumPy arrays.

        Parameters
        ----------
        coord
            (natoms, 3) or (nframes, natoms, 3) in Å.
        types
            Integers or element symbols, (natoms,).
        cell
            None for a molecule, (3, 3) for all frames, or (nframes, 3, 3); rows are the lattice
            vectors in Å.
        fparam
            (numb_fparam,) or (nframes, numb_fparam).
        aparam
            (natoms, numb_aparam) or (nframes, natoms, numb_aparam); with ``use_aparam_as_mask``, 0
            for an atom that is not there.
        pbc
            Which lattice vectors repeat; all of them if there is a cell.
        atom_virial
            Whether the virial of each atom is wanted.
        hessian
            Whether the second derivatives of the energy are wanted.
        electrons
            How many electrons a frame has in the range of the density of states, one number or
            (nframes,); the model's own number for each type if not given.

        Returns
        -------
        dict
            Of a model of energies ``energy`` (nframes,) and ``atom_energy`` (nframes, natoms) in
            eV, ``force`` (nframes, natoms, 3) in eV/Å, ``virial`` (nframes, 3, 3) in eV and on
            request ``atom_virial`` (nframes, natoms, 3, 3) in eV and ``hessian`` (nframes,
            3 natoms, 3 natoms) in eV/Å², by atoms and within an atom by x, y, z.

            Of a model of densities of states ``dos`` (nframes, numb_dos) and ``atom_dos`` (nframes,
            natoms, numb_dos) in states/eV. If the model knows its energies, also ``energies``
            (numb_dos,) in eV, and with a number of electrons ``fermi_level``, ``gap``, ``vbm``,
            ``cbm`` and ``electrons`` (nframes,) as :func:`multifit.dos.levels` has them.

        Raises
        ------
        DataError
            If shapes do not fit, a value is not finite, or a cell is singular (which frame).

        Examples
        --------
        >>> model = multifit.load("model.dp")  # doctest: +SKIP
        >>> model.predict(atoms.positions, atoms.symbols, atoms.cell)["energy"]  # doctest: +SKIP
        """
        self._require_sense(atom_virial or hessian, electrons)
        frames = args.frames(coord)
        nframes, natoms, _ = frames.shape
        atype = self.type_indices(types)
        if atype.shape != (natoms,):
            raise DataError(f"types has the shape {atype.shape}, but coord has {natoms} atoms")
        cells = args.cells(cell, nframes)
        periodic = args.periodic(cell is not None if pbc is None else pbc)
        extra = self._parameters(fparam, aparam, nframes, natoms)
        kinds = [atype] * nframes
        if self.model.fitting.use_aparam_as_mask and extra[1] is not None:
            kinds = [real_types(atype, each) for each in extra[1]]
        ready = [
            self._batcher.frame(frames[k], cells[k], periodic, kinds[k], f"frame {k}")
            for k in range(nframes)
        ]
        step = max(1, ATOMS_AT_ONCE // max(natoms, 1))
        parts = [
            self.evaluate_frames(
                ready[k : k + step],
                *[None if x is None else x[k : k + step] for x in extra],
                atom_virial=atom_virial,
                hessian=hessian,
            )
            for k in range(0, nframes, step)
        ]
        found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        return found | self._levels(found, np.stack(kinds), electrons) if self.model.grid else found

    def _require_sense(self, derivatives: bool, electrons: float | np.ndarray | None) -> None:
        """Raise DataError for a request that does not go with the model."""
        kind = self.model.kind
        if derivatives and not self.model.has_forces:
            raise DataError(
                f"the model predicts a {kind.title}, of which it has no derivatives; leave out "
                "atom_virial and hessian"
            )
        if electrons is not None and self.model.grid is None:
            raise DataError(
                "electrons was given, but the model does not know the energies of a density of "
                "states; leave it out"
            )

    def _levels(
        self,
        found: dict[str, np.ndarray],
        atype: np.ndarray,
        electrons: float | np.ndarray | None,
    ) -> dict[str, np.ndarray]:
        """Return the energies of the density of states, and what follows from it.

        Parameters
        ----------
        atype
            Types, −1 for atoms that are not there, (nframes, natoms).
        """
        grid = self.model.grid
        assert grid is not None
        more = {"energies": grid.array}
        if electrons is None and grid.electrons is None:
            return more
        if electrons is None:
            number = dos.electrons_of(grid, atype)
        else:
            number = args.numbers("electrons", electrons)
            if number.size not in (1, len(atype)):
                raise DataError(
                    f"electrons has {number.size} numbers, but must be one, or one for each of the "
                    f"{len(atype)} frames"
                )
            if not (np.isfinite(number).all() and (number >= 0).all()):
                raise DataError("electrons must be finite numbers ≥ 0")
            number = np.broadcast_to(number.reshape(-1), (len(atype),))
        return more | dos.levels(grid, found[self.model.kind.total], number)._asdict()

    def _hessians(self, batch: Tree, layout: Layout, nframes: int, natoms: int) -> np.ndarray:
        """Return the Hessians of a batch, a few columns at a time: memory is bounded."""
        tables = [t for atoms in batch["centres"].values() for t in atoms["tables"].values()]
        pairs = sum(math.prod(table["mask"].shape) for table in tables)
        numbers = 3 * self.model.descriptor.neuron[-1] * pairs
        size = min(natoms, max(1, TANGENTS_AT_ONCE // max(numbers, 1)))
        every = mdl.directions(natoms)
        columns = []
        for start in range(0, natoms, size):
            some = np.zeros((natoms, size))  # the last ones move nothing: one shape for compilers
            part = every[:, start : start + size]
            some[:, : part.shape[1]] = part
            moved = {**batch, "directions": self.backend.asarray(some)}
            out = self._evaluate_hessian(self.params, moved)["hessian"]
            flat = self.backend.to_numpy(out)[:, :, : 3 * part.shape[1]]
            columns.append(layout.gather(flat, nframes, natoms))
        return np.concatenate(columns, axis=3).reshape(nframes, 3 * natoms, 3 * natoms)

    def _parameters(
        self, fparam: np.ndarray | None, aparam: np.ndarray | None, nframes: int, natoms: int
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return fparam (nframes, n) and aparam (nframes, natoms, n), or None where not used."""
        fitting = self.model.fitting
        if fparam is None and fitting.default_fparam is not None:
            fparam = np.asarray(fitting.default_fparam)
        given = {"fparam": (fparam, fitting.numb_fparam), "aparam": (aparam, fitting.numb_aparam)}
        shapes = {"fparam": (nframes,), "aparam": (nframes, natoms)}
        found: dict[str, np.ndarray | None] = {}
        for name, (value, n) in given.items():
            shape = (*shapes[name], n)
            found[name] = None
            if n == 0 and value is not None:
                raise DataError(f"{name} was given, but the model has numb_{name} = 0")
            if n == 0:
                continue
            if value is None:
                raise DataError(f"the model needs {name}, {n} numbers each; give {name}=")
            value = args.numbers(name, value)
            if not np.isfinite(value).all():
                bad = value[~np.isfinite(value)][0]
                raise DataError(f"{name} holds {bad}; give finite numbers")
            if value.size == np.prod(shape):
                found[name] = value.reshape(shape)
            elif value.size == np.prod(shape[1:]):
                found[name] = np.broadcast_to(value.reshape(shape[1:]), shape)
            else:
                raise DataError(f"{name} has the shape {value.shape}, but must have {shape}")
        return found["fparam"], found["aparam"]

    def evaluate_frames(
        self,
        frames: Sequence[Frame],
        fparam: np.ndarray | None = None,
        aparam: np.ndarray | None = None,
        *,
        atom_virial: bool = False,
        hessian: bool = False,
    ) -> dict[str, np.ndarray]:
        """Return the outputs for frames of one number of atoms, as :meth:`predict` does."""
        host, layout = self._batcher.assemble(frames, fparam, aparam)
        batch = map_leaves(self.backend.asarray, host)
        basis = self._basis(frames)
        run = self._evaluate_virial if atom_virial else self._evaluate
        out = run(self.params, batch if basis is None else {**batch, "basis": basis})
        arrays = {key: self.backend.to_numpy(value) for key, value in out.items()}
        shape = (len(frames), len(frames[0].atype))
        found = {
            key: value if key in PER_FRAME else layout.gather(value, *shape)
            for key, value in arrays.items()
        }
        if hessian:
            found["hessian"] = self._hessians(batch, layout, *shape)
        return found

    def _basis(self, frames: Sequence[Frame]) -> dict[str, Any] | None:
        """Return the Chebyshev basis that is exact for these frames, or None."""
        pairs = {key for frame in frames for key in frame.tables}
        nearest = min(frame.nearest for frame in frames)
        return self._spectrum.basis_for(nearest, pairs, lambda: self._host)


def read_model(path: str | Path) -> tuple[mdl.Model, Tree, dict[str, Any]]:
    """Return the settings, the parameters and the whole content of a model file or checkpoint.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or no model.
    UnsupportedError
        If the model is of a kind that multifit does not have.
    """
    content = files.read(path)
    if not isinstance(content.get("model"), dict):
        raise FileFormatError(f"{path} holds no model (it has no key 'model')")
    try:
        model, params = mdl.from_content(content)
    except FileFormatError as exc:
        raise FileFormatError(f"{path}: {exc}") from exc
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        reason = f"it lacks {exc}" if isinstance(exc, KeyError) else str(exc)
        raise FileFormatError(f"{path} is not a model that multifit understands: {reason}") from exc
    return model, params, content


def load(path: str | Path, backend: str | Backend = "numpy") -> Potential:
    """Return the model of a ``.dp``, ``.json`` or ``.yaml`` file, on a backend.

    Parameters
    ----------
    path
        A file of multifit or DeePMD-kit.
    backend
        ``numpy``, ``torch``, ``jax``, …

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or no model.
    BackendError
        If the backend is unknown or not installed.
    """
    adapter = get_backend(backend)
    model, params, _ = read_model(path)
    return Potential(model, params, adapter)
