"""The pages of an LMDB file: the names of its values and where they lie.

The file is read and never mapped into memory, which the library does: a page beyond the end of a
truncated file, or of one that shrinks, would kill the process. It may also be open in several
places at once, and after a fork.

The format is version 1 on a 64-bit little-endian machine. Page 0 and page 1 describe the file; the
newer one is valid. The values are in a tree of pages: a branch has the numbers of further pages, a
leaf names and values, and a value too large for a leaf has pages of its own.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ._stored import open_regular, reading

_HEADER = struct.Struct("<QHHHH")  #: of a page: its number, padding, flags, lower and upper end
_META = struct.Struct("<IIQQ")  #: magic number, version, address, size of the map
_TREE = struct.Struct("<IHHQQQQQ")  #: padding, flags, depth, three numbers of pages, entries, root
_LAST = struct.Struct("<QQ")  #: last page, number of the transaction
_NODE = struct.Struct("<HHHH")  #: size (two halves), flags, size of the name

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _META_PAGE, _KIND = 0x01, 0x02, 0x08, 0x2F
_OWN_PAGES, _NO_PLAIN_VALUE = 0x01, 0x06

#: Size of a page, in bytes.
_SIZES = (1 << 9, 1 << 16)

#: Depth of a tree that the library itself can follow.
_DEPTH = 32

_NOBODY = (1 << 64) - 1  #: root of an empty tree


class Value(NamedTuple):
    """A value of the file: its name, its place and its size in bytes."""

    name: bytes
    place: int
    size: int


class _Meta(NamedTuple):
    transaction: int
    page: int
    entries: int
    root: int
    last: int


def values(path: Path, where: str) -> Iterator[Value]:
    """Yield the values of a file in the order of their names.

    Parameters
    ----------
    path
        The file ``data.mdb``.
    where
        The same for messages.

    Raises
    ------
    DataError
        If it is no such file, or is truncated or damaged.
    """
    with reading(where), open_regular(path, where) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_SIZES[1] + 4096)
        meta = _meta(head, where)
        promised = (meta.last + 1) * meta.page
        if size < promised:
            raise DataError(
                f"{where} is truncated: it promises {promised} bytes, but there are {size}; copy "
                "it again"
            )
        if meta.root == _NOBODY:
            return
        seen = 0
        pages = [(meta.root, 1)]
        while pages:
            number, depth = pages.pop()
            seen += 1
            if not 2 <= number <= meta.last or depth > _DEPTH or seen > meta.last:
                raise _damaged(where, f"page {number} cannot belong to its tree")
            file.seek(number * meta.page)
            page = file.read(meta.page)
            if len(page) < meta.page:
                raise _damaged(where, f"page {number} is incomplete")
            kind, nodes = _nodes(page, number, where)
            if kind == _BRANCH:
                pages += [(_child(page, node), depth + 1) for node in reversed(nodes)]
            else:
                yield from (_value(page, number, node, promised, where) for node in nodes)


def _damaged(where: str, why: str) -> DataError:
    return DataError(f"{where} is damaged: {why}; copy or write it again")


def _meta(head: bytes, where: str) -> _Meta:
    """Return the newer description of the file."""
    first = _meta_at(head, 0, where)
    try:
        second = _meta_at(head, first.page, where)
    except DataError:
        return first  # a run that wrote it was killed meanwhile
    return max(first, second)


def _meta_at(head: bytes, start: int, where: str) -> _Meta:
    end = _HEADER.size + _META.size + 2 * _TREE.size + _LAST.size
    content = head[start : start + end]
    if len(content) < end:
        raise DataError(f"{where} is not an LMDB file: it has only {len(head)} bytes")
    place = _HEADER.size
    flags = _HEADER.unpack_from(content)[2]
    magic, version, _, _ = _META.unpack_from(content, place)
    if magic != _MAGIC or not flags & _META_PAGE:
        raise DataError(
            f"{where} is not an LMDB file of a little-endian machine: it begins with other bytes; "
            "check the file"
        )
    if version != _VERSION:
        raise DataError(
            f"{where} has version {version} of the format of LMDB, but only version {_VERSION} "
            "can be read"
        )
    place += _META.size
    page = _TREE.unpack_from(content, place)[0]
    _, flags, _, _, _, _, entries, root = _TREE.unpack_from(content, place + _TREE.size)
    last, transaction = _LAST.unpack_from(content, place + 2 * _TREE.size)
    if not _SIZES[0] <= page <= _SIZES[1] or page & (page - 1) or flags:
        raise _damaged(where, f"its pages have {page} bytes and flags {flags}")
    return _Meta(transaction, page, entries, root, last)


def _nodes(page: bytes, number: int, where: str) -> tuple[int, list[int]]:
    """Return the kind of a page and the places of its nodes."""
    own, _, flags, lower, upper = _HEADER.unpack_from(page)
    kind = flags & _KIND
    count, odd = divmod(lower - _HEADER.size, 2)
    if own != number or kind not in (_BRANCH, _LEAF) or odd or not lower <= upper <= len(page):
        raise _damaged(where, f"page {number} is no page of its tree")
    nodes = list(struct.unpack_from(f"<{count}H", page, _HEADER.size))
    if any(not upper <= node <= len(page) - _NODE.size for node in nodes):
        raise _damaged(where, f"page {number} has a node outside of it")
    return kind, nodes


def _child(page: bytes, node: int) -> int:
    low, high, flags, _ = _NODE.unpack_from(page, node)
    return int(low | high << 16 | flags << 32)


def _value(page: bytes, number: int, node: int, end: int, where: str) -> Value:
    """Return the value of a node of a leaf.

    Parameters
    ----------
    end
        Number of bytes in the file.
    """
    low, high, flags, length = _NODE.unpack_from(page, node)
    size, start = low | high << 16, node + _NODE.size
    name = page[start : start + length]
    inside = start + length
    if flags & _NO_PLAIN_VALUE:
        raise DataError(
            f"{where}: {name[:40]!r} is a database of its own or has several values; data have one "
            "value for each name"
        )
    if not flags & _OWN_PAGES:
        if inside + size > len(page):
            raise _damaged(where, f"a value of page {number} ends outside of it")
        return Value(name, number * len(page) + inside, size)
    if inside + 8 > len(page):
        raise _damaged(where, f"a value of page {number} ends outside of it")
    (first,) = struct.unpack_from("<Q", page, inside)
    place = first * len(page) + _HEADER.size
    if first < 2 or place + size > end:
        raise _damaged(where, f"a value of page {number} ends outside of the file")
    return Value(name, place, size)
