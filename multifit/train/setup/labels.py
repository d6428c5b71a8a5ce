"""Labels of the loss: checks against the data, and arrays in the order of a batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...batching.batch import Layout
from ...console.words import NAMES, few
from ...data import WEIGHTS, System, mapping_of, where
from ...errors import DataError
from ...loss import LossConfig
from ...neighbors.frame import Frame


def check_labels(kind: str, systems: Sequence[System], loss: LossConfig) -> None:
    """Raise if no term has its labels anywhere in the data, or a label has another size.

    Hessians are so expensive that a term of them without labels is an error, and not just off.

    Parameters
    ----------
    kind
        ``"training"`` or ``"validation"``, for messages.

    Raises
    ------
    DataError
        Naming what is missing, or the file and both sizes.
    """
    needed = [loss.needs(term) for term in loss.terms]
    if not any(set(keys) <= system.labels for system in systems for keys in needed):
        wanted = ", ".join(dict.fromkeys(" with ".join(keys) for keys in needed))
        raise DataError(
            f"no {kind} system has any of the labels that the loss compares with "
            f"({wanted}): add them to the data, or change the prefactors in loss"
            f"{_other_terms(systems, loss)}{_read(systems, loss.labels, kind)}"
        )
    hessians = any("hessian" in system.labels for system in systems)
    if kind == "training" and loss.needs_hessian and not hessians:
        raise DataError(
            "the loss fits the Hessian, but no training system has hessian.npy: add it, or set "
            "loss.start_pref_h and loss.limit_pref_h to 0"
        )
    if "drdq" not in loss.labels:
        return
    *_, given = loss.axes("drdq", natoms=0)  # for any number of atoms
    for system in systems:
        found = system.ndof.get("drdq", given)
        if found != given:
            file = next(each.arrays["drdq"].where for each in system.sets if "drdq" in each.arrays)
            raise DataError(
                f"{file} holds the derivatives of {found} generalized coordinates, but "
                f"loss.numb_generalized_coord is {given}; change one of them"
            )


def _other_terms(systems: Sequence[System], loss: LossConfig) -> str:
    """Return alternative labels in the data, with the prefactors that would fit them."""
    found: dict[str, str] = {}
    for name, term in loss.table.items():
        if any({term.label, *term.more} <= system.labels for system in systems):
            # The first term of a label is the plain one.
            found.setdefault(term.label, f"{term.label} (start_pref_{name}, limit_pref_{name})")
    return f"; the data have {few(list(found.values()))}" if found else ""


def _read(systems: Sequence[System], labels: Sequence[str], kind: str = "") -> str:
    """Return the ``keys`` of the input that would read labels under other names, or nothing.

    Parameters
    ----------
    kind
        As of :func:`check_labels`: the names in the data are told in any case.
    """
    about, keys = mapping_of(systems, labels)
    if not keys:
        return f"; {about}" if about and kind else ""
    section = f" in training.{kind}_data" if kind else ""
    return f'; {about}, which "keys": {json.dumps(keys)}{section} would read'


def missing(kind: str, systems: Sequence[System], loss: LossConfig) -> Iterator[str]:
    """Yield a sentence for each label missing from some systems, with the consequences.

    Parameters
    ----------
    kind
        Words before the names of the systems, such as ``"the validation data "``.
    """
    for label in loss.labels:
        without = [system for system in systems if label not in system.labels]
        if not without:
            continue
        off = [term for term in loss.terms if label in loss.needs(term)]
        if not off:
            owner = "atom" if loss.kind(label).per_atom else "frame"
            follows = f"it is {loss.kind(label).default:g} for every {owner} there"
        elif len(off) == 1:
            follows = f"the term {off[0]} of the loss ({loss.title(off[0])}) is off there"
        else:
            follows = f"the terms {', '.join(off)} of the loss are off there"
        names = few([system.name for system in without])
        if len(without) > NAMES:
            names = f"{len(without)} of {len(systems)} systems ({names})"
        yield f"no {label}{_ending(without)} in {kind}{names}: {follows}{_read(without, [label])}"


def _ending(systems: Sequence[System]) -> str:
    """Return the ending of the files that hold labels, empty unless each label has its own."""
    stored = (array for system in systems for each in system.sets for array in each.arrays.values())
    return ".npy" if all(array.where.endswith(".npy") for array in stored) else ""


def as_batch(
    loss: LossConfig,
    given: Sequence[tuple[System, Mapping[str, np.ndarray]]],
    ready: Sequence[Frame],
    layout: Layout,
) -> dict[str, np.ndarray]:
    """Return the labels of some frames, and ``find_<label>`` = 1 for those in the data, else 0.

    Parameters
    ----------
    given
        Systems with the same labels, and the arrays of each for its frames.
    ready, layout
        The frames in the form of the batch, and the places of their atoms.
    """
    label = {}
    for key in loss.labels:
        kind, there = loss.kind(key), all(key in arrays for _, arrays in given)
        label[f"find_{key}"] = np.asarray(float(there))
        if not there:
            rows = len(layout.frame) if kind.per_atom else layout.nframes
            label[key] = np.full((rows, *loss.axes(key, given[0][0].natoms)), kind.default)
            continue
        values = [
            value for system, arrays in given for value in _by_frame(loss, system, key, arrays[key])
        ]
        if "3natoms" in kind.shape:  # its last axis includes columns of virtual atoms
            real = [np.repeat(frame.atype >= 0, 3) for frame in ready]
            values = [x * columns for x, columns in zip(values, real, strict=True)]
        label[key] = layout.spread(values) if kind.per_atom else layout.padded(np.stack(values))
    return label


def _by_frame(loss: LossConfig, system: System, key: str, array: np.ndarray) -> np.ndarray:
    """Return a label of some frames of a system with an axis for each, (nframes, [natoms,] …)."""
    atoms = (system.natoms,) if loss.kind(key).per_atom else ()
    return array.reshape(len(array), *atoms, *loss.axes(key, system.natoms))


def check_weights(
    system: System, frames: np.ndarray, arrays: Mapping[str, np.ndarray], ready: Sequence[Frame]
) -> None:
    """Raise for a negative weight, with which a larger error would give a smaller loss.

    Parameters
    ----------
    frames
        Indices of frames of the system, (n,).
    arrays, ready
        Arrays of the system, and the frames themselves: virtual atoms may have any weight.

    Raises
    ------
    DataError
        Naming the file, the frame and the atom.
    """
    for key in WEIGHTS.keys() & arrays.keys():
        wrong = np.flatnonzero(arrays[key] < 0)
        if wrong.size:
            frame = int(frames[wrong[0]])
            raise DataError(
                f"{where(system, frame, key)}: the weight of the frame is "
                f"{arrays[key][wrong[0]]:g}, but must be ≥ 0"
            )
    if "atom_pref" not in arrays:
        return
    weights = arrays["atom_pref"].reshape(len(frames), system.natoms)
    real = np.stack([frame.atype >= 0 for frame in ready])
    below = np.argwhere((weights < 0) & real)
    if len(below):
        row, atom = (int(i) for i in below[0])
        raise DataError(
            f"{where(system, int(frames[row]), 'atom_pref')}: the weight of atom {atom} is "
            f"{weights[row, atom]:g}, but must be ≥ 0"
        )
