"""DeePMD-kit's ``.dp``: HDF5 with one JSON text, and one dataset for each array.

The root attribute ``json`` holds the nested dict, in which ``"/variable_0007"`` under a key
``"@variables"`` names a dataset of the root group. A file can be hostile: HDF5 itself would follow
links to other files, read any file as "external storage" and make terabytes out of a few bytes.
So only contiguous datasets of plain numbers are read, which are never larger than the file.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multifit.errors import FileFormatError
from multifit.files import _json
from multifit.files._integrity import MARK, seal, verified
from multifit.files._tree import DTYPES, IS_VARIABLE, Array, attach, detach

if TYPE_CHECKING:
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_JSON = 32 * 2**20  # bytes; a model of 100 element types has about 1 MB
#: Bytes by which a file in memory grows, small and large ones: each time it may be copied.
BLOCK, MOST_BLOCK = 2**20, 2**24
_NAME = re.compile(r"/?([A-Za-z_]\w*)", re.ASCII)


def encode(data: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the dict as an HDF5 file and its seal; the same dict always gives the same bytes."""
    import h5py

    arrays: list[Array] = []
    known: dict[int, str] = {}

    def store(array: Array) -> str:
        # One array in several places (layers that share parameters) is one dataset.
        if id(array) not in known:
            known[id(array)] = f"/variable_{len(arrays):04d}"
            arrays.append(array)  # alive, so that no other gets its id
        return known[id(array)]

    text = _json.dump(detach(data, store))
    if len(text) > MAX_JSON:
        raise ValueError(f"the model has {len(text)} bytes of text, more than {MAX_JSON}")
    # In memory, so that the file on disk is written by one plain, checkable write. The name is
    # never a file; it differs between threads because HDF5 opens a name only once.
    name = f"multifit-{id(arrays):x}"
    block = min(max(sum(array.nbytes for array in arrays), BLOCK), MOST_BLOCK)
    with h5py.File(name, "w", driver="core", backing_store=False, block_size=block) as file:
        for number, array in enumerate(arrays):
            file.create_dataset(f"variable_{number:04d}", data=array)
        file.attrs["json"] = text
        file.attrs[MARK] = 1
        file.flush()
        image: bytes = file.id.get_file_image()
    return image, seal(image)


def decode(content: bytes, path: Path) -> dict[str, Any]:
    """Return the dict of such a file, verified if it is sealed."""
    size = verified(content, path)
    if not content.startswith(SIGNATURE):
        raise FileFormatError(f"{path} is not an HDF5 file; check that it is a .dp model")
    import h5py

    restore = "restore it from a copy, or use the previous checkpoint"
    try:
        opened = h5py.File(h5py.h5f.open_file_image(content))  # HDF5 ignores the seal
    # HDF5's message only says that it has no file.
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise FileFormatError(f"{path} is truncated or damaged: {restore}") from error
    try:
        with opened as file:
            return _model(file, path, size)
    except FileFormatError:
        raise
    except MemoryError as error:
        raise FileFormatError(
            f"{path} needs more memory than there is; free some, or check the file"
        ) from error
    # h5py's exception depends on the layer that detects the damage.
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise FileFormatError(
            f"{path} is truncated or damaged (HDF5 says: {error}): {restore}"
        ) from error


def _model(file: h5py.File, path: Path, size: int) -> dict[str, Any]:
    """Return the dict of an open file of ``size`` bytes."""
    left = size
    known: dict[str, Array] = {}

    def fetch(node: Any, where: str) -> Array:
        nonlocal left
        match = _NAME.fullmatch(node) if isinstance(node, str) else None
        if match is None:
            shown = f"a dict with {IS_VARIABLE}" if isinstance(node, dict) else repr(node)[:80]
            raise FileFormatError(
                f"{path}: {where} is {shown}, not the name of a dataset; restore it from a copy"
            )
        if match[1] in known:
            return known[match[1]]
        dataset = _plain_dataset(file, match[1], f"{path}: {where} names {node}")
        left -= math.prod(dataset.shape) * dataset.dtype.itemsize
        if left < 0:  # two names of one dataset, or two stretches of the file that overlap
            raise FileFormatError(f"{path} declares more data than it holds; it is not a model")
        known[match[1]] = _values(dataset)
        return known[match[1]]

    tree = _json.load(_json_text(file, path), path)
    return attach(tree, path, fetch)


def _json_text(file: h5py.File, path: Path) -> bytes:
    """Return the JSON of the root attribute, if it is one text of sane length."""
    import h5py

    if not h5py.h5a.exists(file.id, b"json"):
        raise FileFormatError(
            f"{path} is an HDF5 file but not a model: it has no root attribute 'json'; give a .dp "
            "file of multifit or DeePMD-kit"
        )
    attribute = h5py.h5a.open(file.id, b"json")
    is_text = isinstance(attribute.get_type(), h5py.h5t.TypeStringID)
    if not is_text or attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        raise FileFormatError(
            f"{path} is an HDF5 file but not a model: its root attribute 'json' is not one text"
        )
    value = file.attrs["json"]
    text = value if isinstance(value, bytes) else str(value).encode("utf-8")
    if len(text) > MAX_JSON:
        raise FileFormatError(f"{path} has {len(text)} bytes of JSON; it is not a model")
    return text


def _plain_dataset(file: h5py.File, name: str, named: str) -> h5py.Dataset:
    """Return the dataset of the root group, or raise unless it is plain numbers in this file.

    Parameters
    ----------
    file
        The open file.
    name
        A name without slashes.
    named
        The beginning of the error.
    """
    import h5py

    links = file.id.links  # these questions do not follow a link
    if not links.exists(name.encode()):
        raise FileFormatError(f"{named}, which the file does not have; restore it from a copy")
    if links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise FileFormatError(f"{named}, which is a link to elsewhere; refused, it is not a model")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise FileFormatError(f"{named}, which is not a dataset; it is not a model")
    layout = dataset.id.get_create_plist()
    if layout.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        raise FileFormatError(
            f"{named}, which is compressed, chunked or virtual; refused, rewrite the file with "
            "`h5repack -l CONTI`"
        )
    if layout.get_external_count():
        raise FileFormatError(f"{named}, which lies in another file; refused, it is not a model")
    if not _is_numeric(dataset):
        raise FileFormatError(f"{named}, which does not hold plain numbers; it is not a model")
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    if declared > dataset.id.get_storage_size():
        raise FileFormatError(
            f"{named}, which declares {declared} bytes and has {dataset.id.get_storage_size()}; "
            "refused, it is not a model"
        )
    return dataset


def _is_numeric(dataset: h5py.Dataset) -> bool:
    """Return True if a dataset has a shape and booleans, integers or floats of at most 64 bits."""
    import h5py

    if dataset.shape is None:
        return False
    kind = dataset.id.get_type()
    if isinstance(kind, h5py.h5t.TypeEnumID):  # as h5py stores booleans
        return bool(dataset.dtype == np.bool_)
    if not isinstance(kind, h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID):
        return False
    return dataset.dtype.newbyteorder("=").name in DTYPES


def _values(dataset: h5py.Dataset) -> Array:
    """Return the numbers of a dataset in native byte order, any shape."""
    array = np.empty(dataset.shape, dataset.dtype.newbyteorder("="))
    if array.size:
        dataset.read_direct(array)
    return array
