"""The protocol of exports: what a backend needs to write a model as a file of its framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..tree import Tree
from ._protocol import Arithmetic

Array = Any

#: From a mask (n,) of bools to the places where it is true, int64, (m,).
Find = Callable[[Array], Array]


@dataclass(frozen=True)
class Argument:
    """One array that an exported function takes or returns."""

    name: str
    dtype: str  #: ``float64`` or ``int64``
    shape: tuple[int | str, ...]  #: sizes; those that differ from call to call have a name
    unit: str = ""
    about: str = ""


class Function(Protocol):
    """A model as a pure function of arrays, ready to be traced."""

    @property
    def inputs(self) -> tuple[Argument, ...]:
        """The arrays that it takes, in order."""
        ...

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """The arrays that it returns, in order."""
        ...

    @property
    def params(self) -> Tree:
        """The parameters of the model as nested NumPy arrays."""
        ...

    def example(self) -> tuple[np.ndarray, ...]:
        """Return valid inputs, in which no two named sizes are equal."""
        ...

    def __call__(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        inputs: Sequence[Array],
        find: Find | None = None,
    ) -> tuple[Array, ...]:
        """Return the outputs.

        Parameters
        ----------
        params
            The parameters, as arrays of the framework.
        inputs
            In the order of :attr:`inputs`.
        find
            For frameworks whose shapes may depend on data. Without it the nets of every type
            are evaluated for all atoms, and the results of other types are discarded.
        """
        ...


#: Writes a function to a path; the text is a JSON object that describes it.
Write = Callable[[Function, Path, str], None]


@dataclass(frozen=True)
class Exporter:
    """One file format of a framework."""

    suffix: str  #: of the file or folder, with the dot
    write: Write
    folder: bool = False  #: True if it is a folder, which ``write`` creates


@runtime_checkable
class Exports(Protocol):
    """A backend that can write models for use without multifit."""

    def exporters(self) -> Mapping[str, Exporter]:
        """Return its file formats by name."""
        ...
