"""Several models evaluated for the same atoms, whose neighbours are found once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Backend, canonical_name
from ..errors import BackendError, ConfigError, DataError
from . import structure as sts
from .domain import check_halo, domain, on_host
from .loading import load
from .parts import Outputs
from .potential import Potential
from .request import Request, check_request
from .shared_neighbors import SharedNeighbors
from .structure import Structure

#: Structures whose neighbours are kept for all models have at most so many times the atoms that a
#: model evaluates at once: few enough for the memory, enough to fill its batches.
BATCHES = 8


class Ensemble:
    """Models of the same elements; :meth:`predict` returns the outputs of each.

    Models with the same cutoff, ``sel``, excluded pairs and ``type_map`` share the neighbours.
    Integer types are those of the first model; the other models find their own by name.

    Parameters
    ----------
    models
        Loaded potentials, or model files.
    backend
        For files; the name of a backend, or an adapter. NumPy by default.
    atoms_at_once
        For files; as for :class:`multifit.Potential`.

    Raises
    ------
    ConfigError
        If there are no models, or some predict other quantities than the first.
    BackendError
        If a potential is given together with another backend than its own.

    Examples
    --------
    >>> ensemble = Ensemble(["a.dp", "b.dp", "c.dp"], backend="jax")  # doctest: +SKIP
    >>> outputs = ensemble.predict(coord, types, cell)  # doctest: +SKIP
    >>> np.std([out["energy"] for out in outputs], axis=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        models: Sequence[Potential | str | Path],
        backend: str | Backend | None = None,
        *,
        atoms_at_once: int | None = None,
    ) -> None:
        if isinstance(models, str | Path):
            raise ConfigError(f"models is {str(models)!r}, but must be a list of models")
        self.potentials = tuple(_potential(model, backend, atoms_at_once) for model in models)
        if not self.potentials:
            raise ConfigError("an ensemble needs at least one model; give model files")
        self.names = [
            f"model {k}" if isinstance(each, Potential) else str(each)
            for k, each in enumerate(models)
        ]
        first = self.potentials[0].model.output
        for name, each in zip(self.names, self.potentials, strict=True):
            if each.model.output is not first:
                raise ConfigError(
                    f"{name} predicts a {each.model.output.title}, but "
                    f"{self.names[0]} a {first.title}; give models of the same quantity"
                )
        self._numbering = [_numbering(self.type_map, each.type_map) for each in self.potentials]
        self._groups = _groups(self.potentials)

    def __len__(self) -> int:
        """Return the number of models."""
        return len(self.potentials)

    @property
    def type_map(self) -> tuple[str, ...]:
        """The names of the types of the first model."""
        return self.potentials[0].type_map

    @property
    def rcut(self) -> float:
        """The largest cutoff of the models in Å."""
        return max(each.rcut for each in self.potentials)

    @property
    def halo(self) -> float:
        """Thickness of the layer of ghosts that a domain needs for all models, Å."""
        return max(each.halo for each in self.potentials)

    @property
    def atoms_at_once(self) -> int:
        """Number of atoms that every model can evaluate at once."""
        return min(each.runner.at_once for each in self.potentials)

    def types_of(self, k: int, atype: np.ndarray) -> np.ndarray:
        """Return types of the first model in the numbering of model ``k``, (natoms,).

        Raises
        ------
        DataError
            If the model does not know an element.
        """
        found: np.ndarray = self._numbering[k][atype]
        unknown = np.flatnonzero((found < 0) & (atype >= 0))
        if unknown.size:
            atom = int(unknown[0])
            raise DataError(
                f"atom {atom} is {self.type_map[atype[atom]]!r}, but {self.names[k]} knows "
                f"{', '.join(self.potentials[k].type_map)}"
            )
        return found

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
        skin: float = 0.0,
    ) -> list[dict[str, np.ndarray]]:
        """Return the outputs of each model; arguments as for :meth:`multifit.Potential.predict`.

        Returns
        -------
        list
            For each model ``energy`` (nframes,), ``force`` (nframes, natoms, 3), …, as
            :meth:`multifit.Potential.predict` has them.

        Raises
        ------
        DataError
            As :meth:`multifit.Potential.predict`, and if a model does not know an element.
        """
        wanted = Request(atom_virial, skin=skin)
        atype = self.potentials[0].type_indices(types)
        given = [
            sts.structures(each.model, coord, self.types_of(k, atype), cell, fparam, aparam, pbc)
            for k, each in enumerate(self.potentials)
        ]
        return [
            {key: np.stack([row[key] for row in rows]) for key in rows[0]}
            for rows in self.run(given, wanted)
        ]

    def run(self, given: Sequence[Sequence[Structure]], wanted: Request) -> list[list[Outputs]]:
        """Return the outputs of each model for each structure, without an axis for frames.

        Parameters
        ----------
        given
            For each model the same structures with its own types and parameters.
        """
        for each in self.potentials:
            check_request(each.model, each.backend.name, wanted)
        found: list[list[Outputs]] = [[] for _ in self.potentials]
        for group in self._groups:
            lead = group[0]
            for span in _spans(given[lead], BATCHES * self.atoms_at_once):
                shared = SharedNeighbors(self.potentials[lead].runner.neighbors)
                for k in group:
                    same = [
                        replace(own, coord=s.coord, cell=s.cell)
                        for own, s in zip(given[k][span], given[lead][span], strict=True)
                    ]
                    found[k] += self.potentials[k].runner.run(same, wanted, shared)
        return found

    def evaluate_pairs(
        self,
        rij: Any,
        i: Any,
        j: Any,
        atype: Any,
        nlocal: int,
        *,
        fparam: Any = None,
        aparam: Any = None,
        atom_virial: bool = False,
        halo: float | None = None,
    ) -> list[dict[str, np.ndarray]]:
        """Return the outputs of each model for a domain with given pairs.

        Arguments, outputs and errors are those of :meth:`multifit.Potential.evaluate_pairs`. Pairs
        must reach to the largest cutoff, :attr:`rcut`, and ghosts to :attr:`halo`.
        """
        wanted = Request(atom_virial)
        for each in self.potentials:
            check_request(each.model, each.backend.name, wanted)
        if halo is not None:
            check_halo(halo, self.halo, self.rcut)
        first = self.potentials[0]
        rij, i, j, atype, fparam, aparam = on_host(
            first.backend, rij=rij, i=i, j=j, atype=atype, fparam=fparam, aparam=aparam
        )
        types = first.type_indices(atype)
        found: list[Outputs] = [{} for _ in self.potentials]
        for group in self._groups:
            shared = SharedNeighbors(self.potentials[group[0]].runner.neighbors)
            pairs = None
            for k in group:
                own = self.potentials[k]
                given = domain(
                    own.model, own.backend, rij, i, j, self.types_of(k, types), nlocal, fparam,
                    aparam,
                )  # fmt: skip
                pairs = given.pairs if pairs is None else pairs
                found[k] = own.runner.run_domain(replace(given, pairs=pairs), wanted, shared)
        return found


