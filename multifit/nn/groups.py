"""Atoms in groups of types whose networks are applied in one batched product.

Atoms are sorted by type. A few types are evaluated one after the other, without padding. Of many
types, those with similar numbers of atoms form a group: their atoms are rows (types, n), padded
with repetitions of other atoms, whose results are not used. The number of operations then depends
on the number of groups, and their cost on the number of atoms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..backend import Rules
from ..tree import Tree
from .places import Places, exchanged

Array = Any

#: Up to as many types are evaluated one by one.
FEW = 4

#: The largest type of a group has at most GROWTH times the rows of the smallest, and SLACK more.
GROWTH, SLACK = 1.25, 4

#: The same for atoms: a net is read from memory for each product, which takes longer than the
#: product with as few rows, and a group with all types needs no copies of some nets.
THIN = 16

#: In place of numbers: a tree of nets with one array for all of them, (nets, …).
ALL = "all"


@dataclass(frozen=True)
class Group:
    """Some types, and the rows of their atoms."""

    kinds: tuple[int, ...]
    rows: slice | tuple[int, ...]  #: of a single type; or of all, (types · n) in order

    @property
    def single(self) -> bool:
        """True for a single type, whose arrays have no axis for types."""
        return isinstance(self.rows, slice)

    @property
    def size(self) -> int:
        """Number of rows of all types."""
        rows = self.rows
        return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


@dataclass(frozen=True)
class Groups:
    """All atoms in groups."""

    members: tuple[Group, ...]
    places: tuple[int, ...] | None  #: of the atoms among the rows of all groups; None if equal

    @property
    def in_order(self) -> bool:
        """True if the rows of all groups, one after the other, are the atoms."""
        return self.places is None and all(each.single for each in self.members)

    def gather(self, xp: Any, x: Array, rules: Rules | None = None) -> list[Array]:
        """Return the rows of each group: (n, …) of a single type, else (types, n, …).

        ``rules`` are those of :func:`.places.exchanged`.
        """
        if len(self.members) == 1 and self.members[0].single:
            return [x]
        if rules is None or self.places is None:
            return [_rows(xp, each, x) for each in self.members]
        joined, parts, start = exchanged(xp, rules, x, *self._ways(xp)), [], 0
        for each in self.members:
            stop = start + each.size
            part = joined[start:stop, ...]
            shape = part.shape[1:]
            parts.append(part if each.single else xp.reshape(part, (len(each.kinds), -1, *shape)))
            start = stop
        return parts

    def flat(self, xp: Any, parts: Sequence[Array], rules: Rules | None = None) -> Array:
        """Return (N, …) in the order of the atoms from the rows of each group."""
        rows = [
            part if each.single else xp.reshape(part, (-1, *part.shape[2:]))
            for each, part in zip(self.members, parts, strict=True)
        ]
        joined = rows[0] if len(rows) == 1 else xp.concat(rows, axis=0)
        if self.places is None:
            return joined
        if rules is None:
            return picked(xp, joined, self.places)
        return exchanged(xp, rules, joined, *reversed(self._ways(xp)))

    def _ways(self, xp: Any) -> tuple[Places, Places]:
        """Return where the rows of all groups come from, and where the atoms come from."""
        assert self.places is not None
        atoms = np.asarray(self.places, dtype=np.int64)
        index = np.concatenate([np.r_[each.rows] for each in self.members])
        live = np.zeros(index.size)
        live[atoms] = 1.0
        ones = np.ones(atoms.size)
        rows, back = (
            Places(xp.asarray(x, dtype=xp.int64), xp.asarray(y, dtype=xp.float64))
            for x, y in ((index, live), (atoms, ones))
        )
        return rows, back


def _rows(xp: Any, group: Group, x: Array) -> Array:
    if isinstance(group.rows, slice):
        return x[group.rows, ...]
    number = len(group.kinds)
    return xp.reshape(picked(xp, x, group.rows), (number, len(group.rows) // number, *x.shape[1:]))


def picked(xp: Any, x: Array, index: Sequence[int], axis: int = 0) -> Array:
    """Return the elements at known indices along an axis: a slice if they are consecutive."""
    first = index[0]
    if tuple(index) == tuple(range(first, first + len(index))):
        if len(index) == x.shape[axis]:
            return x
        return x[(*(slice(None),) * axis, slice(first, first + len(index)), ...)]
    return xp.take(x, xp.asarray(np.asarray(index, dtype=np.int64), dtype=xp.int64), axis=axis)


def of_group(xp: Any, group: Group, x: Array, order: Sequence[int]) -> Array:
    """Return the rows of a group's types, (types, …), or (…) if it is a single one.

    Parameters
    ----------
    x
        (na, …), for the types in ``order``.
    """
    mine = picked(xp, x, [order.index(kind) for kind in group.kinds])
    return mine[0, ...] if group.single else mine


def together(sizes: Mapping[int, int], slack: int = SLACK) -> list[tuple[int, ...]]:
    """Return the types of each group, for sizes of each; a few types are alone."""
    if len(sizes) <= FEW:
        return [(kind,) for kind in sizes]
    found: list[list[int]] = []
    for kind in sorted(sizes, key=lambda kind: sizes[kind], reverse=True):
        if found and sizes[found[-1][0]] <= GROWTH * sizes[kind] + slack:
            found[-1].append(kind)
        else:
            found.append([kind])
    return [tuple(sorted(kinds)) for kinds in found]


def groups(counts: Mapping[int, Any], apart: Collection[int] = ()) -> Groups:
    """Return the groups of atoms sorted by type.

    Parameters
    ----------
    counts
        Number of atoms of each present type, in order; in an export, numbers are arrays.
    apart
        Types that are not evaluated together with others.
    """
    if len(counts) <= FEW or not all(isinstance(n, int) for n in counts.values()):
        found, start = [], 0
        for kind, n in counts.items():
            stop = start + n
            found.append(Group((kind,), slice(start, stop)))
            start = stop
        return Groups(tuple(found), None)
    return _grouped(tuple(counts.items()), frozenset(apart))


@lru_cache(maxsize=256)
def _grouped(counts: tuple[tuple[int, int], ...], apart: frozenset[int]) -> Groups:
    sizes, starts, start = dict(counts), {}, 0
    for kind, n in counts:
        starts[kind], start = start, start + n
    alone = [(kind,) for kind in sizes if kind in apart]
    shared = {kind: n for kind, n in sizes.items() if kind not in apart}
    members, places, used = [], np.zeros(start, dtype=np.int64), 0
    for kinds in (*together(shared, THIN), *alone):
        most = max(sizes[kind] for kind in kinds)
        rows: list[int] = []
        for kind in kinds:
            mine = range(starts[kind], starts[kind] + sizes[kind])
            places[mine.start : mine.stop] = used + len(rows) + np.arange(len(mine))
            rows += [*mine, *[mine.start] * (most - len(mine))]
        single = slice(starts[kinds[0]], starts[kinds[0]] + most)
        members.append(Group(kinds, single if len(kinds) == 1 else tuple(rows)))
        used += len(rows)
    unchanged = used == start and bool((places == np.arange(start)).all())
    return Groups(tuple(members), None if unchanged else tuple(places.tolist()))


def net_of(xp: Any, nets: Tree, index: int) -> Tree:
    """Return the parameters of one net of a tree of nets, stacked or not."""
    own = nets.get(str(index), {}).get("layers", {})
    if ALL not in nets:
        return {"layers": own}
    stacked = nets[ALL]["layers"]
    mine = {k: {name: x[index, ...] for name, x in p.items()} for k, p in stacked.items()}
    return {"layers": {**mine, **own}}


def nets_of(xp: Any, nets: Tree, indices: Iterable[int]) -> Tree:
    """Return the parameters of several nets for :func:`.networks.apply_network` of (nets, n, …)."""
    wanted = list(indices)
    if ALL in nets:
        found = {
            k: {name: picked(xp, x, wanted) for name, x in p.items()}
            for k, p in nets[ALL]["layers"].items()
        }
    else:
        found = _stacked(xp, nets, wanted)
    return {"layers": {k: _by_rows(p) for k, p in found.items()}}


def nets_at(xp: Any, nets: Tree, number: int, indices: Array) -> Tree:
    """Return the parameters of the nets at indices (n,) that are an array, as :func:`nets_of`.

    Parameters
    ----------
    number
        Number of nets, all of which have all layers.
    """
    stacked = nets[ALL]["layers"] if ALL in nets else _stacked(xp, nets, range(number))
    found = {
        k: {name: xp.take(x, indices, axis=0) for name, x in p.items()} for k, p in stacked.items()
    }
    return {"layers": {k: _by_rows(p) for k, p in found.items()}}


def _stacked(xp: Any, nets: Tree, wanted: Iterable[int]) -> Tree:
    """Return the layers of nets with one array for all of them, (nets, …)."""
    each = [nets[str(index)]["layers"] for index in wanted]
    return {
        k: {name: xp.stack([one[k][name] for one in each], axis=0) for name in p}
        for k, p in each[0].items()
        if all(k in one for one in each)
    }


def _by_rows(params: Tree) -> Tree:
    """Return W as it is, and b and d with an axis for the rows, (nets, 1, n_out)."""
    return {name: x if name == "w" else x[:, None, :] for name, x in params.items()}
