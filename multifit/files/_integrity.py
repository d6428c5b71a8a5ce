"""The seal of a file: ``MFSHA256`` and the sha256 of all bytes before it, 40 bytes at the end.

HDF5 has no checksum over its data, and its library may crash on a damaged file; so the seal is
verified before the file is opened. HDF5 readers, DeePMD-kit's among them, ignore what follows
the end that the file's header states.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from multifit.errors import FileFormatError

MAGIC = b"MFSHA256"
LENGTH = len(MAGIC) + hashlib.sha256().digest_size
# The name of a root attribute that marks a sealed file. HDF5 stores names literally, so a
# lost seal is noticed by looking for it in the bytes, without opening a file that is damaged.
MARK = "multifit_sha256_trailer"


def seal(content: bytes) -> bytes:
    """Return the seal of the content, which is to follow it in the file."""
    return MAGIC + hashlib.sha256(content).digest()


def verified(content: bytes, path: Path) -> int:
    """Return the number of bytes before the seal, verified, or of all if there never was one.

    Nothing is copied: a checkpoint may be large.

    Parameters
    ----------
    content
        All bytes of the file.
    path
        Their origin, for the error.
    """
    size = max(len(content) - LENGTH, 0)
    if content[size:].startswith(MAGIC):
        if hashlib.sha256(memoryview(content)[:size]).digest() != content[size + len(MAGIC) :]:
            raise FileFormatError(
                f"{path} is damaged (its checksum does not match): restore it from a copy, or use "
                "the previous checkpoint"
            )
        return size
    if MARK.encode() in content:
        raise FileFormatError(
            f"{path} is truncated or damaged (its checksum is missing): restore it from a copy, or "
            "use the previous checkpoint"
        )
    return len(content)