def _potential(
    model: Potential | str | Path, backend: str | Backend | None, atoms_at_once: int | None
) -> Potential:
    """Return a model file as a potential, and a potential unchanged."""
    if not isinstance(model, Potential):
        return load(model, backend or "numpy", atoms_at_once=atoms_at_once)
    name = canonical_name(backend) if isinstance(backend, str) else getattr(backend, "name", None)
    if name not in (None, model.backend.name):
        raise BackendError(
            f"a potential is on {model.backend.name}, not on {name}; leave out backend, or give "
            "model files"
        )
    return model


def _numbering(ours: Sequence[str], theirs: Sequence[str]) -> np.ndarray:
    """Return the number in ``theirs`` of each name in ``ours``; −1 for virtual and unknown ones."""
    index = {name: k for k, name in enumerate(theirs)}
    return np.array([*(index.get(name, -1) for name in ours), -1], dtype=np.int64)


def _groups(potentials: Sequence[Potential]) -> list[list[int]]:
    """Return the models that share neighbours."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for k, each in enumerate(potentials):
        model, needs = each.model, each.model.descriptor.requires()
        key = (
            *(needs.rcut, tuple(needs.sel), needs.total, needs.hops),
            *(model.pair_exclude_types, model.type_map, model.fitting.use_aparam_as_mask),
        )
        groups.setdefault(key, []).append(k)
    return list(groups.values())


def _spans(structures: Sequence[Structure], limit: int) -> Iterator[slice]:
    """Yield consecutive structures with at most ``limit`` atoms, and at least one."""
    start, total = 0, 0
    for k, s in enumerate(structures):
        if k > start and total + len(s.atype) > limit:
            yield slice(start, k)
            start, total = k, 0
        total += len(s.atype)
    if len(structures) > start:
        yield slice(start, len(structures))
