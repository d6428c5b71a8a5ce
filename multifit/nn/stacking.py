"""Parameters of many nets as one array each, while a run trains them.

A framework then gets a few large arrays instead of hundreds of small ones, whose gradients and
updates would each be compiled, or launched, separately. Files keep an array for each net.
"""

from __future__ import annotations

import numpy as np

from ..backend import Arithmetic, Rules
from ..tree import Flat, Tree
from .groups import ALL, FEW


def stacked(flat: Flat) -> Flat:
    """Return NumPy parameters with those of many nets under one name, (nets, …).

    ``fitting.nets.0.layers.1.w``, ``fitting.nets.1.layers.1.w``, … become
    ``fitting.nets.all.layers.1.w``, if there are more than a few and all are there.
    """
    found: dict[str, list[str]] = {}
    for name in flat:
        head, index, rest = _parted(name)
        if index.isdecimal():
            found.setdefault(f"{head}.{ALL}.layers.{rest}", []).append(name)
    made = dict(flat)
    for together, names in found.items():
        names.sort(key=lambda name: int(_parted(name)[1]))
        complete = [int(_parted(name)[1]) for name in names] == list(range(len(names)))
        if len(names) > FEW and complete:
            made[together] = np.stack([made.pop(name) for name in names])
    return made


def unstacked(flat: Flat) -> Flat:
    """Return the NumPy parameters from which :func:`stacked` made these."""
    made: Flat = {}
    for name, x in flat.items():
        head, index, rest = _parted(name)
        if index == ALL:
            made |= {f"{head}.{k}.layers.{rest}": each for k, each in enumerate(x)}
        else:
            made[name] = x
    return made


def rules_of(arithmetic: Arithmetic, nets: Tree) -> Rules | None:
    """Return the backend if the derivatives of these nets may follow rules of the core.

    They are then differentiated backwards only, as a run does, whose nets are in one array. Who
    holds the parameters, an array for each net, may use a framework in other ways.
    """
    return arithmetic if ALL in nets and isinstance(arithmetic, Rules) else None


def _parted(name: str) -> tuple[str, str, str]:
    """Return what precedes the number of a net, the number, and what follows ``layers``."""
    before, _, rest = name.partition(".layers.")
    head, _, index = before.rpartition(".")
    return head, index if rest else "", rest
