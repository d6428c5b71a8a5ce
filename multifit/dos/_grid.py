"""The energies of the densities of states of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from .. import data
from ..errors import ConfigError, DataError

Array = np.ndarray[Any, Any]

#: Keys of a grid in a model file.
KEYS = ("energies", "fermi_aligned", "electrons")


@final
@dataclass(frozen=True)
class Grid:
    """Energies of the outputs of a DOS model, and data for filling them with electrons.

    Attributes
    ----------
    energies
        Increasing, in eV, one for each output (n,).
    fermi_aligned
        True if they are relative to the Fermi level of each frame.
    electrons
        Number of electrons in the DOS of an atom of each type (ntypes,), if known.

    Raises
    ------
    ConfigError
        If a value is not finite, energies do not increase, or a number of electrons is negative.
    """

    energies: tuple[float, ...]
    fermi_aligned: bool = False
    electrons: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.energies) < 2:
            raise ConfigError(
                f"a grid of energies has at least 2 points, but this one has {len(self.energies)}"
            )
        values = self.array
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            raise ConfigError(
                f"energies[{wrong[0]}] of the grid is {values[wrong[0]]}; all must be finite, in eV"
            )
        wrong = np.flatnonzero(np.diff(values) <= 0) + 1
        if wrong.size:
            raise ConfigError(
                f"energies[{wrong[0]}] of the grid is {values[wrong[0]]:.10g} eV and not above the "
                f"one before it, {values[wrong[0] - 1]:.10g} eV; energies must increase"
            )
        for number, count in enumerate(self.electrons or ()):
            if not (np.isfinite(count) and count >= 0):
                raise ConfigError(
                    f"electrons[{number}] of the grid is {count:g}, but an atom has a finite "
                    "number ≥ 0 of electrons"
                )

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def array(self) -> Array:
        """The energies in eV (n,), float64."""
        return np.array(self.energies, dtype=np.float64)


def even_grid(emin: float, emax: float, n: int) -> tuple[float, ...]:
    """Return n energies from emin to emax, both included, with even steps.

    Raises
    ------
    ConfigError
        If emin is not below emax.
    """
    if not emin < emax:
        raise ConfigError(
            f"emin ({emin:g} eV) must be below emax ({emax:g} eV); change one of them"
        )
    return _floats(np.linspace(emin, emax, n))


def read_energies(path: str | Path, n: int) -> tuple[float, ...]:
    """Return the n energies in eV in an ``.npy`` file.

    Raises
    ------
    DataError
        If the file is missing or unreadable, or holds something other than n finite, increasing
        numbers.
    """
    values = data.read_energies(Path(path), str(path))
    if len(values) != n:
        raise DataError(
            f"{path} holds {len(values)} energies, but numb_dos is {n}; change numb_dos "
            f"(model.fitting_net.numb_dos) to {len(values)} or use another file"
        )
    return _floats(values)


def to_content(grid: Grid) -> dict[str, Any]:
    """Return the grid as lists, numbers and booleans, for model files."""
    electrons = None if grid.electrons is None else list(grid.electrons)
    return {
        "energies": list(grid.energies),
        "fermi_aligned": grid.fermi_aligned,
        "electrons": electrons,
    }


def from_content(content: Mapping[str, Any]) -> Grid:
    """Return the grid from the output of :func:`to_content`; lists may have become arrays.

    Raises
    ------
    ValueError
        With a sentence about the problem.
    """
    if not isinstance(content, Mapping) or set(content) != set(KEYS):
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else repr(content)
        raise ValueError(f"a grid of energies has the keys {', '.join(KEYS)}, but here are {found}")
    aligned, electrons = content["fermi_aligned"], content["electrons"]
    if not isinstance(aligned, bool | np.bool):
        raise ValueError(f"fermi_aligned of the grid is {aligned!r}, but must be true or false")
    try:
        return Grid(
            _row("energies", content["energies"]),
            bool(aligned),
            None if electrons is None else _row("electrons", electrons),
        )
    except ConfigError as exc:  # about the file, not about the input
        raise ValueError(str(exc)) from exc


def _row(key: str, value: Any) -> tuple[float, ...]:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty((), dtype=object)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise ValueError(f"{key} of the grid are {value!r:.60}, but must be a row of numbers")
    return _floats(array)


def _floats(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(float(x) for x in values)
