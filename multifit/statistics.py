"""Sums over the data, and statistics computed from them before training.

The output bias, mean and deviation of fparam and aparam; those of an environment are the
descriptor's. Sums are collected per type, so that systems add up and can be cached.
Source: the definitions of DeePMD-kit's NumPy core (semantics, not code).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import DataError


@dataclass(frozen=True)
class Sums:
    """Count, sum and sum of squares of numbers."""

    number: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.number + other.number, self.total + other.total, self.squares + other.squares
        )

    def mean(self) -> np.ndarray:
        """Return the means, 0 where there are no numbers."""
        means: np.ndarray = self.total / np.maximum(self.number, 1)
        return means

    def deviation(self, protect: float, default: float = 0.1) -> np.ndarray:
        """Return the population standard deviations, at least ``protect``.

        ``default`` is the value for a type without atoms.
        """
        variance = self.squares / np.maximum(self.number, 1) - self.mean() ** 2
        std = np.maximum(np.sqrt(np.maximum(variance, 0.0)), protect)
        return np.where(self.number > 0, std, default)


def no_sums(*shape: int) -> Sums:
    """Return empty sums."""
    return Sums(np.zeros(shape), np.zeros(shape), np.zeros(shape))


def arrays_of(sums: Any) -> list[np.ndarray]:
    """Return the arrays of sums, or of a tuple of sums, as descriptors of several parts have."""
    if isinstance(sums, tuple):
        return [array for part in sums for array in arrays_of(part)]
    return [sums.number, sums.total, sums.squares]


def sums_like(sums: Any, arrays: Iterator[np.ndarray]) -> Any:
    """Return sums of the same kind as others, with arrays as of :func:`arrays_of`."""
    if isinstance(sums, tuple):
        return type(sums)(sums_like(part, arrays) for part in sums)
    return Sums(next(arrays), next(arrays), next(arrays))


def parameter_sums(values: np.ndarray, n: int) -> Sums:
    """Return the sums of fparam or aparam, (n,), over all frames and atoms."""
    x = np.asarray(values, dtype=np.float64).reshape(-1, n)
    return Sums(np.full(n, float(len(x))), x.sum(axis=0), (x * x).sum(axis=0))


def type_counts(atype: np.ndarray, weight: np.ndarray, ntypes: int) -> np.ndarray:
    """Return the sums of the atoms' weights for each type, (nframes, ntypes).

    Parameters
    ----------
    atype
        Types, −1 for virtual atoms, (nframes, natoms).
    weight
        Weight of each atom: 1, or its coefficient in the energy, (nframes, natoms).
    """
    kinds = np.arange(ntypes)[:, None, None]
    counts: np.ndarray = np.where(atype == kinds, weight, 0.0).sum(axis=2).T
    return counts


def output_bias(
    counts: np.ndarray,
    outputs: np.ndarray,
    fixed: np.ndarray | None = None,
    rcond: float | None = None,
) -> np.ndarray:
    """Return the bias of each type, (ntypes, m), for the best fit of Σ counts·bias to outputs.

    Parameters
    ----------
    counts
        Atoms of each type in each frame, or the sums of their weights, (nframes, ntypes).
    outputs
        The label of each frame, (nframes, m), such as m = 1 energy in eV.
    fixed
        Given biases, (ntypes, m); those that are not NaN are kept, and the others fitted to the
        rest.
    rcond
        Singular values below rcond times the largest count as zero.
    """
    counts = np.asarray(counts, dtype=np.float64)
    outputs = np.asarray(outputs, dtype=np.float64)
    if fixed is None:
        fixed = np.full((counts.shape[1], outputs.shape[1]), np.nan)
    free = np.isnan(fixed).any(axis=1, keepdims=True)
    given = np.where(free, 0.0, fixed)
    rest = outputs - counts @ given
    bias, *_ = np.linalg.lstsq(np.where(free.T, counts, 0.0), rest, rcond=rcond)
    return np.where(free, bias, given)


def atomic_bias(atype: np.ndarray, outputs: np.ndarray, ntypes: int) -> np.ndarray:
    """Return the mean atomic label of each type, (ntypes, m); NaN for a type without atoms.

    Parameters
    ----------
    atype
        Types, −1 for virtual atoms, (…).
    outputs
        Their labels, (…, m).
    """
    values = np.reshape(outputs, (np.size(atype), -1))
    kinds = np.arange(ntypes)[:, None] == np.ravel(atype)[None, :]
    number = kinds.sum(axis=1)[:, None]
    total = kinds.astype(np.float64) @ np.where((np.ravel(atype) >= 0)[:, None], values, 0.0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def choose_sel(fullest: Sequence[int], factor: float = 1.1) -> tuple[int, ...]:
    """Return ``sel: "auto"``: the largest counts times a factor, rounded up to a multiple of 4."""
    wanted = [int(np.ceil(n * factor)) for n in fullest]
    return tuple(max(4 * ((n + 3) // 4), 4) for n in wanted)


def check_finite(name: str, value: Any) -> None:
    """Raise DataError if a statistic is not finite."""
    if not np.all(np.isfinite(value)):
        raise DataError(f"the statistics of the data give {name} that are not finite: check labels")
