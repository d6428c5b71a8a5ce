"""Checks that the arrays of a set fit together, and rows of those that do."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DataError
from ._contents import FrameSet
from ._labels import LABELS, Label
from ._stored import Array, Stored


def check_shape(stored: Stored, label: Label, nframes: int, natoms: int) -> None:
    """Raise :class:`DataError` unless the array holds the label for all frames and atoms.

    The first axis must be the frames; the shape of the numbers of one frame is arbitrary. As in old
    DeePMD data, all frames may instead be concatenated in one row; an array without a first axis
    is interpreted so only if its length has no other meaning.
    """
    size = label.frame_size(natoms)
    shape = stored.shape
    first = shape[0] if shape else 1

    def fits(frames: int) -> bool:
        if frames == 0:
            return stored.size == 0
        each, rest = divmod(stored.size, frames)
        return rest == 0 and (each > 0 and each % size == 0 if label.has_ndof else each == size)

    row = shape[:1] == (1,) or (len(shape) == 1 and not label.has_ndof)
    if (first == nframes or nframes == 1 or row) and fits(nframes):
        return
    if first != nframes and fits(first):
        raise DataError(
            f"{stored.where} holds {_count(first)}, but coord.npy of the same set holds "
            f"{nframes}; all files of a set need the same number of frames"
        )
    columns = f"k·{size}" if label.has_ndof and size > 1 else "k" if label.has_ndof else str(size)
    expected = f"({nframes},)" if label.shape == () else f"({nframes}, {columns})"
    reasons = [] if label.key == "coord" else [f"coord.npy holds {_count(nframes)}"]
    if "natoms" in label.shape or "3natoms" in label.shape:
        reasons.append(f"type.raw lists {natoms} atoms")
    raise DataError(
        f"{stored.where} has shape {shape}, expected {expected} because {' and '.join(reasons)}"
    )


def _count(nframes: int) -> str:
    return f"{nframes} frame{'s' * (nframes != 1)}"


def infer_ndof(sets: Sequence[FrameSet], natoms: int) -> dict[str, int]:
    """Return the size of the free axis of each label that has one.

    Raises
    ------
    DataError
        If two sets disagree.
    """
    result: dict[str, int] = {}
    for each in sets:
        for key, stored in each.arrays.items():
            if key not in LABELS or not LABELS[key].has_ndof or each.nframes == 0:
                continue
            ndof = stored.size // (each.nframes * LABELS[key].frame_size(natoms))
            if result.setdefault(key, ndof) != ndof:
                raise DataError(
                    f"{stored.where} holds {ndof} numbers per {_owner(key)}, but the sets before "
                    f"it hold {result[key]}; they must agree"
                )
    return result


def _owner(key: str) -> str:
    return "atom" if "natoms" in LABELS[key].shape else "frame"


def read_rows(stored: Stored, rows: Array, nframes: int, shape: tuple[int, ...]) -> Array:
    """Return rows of an array that passed :func:`check_shape`, each folded to ``shape``."""
    if stored.shape[:1] != (nframes,):  # one long row, see check_shape: old, small files
        return stored.read(...).reshape(nframes, *shape)[rows]
    return stored.read(rows).reshape(rows.size, *shape)
