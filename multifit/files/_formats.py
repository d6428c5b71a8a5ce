"""Reading and writing by file extension."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from multifit.errors import FileFormatError, did_you_mean
from multifit.files import _hdf5, _json, _yaml
from multifit.files._atomic import try_file, write_atomically


class Format(NamedTuple):
    """A conversion of a nested dict to the pieces of a file and back; ``limit`` is in bytes."""

    encode: Callable[[dict[str, Any]], tuple[bytes, ...]]
    decode: Callable[[bytes, Path], dict[str, Any]]
    limit: int


# The limits only keep a wrong file from filling the memory: a model takes some megabytes, and
# text may take twenty times its size in memory while it is parsed.
_HDF5 = Format(_hdf5.encode, _hdf5.decode, 8 * 2**30)
_JSON = Format(_json.encode, _json.decode, 2**28)
_YAML = Format(_yaml.encode, _yaml.decode, 2**28)

FORMATS = {
    ".dp": _HDF5,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".json": _JSON,
    ".yaml": _YAML,
    ".yml": _YAML,
}
FROZEN = (".pb", ".pth", ".pt", ".pt2", ".pte", ".pd", ".savedmodel", ".jax", ".hlo")


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the nested dict of a model or checkpoint file, with NumPy arrays in it.

    A file written by :func:`write` is verified against its own checksum before anything in it is
    interpreted; of any other HDF5 file only plain numeric datasets are read.

    Parameters
    ----------
    path
        A file whose name ends in ``.dp``, ``.h5``, ``.hdf5``, ``.json``, ``.yaml`` or ``.yml``.

    Raises
    ------
    FileFormatError
        If the file is missing, unreadable, damaged, truncated, hostile or of another kind.
    """
    path = Path(path)
    form = _format_of(path)
    return form.decode(_content(path, form.limit), path)


def write(path: str | os.PathLike[str], data: dict[str, Any]) -> None:
    """Write the nested dict to a file; a crash leaves the old file or the new one, never a part.

    Parameters
    ----------
    path
        File to write; the extension selects the format, as in :func:`read`.
    data
        Content, not modified: arrays under keys ``"@variables"`` (booleans, integers and floats
        of at most 64 bits), and outside of them only finite numbers, text, ``None``, dicts and
        lists. Text formats keep every bit too, except the sign and payload of a NaN.

    Raises
    ------
    FileFormatError
        If the file cannot be written; the previous one is then kept.
    TypeError, ValueError
        If ``data`` holds something that no format supports.
    """
    path = Path(path)
    write_atomically(path, *_format_of(path).encode(data))


def try_write(path: str | os.PathLike[str], data: dict[str, Any]) -> int:
    """Return the size in bytes of the file that :func:`write` would write, and try to do so.

    Nothing is left on the disk.

    Raises
    ------
    FileFormatError
        If the file could not be written.
    """
    path = Path(path)
    content = _format_of(path).encode(data)
    try_file(path, *content)
    return sum(map(len, content))


def _format_of(path: Path) -> Format:
    """Return the format of a file extension."""
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return FORMATS[suffix]
    if suffix in FROZEN:
        raise FileFormatError(
            f"{path} is a frozen DeePMD-kit model, which only its own framework can open; convert "
            f"it with `dp convert-backend {path} {path.with_suffix('.dp')}`"
        )
    raise FileFormatError(
        f"{path} has the unknown ending {suffix!r}{did_you_mean(suffix, FORMATS)}; the name of a "
        f"model or checkpoint file ends in {', '.join(FORMATS)}"
    )


def _content(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file that is not empty and at most ``limit`` bytes long."""
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            raise FileFormatError(f"{path} is a folder; give the model file inside it")
        if not stat.S_ISREG(info.st_mode):  # opening a pipe would wait forever
            raise FileFormatError(f"{path} is not a regular file; give a model file")
        if info.st_size > limit:
            raise FileFormatError(
                f"{path} has {info.st_size / 2**30:.1f} GB, more than the {limit / 2**30:g} GB of "
                "the largest model file; check that it is a model"
            )
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FileFormatError(f"{path} does not exist; check the name and the folder") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        if isinstance(error, FileFormatError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise FileFormatError(
            f"{path} cannot be read ({reason}); check the name and its permissions"
        ) from error
    if not content:
        raise FileFormatError(
            f"{path} is empty; restore it from a copy, or use the previous checkpoint"
        )
    return content
