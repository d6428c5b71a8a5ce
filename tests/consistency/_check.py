"""Comparing a backend with the reference, and remembering how far apart they were.

All tolerances of the suite are in :data:`EPSILON` and :data:`LEVELS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from _compare import deviation

from multifit.backend import Backend, get_backend
from multifit.tree import map_leaves

NUMPY = get_backend("numpy")

#: Precision of the networks → what values agree to, relative to the largest of an array. Backends
#: add in another order and have other exponentials, which is a few hundred times the rounding error
#: of a number. In half precision it is two of these errors, 1e-3 and 8e-3: sums are of few numbers,
#: but NumPy rounds after each operation, and compilers keep intermediate results in float32.
EPSILON = {"float64": 1e-10, "float32": 2e-5, "float16": 2e-3, "bfloat16": 2e-2}

#: Kind of number → how much less exact than a value it may be. A derivative is a difference of
#: larger numbers; Adam divides a gradient by its own size, so that the rounding of small gradients
#: is the rounding of a step.
LEVELS = {"exact": 0.0, "value": 1.0, "derivative": 10.0, "trained": 100.0}


@dataclass(frozen=True)
class Record:
    """How far a backend was from the reference in one comparison."""

    feature: str
    options: str
    backend: str
    deviation: float
    tolerance: float


#: What was compared in this process; conftest.py makes the report of it.
RECORDS: list[Record] = []


@dataclass(frozen=True)
class Cell:
    """A line of the report, and one of its columns."""

    feature: str
    options: str
    backend: str
    precision: str = "float64"

    def check(self, got: Any, want: Any, level: str = "value", floor: float = 0.0) -> None:
        """Assert that nested dicts of NumPy arrays agree, and record how well.

        Parameters
        ----------
        level
            A key of :data:`LEVELS`.
        floor
            As for :func:`_compare.deviation`.
        """
        tolerance = EPSILON[self.precision] * LEVELS[level]
        found, where = deviation(got, want, floor)
        RECORDS.append(Record(self.feature, self.options, self.backend, found, tolerance))
        assert found <= tolerance, (
            f"{self.feature}, {self.options}: {self.backend} is off by {found:.2g} at {where}, "
            f"but must be within {tolerance:.0e}"
        )


def run(backend: Backend, f: Callable[..., Any], *arguments: Any, compiled: bool = True) -> Any:
    """Return f of nested dicts of arrays, computed on a backend, as NumPy arrays.

    Parameters
    ----------
    f
        A function of arrays of the backend, which returns a nested dict of them.
    arguments
        Nested dicts of NumPy arrays, or single arrays.
    """
    g = backend.compile(f) if compiled else f
    return to_numpy(backend, g(*(on(backend, x) for x in arguments)))


def on(backend: Backend, x: Any) -> Any:
    """Return a nested dict of NumPy arrays, or an array, as arrays of the backend."""
    return map_leaves(backend.asarray, x) if isinstance(x, dict) else backend.asarray(x)


def to_numpy(backend: Backend, x: Any) -> Any:
    """Return a nested dict of arrays of the backend, or an array, as NumPy arrays."""
    if isinstance(x, dict):
        return {key: to_numpy(backend, value) for key, value in x.items()}
    return backend.to_numpy(x)
