"""Damage to files: of their bytes, and of single values in JSON, YAML, HDF5 and npy."""

from __future__ import annotations

import copy
import io
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from multifit.files._integrity import seal, verified

#: What takes the place of a value.
INSTEAD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 0.5, -0.5, 1e-300, 1e300, -1e300, 1e30),
    *(10**6, 10**9, 10**12, 2**31, 2**63, 2**70, -(2**63), 10**400, math.nan, math.inf),
    *(
        "",
        "x",
        "H",
        "tanh",
        "float32",
        "none",
        "silut:1e999",
        "\x00",
        "a" * 5000,
        "../../etc/passwd",
    ),
    *("/etc/passwd", "http://localhost:1/", "/variable_0001", "é", "1e3", "nan"),
    *([], {}, [[]], [None], [1], ["H", "H"], [0] * 2000, [1e300], {"a": 1}, [[0, 1], [1]]),
)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to three pieces of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(_OF_BYTES)(bytearray(content), rng)
    return content


def _flip(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _overwrite(data: bytearray, rng: random.Random) -> bytes:
    at, value = rng.randrange(len(data) + 1), rng.choice((0, 0x7F, 0x80, 0xFF, 0x20, 0x39))
    length = rng.choice((1, 2, 4, 8, 32))
    data[at : at + length] = bytes([value]) * len(data[at : at + length])
    return bytes(data)


def _truncate(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data) + 1)])


def _splice(data: bytearray, rng: random.Random) -> bytes:
    first, second = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    at = rng.randrange(len(data) + 1)
    return bytes(data[:at] + data[first : min(second, first + 4096)] + data[at:])


def _cut(data: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return bytes(data[:at] + data[at + rng.choice((1, 2, 8, 100)) :])


def _digits(data: bytearray, rng: random.Random) -> bytes:
    """Make a number longer or another one, where there is a digit."""
    places = [k for k, c in enumerate(data[:20_000]) if 0x30 <= c <= 0x39]
    if not places:
        return _flip(data, rng)
    at = rng.choice(places)
    new = rng.choice((b"-", b"9999999999", b"e300", b"nan", b".5", b" ", b"1e999", b"0x"))
    return bytes(data[:at] + new + data[at + rng.randrange(2) :])


_OF_BYTES: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    *(_flip, _flip, _overwrite, _truncate, _splice, _cut, _digits),
)


def mutate_tree(tree: Any, rng: random.Random) -> Any:
    """Return a nested dict with one or two values replaced, removed, repeated or swapped."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2))):
        # A random walk from the root: else the many numbers of arrays would be all that changes.
        node, key = tree, None
        while isinstance(node, dict | list) and node:
            outer, key = (
                node,
                rng.choice(list(node) if isinstance(node, dict) else range(len(node))),
            )
            node = outer[key]
            if rng.random() < 0.15:
                break
        if key is None:
            continue
        _replace(outer, key, rng)
    return tree


def _replace(outer: Any, key: Any, rng: random.Random) -> None:
    how = rng.random()
    if how < 0.65:
        outer[key] = rng.choice(INSTEAD)
    elif how < 0.8:
        del outer[key]
    elif how < 0.85:
        outer[key] = [outer[key]]
    elif how < 0.9 and isinstance(outer[key], int | float):
        outer[key] *= rng.choice((-1, 1.5, 1e10, 0))
    elif isinstance(outer, list):
        outer.insert(key, copy.deepcopy(outer[key]))
    else:
        other = rng.choice(list(outer))
        outer[key], outer[other] = outer[other], outer[key]


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    """Return JSON text with other values, which may be NaN, or other bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(content, rng)
    return json.dumps(mutate_tree(json.loads(content), rng)).encode()


