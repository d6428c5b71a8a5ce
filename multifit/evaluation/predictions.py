"""Predictions of a model beside the labels of a data system, in chunks that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..data import System, parameters, snapshot
from ..inference.potential import Potential
from ..inference.runner import Request
from ..inference.structure import Structure
from ..models import Model
from . import labels
from .metrics import Errors


def compared(model: Model, hessian: bool = False) -> tuple[str, ...]:
    """Return the labels with which predictions of a model are compared."""
    # Quantities computed on request only are slow.
    return tuple(v.label for v in model.output.labelled if hessian or not v.on_request)


@dataclass(frozen=True)
class Chunk:
    """Some frames of a system.

    Attributes
    ----------
    frames
        Their indices, (n,).
    atype
        Types of their atoms, −1 for virtual ones, (n, natoms).
    weight
        Weight of the energy of each atom in the energy of its frame, (n, natoms).
    output
        ``energy`` (n,), ``force`` (n, natoms, 3), … as :class:`multifit.Potential` returns them,
        except for the weights in ``energy``.
    label
        Available labels, of the same shapes.
    """

    frames: np.ndarray
    atype: np.ndarray
    weight: np.ndarray
    output: dict[str, np.ndarray]
    label: dict[str, np.ndarray]

    @property
    def real(self) -> np.ndarray:
        """Mask of the real atoms, (n, natoms)."""
        return self.atype >= 0


def compare(
    potential: Potential,
    system: System,
    frames: np.ndarray | None = None,
    *,
    coefficients: bool = False,
    hessian: bool = False,
) -> Errors:
    """Return the errors of a model for the labels of a system.

    Parameters
    ----------
    potential
        The model.
    system
        The data, with the model's ``type_map``.
    frames
        Indices of frames (n,); None for all.
    coefficients, hessian
        As for :func:`predictions`.

    Raises
    ------
    DataError
        If the model needs parameters that the data lack, or the data cannot be read.
    """
    errors = Errors()
    chunks = predictions(potential, system, frames, coefficients=coefficients, hessian=hessian)
    for chunk in chunks:
        errors.add(chunk.output, chunk.label, chunk.real)
    return errors


def predictions(
    potential: Potential,
    system: System,
    frames: np.ndarray | None = None,
    *,
    coefficients: bool = False,
    hessian: bool = False,
) -> Iterator[Chunk]:
    """Yield predictions and labels of the frames of a system, in their order.

    Parameters
    ----------
    frames
        Indices of frames (n,); None for all.
    coefficients
        True if energies are sums with the coefficients of ``atom_ener_coeff.npy``, if present;
        otherwise with 1.
    hessian
        True to predict Hessians too, if the system has labels of them.
    """
    chosen = np.arange(system.nframes) if frames is None else np.asarray(frames, dtype=np.int64)
    size = at_once(potential, system)
    for start in range(0, len(chosen), size):
        chunk = _predict(potential, system, chosen[start : start + size], hessian)
        yield _weighted(potential.model, system, chunk) if coefficients else chunk


def at_once(potential: Potential, system: System) -> int:
    """Return the number of frames of a system that are evaluated at once."""
    return max(1, potential.runner.at_once // max(system.natoms, 1))


def _weighted(model: Model, system: System, chunk: Chunk) -> Chunk:
    """Return the frames with sums over atoms weighted by the coefficients of the data."""
    output = model.output
    if output.coefficients not in system.labels:
        return chunk
    weight = system.load(chunk.frames, [output.coefficients])[output.coefficients]
    total = (weight * chunk.output[output.atomic.key]).sum(axis=1)
    return replace(chunk, weight=weight, output={**chunk.output, output.name: total})


def first_frames(system: System, limit: int | None) -> np.ndarray:
    """Return the indices of the first frames of a system, at most ``limit``."""
    return np.arange(system.nframes if not limit else min(limit, system.nframes))


def spread_frames(system: System, limit: int | None) -> np.ndarray:
    """Return the indices of at most ``limit`` frames, evenly spread over the system."""
    if not limit or limit >= system.nframes:
        return np.arange(system.nframes)
    return np.arange(limit) * system.nframes // limit


def structures(
    model: Model, system: System, frames: np.ndarray, arrays: dict[str, np.ndarray]
) -> list[Structure]:
    """Return frames of a system with the parameters that a model takes.

    Parameters
    ----------
    frames
        Indices of frames (n,).
    arrays
        Result of :meth:`multifit.data.System.load` for them, with ``fparam`` and ``aparam``.
    """
    fit = model.fitting
    extra = parameters(system, arrays, fit.numb_fparam, fit.numb_aparam, fit.default_fparam)
    return [
        Structure(
            *snapshot(system, int(frame), arrays, k, fit.use_aparam_as_mask),
            *(None if x is None else x[k] for x in extra),
        )
        for k, frame in enumerate(frames)
    ]


def _predict(potential: Potential, system: System, frames: np.ndarray, hessian: bool) -> Chunk:
    """Return the predictions for some frames, which together fit into memory."""
    model = potential.model
    wanted = compared(model, hessian)
    arrays = labels.load(model, system, frames, (*wanted, "fparam", "aparam"))
    given = structures(model, system, frames, arrays)
    rows = potential.runner.run(given, Request(hessian="hessian" in arrays))
    atype = np.stack([one.atype for one in given])
    return Chunk(
        frames,
        atype,
        np.ones(atype.shape),
        {key: np.stack([row[key] for row in rows]) for key in rows[0]},
        {key: arrays[key] for key in wanted if key in arrays},
    )
