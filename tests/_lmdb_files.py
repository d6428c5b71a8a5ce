"""Small LMDB files as DeePMD-kit writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

#: Elements of the frames; positions are drawn on a lattice, so that no atoms are close.
NAMES = ["H", "O"]


def encoded(values: Any, dtype: str = "float64", **other: Any) -> dict[str, Any]:
    """Return an array as it is stored; ``other`` replaces parts of it."""
    array = np.asarray(values, dtype=dtype)
    return {"type": dtype, "shape": list(array.shape), "data": array.tobytes(), **other}


def frame(natoms: int, seed: int = 0, *, cell: bool = True, **more: Any) -> dict[str, Any]:
    """Return a frame with energy and forces; ``more`` adds or replaces values, None removes."""
    rng = np.random.default_rng([natoms, seed])
    coord = 2.0 * np.argwhere(np.ones((4, 4, 4)))[:natoms] + rng.normal(0, 0.1, (natoms, 3))
    types = np.arange(natoms) % 2
    made = {
        "atom_types": encoded(types, "int32"),
        "coords": encoded(coord, "float32"),
        "energies": encoded(-float(natoms) + 0.01 * seed),
        "forces": encoded(rng.normal(0, 0.1, (natoms, 3))),
        "atom_numbs": [int((types == 0).sum()), int((types == 1).sum())],
    }
    if cell:
        made["cells"] = encoded(8.0 * np.eye(3))
    return {key: value for key, value in {**made, **more}.items() if value is not None}


def write(
    path: Path,
    frames: Sequence[Mapping[str, Any] | bytes],
    *,
    layout: str = "012d",
    map_size: int = 1 << 22,
    **metadata: Any,
) -> Path:
    """Write a file with frames, and return its folder; ``metadata`` adds or replaces values."""
    lmdb, msgpack = pytest.importorskip("lmdb"), pytest.importorskip("msgpack")
    described = {"nframes": len(frames), "frame_idx_fmt": layout, "type_map": NAMES, **metadata}
    path.parent.mkdir(exist_ok=True)
    with (
        lmdb.open(str(path), map_size=map_size) as environment,
        environment.begin(write=True) as transaction,
    ):
        for number, given in enumerate(frames):
            raw = given if isinstance(given, bytes) else msgpack.packb(given)
            transaction.put(format(number, layout).encode(), raw)
        transaction.put(b"__metadata__", msgpack.packb(described))
    return path
