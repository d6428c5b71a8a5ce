"""Objects of HDF5 data files, found without leaving the file.

A file may be hostile: HDF5 follows links to other files, reads any file as "external storage" or
through a virtual dataset, and declares terabytes in a few bytes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ._stored import MAX_TEXT

if TYPE_CHECKING:
    import h5py

#: More bytes declared than compression can explain (deflate reaches 1032 to 1).
RATIO = 2000

#: Largest chunk in bytes: HDF5 unpacks all of it for one frame. h5py's own are below 1 MiB.
MAX_CHUNK = 1 << 28


def find(file: h5py.File, address: str) -> h5py.Group | h5py.Dataset | None:
    """Return the object at an address, reached through hard links only; None if there is none.

    Raises
    ------
    DataError
        If a link on the way leads elsewhere.
    """
    import h5py

    found: Any = file["/"]
    for part in address.strip("/").split("/"):
        if not part:
            continue
        if not isinstance(found, h5py.Group) or not found.id.links.exists(part.encode()):
            return None
        if found.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            raise DataError(
                f"{file.filename}#{found.name.rstrip('/')}/{part} is a link to elsewhere, which is "
                "not followed; store the data themselves in the file"
            )
        found = found[part]
    return found


def dataset(file: h5py.File, address: str, where: str) -> h5py.Dataset:
    """Return a dataset whose values lie in the file.

    Raises
    ------
    DataError
        If there is none, or its values lie elsewhere or are fewer than declared.
    """
    import h5py

    found = find(file, address)
    if found is None:
        raise DataError(f"{where} disappeared while it was in use; restore it and start again")
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{where} is a group, but a dataset with numbers is expected")
    if found.shape is None:
        raise DataError(f"{where} is empty; store an array in it")
    if found.external or found.is_virtual:
        raise DataError(f"{where} lies in another file, which is not read; copy the data into it")
    declared = math.prod(found.shape) * found.dtype.itemsize
    stored = found.id.get_storage_size()
    packed = found.chunks is not None and found.id.get_create_plist().get_nfilters() > 0
    if packed and math.prod(found.chunks) * found.dtype.itemsize > MAX_CHUNK:
        raise DataError(
            f"{where} has compressed chunks of more than {MAX_CHUNK >> 20} MiB; write it with the "
            "chunks that h5py chooses"
        )
    if declared > stored * (RATIO if packed else 1):
        raise DataError(
            f"{where} declares {declared} bytes, but the file has {stored} of it; write it again"
        )
    return found


def text(file: h5py.File, address: str, where: str) -> list[str]:
    """Return the entries of a dataset of numbers or strings as text."""
    import numpy as np

    found = dataset(file, address, where)
    if found.size * found.dtype.itemsize > MAX_TEXT:
        raise DataError(
            f"{where} has more than {MAX_TEXT >> 20} MiB; check that it is the right one"
        )
    if found.dtype.kind not in "iuSO" or (found.dtype.kind == "O" and not _is_text(found)):
        raise DataError(
            f"{where} holds values of type {found.dtype}, but integers or text are needed"
        )
    values = np.ravel(found[()])
    try:
        return [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]
    except UnicodeDecodeError as exc:
        raise DataError(f"{where} is not text ({exc}); write it again") from exc


def _is_text(found: h5py.Dataset) -> bool:
    import h5py

    return h5py.check_string_dtype(found.dtype) is not None