def mutate_yaml(content: bytes, rng: random.Random) -> bytes:
    """Return YAML text with other values, or other bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(content, rng)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    tree = mutate_tree(yaml.load(content, Loader=loader), rng)
    return yaml.dump(tree, Dumper=dumper, sort_keys=False).encode()


def mutate_dp(content: bytes, rng: random.Random) -> bytes:
    """Return a model file with other text or arrays, sealed or not, or other bytes."""
    image = content[: verified(content, Path())]
    how = rng.random()
    if how < 0.1:
        return mutate_bytes(content, rng)
    # Without its mark, as a file of DeePMD-kit is; so that damage gets as far as HDF5.
    bare = image.replace(b"multifit_sha256_trailer", b"multifit_sha256_nothing")
    if how < 0.35:
        return mutate_bytes(bare, rng)
    memory = io.BytesIO(bare)
    with h5py.File(memory, "r+") as file:
        if how < 0.75:
            tree = json.loads(file.attrs["json"])
            del file.attrs["json"]
            file.attrs["json"] = json.dumps(mutate_tree(tree, rng))
        else:
            name = rng.choice(list(file))
            value = mutate_array(np.array(file[name]), rng)
            del file[name]
            options = {"compression": "gzip"} if rng.random() < 0.1 and value.ndim else {}
            file.create_dataset(name, data=value, **options)
    changed = memory.getvalue()
    return changed + seal(changed) if rng.random() < 0.5 else changed


def mutate_state(content: bytes, rng: random.Random) -> bytes:
    """Return a checkpoint whose model is whole, with another state of the training."""
    memory = io.BytesIO(content[: verified(content, Path())])
    with h5py.File(memory, "r+") as file:
        tree = json.loads(file.attrs["json"])
        names = sorted(_datasets(tree["training"]))
        if rng.random() < 0.5:
            tree["training"] = mutate_tree(tree["training"], rng)
            del file.attrs["json"]
            file.attrs["json"] = json.dumps(tree)
        else:
            for name in rng.sample(names, rng.choice((1, 1, 2))):
                value = mutate_array(np.array(file[name]), rng)
                del file[name]
                file.create_dataset(name, data=value)
    image = memory.getvalue()
    return image + seal(image)


def _datasets(tree: Any) -> set[str]:
    """Return the names of the data sets that stand for arrays."""
    if isinstance(tree, dict | list):
        inner = tree.values() if isinstance(tree, dict) else tree
        return {name for value in inner for name in _datasets(value)}
    return {tree} if isinstance(tree, str) and tree.startswith("/variable_") else set()


def mutate_array(value: np.ndarray, rng: random.Random) -> np.ndarray:
    """Return an array of another shape or type, or with odd numbers in it."""
    how = rng.randrange(9)
    flat = value.astype(np.float64).ravel()
    if how < 3 and flat.size:
        flat[rng.randrange(flat.size)] = rng.choice(
            (math.nan, math.inf, 1e300, -1e300, 0.0, 1e-300)
        )
        return flat.reshape(value.shape)
    if how == 3:
        return np.swapaxes(value, 0, -1) if value.ndim > 1 else value.ravel()[:-1]
    if how == 4:
        return value.ravel()[: rng.randrange(value.size + 1)]
    if how == 5:
        kinds = ("int64", "bool", "float16", "complex128", "uint8", ">f8", "float128")
        with np.errstate(all="ignore"):
            return value.astype(rng.choice(kinds))
    if how == 6:
        return value[None]
    if how == 7:
        return np.concatenate([flat, flat])
    return np.zeros_like(value) if rng.random() < 0.5 else -value


def mutate_npy(content: bytes, rng: random.Random) -> bytes:
    """Return an npy file with another array, header or bytes."""
    how = rng.random()
    if how < 0.4:
        return mutate_bytes(content, rng)
    if how < 0.6:  # the header alone
        return mutate_bytes(content[:128], rng) + content[128:]
    array = np.load(io.BytesIO(content))
    made = io.BytesIO()
    if how < 0.65:
        np.save(made, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        np.save(made, mutate_array(array, rng))
    return made.getvalue()


def mutate_hdf5(content: bytes, rng: random.Random) -> bytes:
    """Return an HDF5 data file with another dataset, a link, or other bytes."""
    how = rng.random()
    if how < 0.5:
        return mutate_bytes(content, rng)
    memory = io.BytesIO(content)
    with h5py.File(memory, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, x: names.append(name) if isinstance(x, h5py.Dataset) else None)
        name = rng.choice(names)
        old = file[name][()]
        del file[name]
        kind = rng.randrange(6)
        if kind == 0:
            file[name] = h5py.ExternalLink("/etc/passwd", "/x")
        elif kind == 1:
            file[name] = h5py.SoftLink(rng.choice(("/", "/nothing", f"/{names[0]}")))
        elif kind == 2:
            file.create_dataset(name, (8,), "u1", external=[("/etc/passwd", 0, 8)])
        elif kind == 3:
            file.create_dataset(name, (10**9, 9), "f8", chunks=(1024, 9), compression="gzip")
        elif old.dtype.kind in "fiu":
            file[name] = mutate_array(np.asarray(old), rng)
        else:
            file[name] = np.array([b"\xff\xfe", b"x"])
    return memory.getvalue()
