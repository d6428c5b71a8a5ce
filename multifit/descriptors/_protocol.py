"""The protocol of a descriptor: everything that multifit requires of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np

from ..backend import Arithmetic, Backend
from ..batching.types import Table
from ..neighbors.requirements import Requirements
from ..nn.networks import Seed
from ..tree import Tree

if TYPE_CHECKING:
    from ..neighbors.frame import Frame
    from ..sections import AnyDescriptorSection
    from ..statistics import Sums

Array = Any
Pullback = Callable[[Array], Array]  #: D̄ (N, dim_out) → ∂/∂r_ij (N, 3, P)

#: Evaluation of networks of one variable: by series if accurate, always by series, or directly.
EMBEDDINGS = ("auto", "spectral", "direct")


class Plan(NamedTuple):
    """Data prepared by a descriptor for its evaluation, such as nodes and intervals of a series.

    Only the descriptor reads it. Any change gives a new object.
    """

    host: Tree  #: NumPy arrays
    device: Tree  #: the same, of the backend


class Planner(Protocol):
    """The state from which plans are made, extended when data or networks require it.

    A batch with pairs outside the range of a plan must not be evaluated with it.
    """

    @property
    def plan(self) -> Plan | None:
        """The current plan; None if the descriptor is evaluated without one."""
        ...

    def covers(self, nearest: np.ndarray) -> bool:
        """Return True if the plan covers pairs of these distances in Å, (ntypes, ntypes)."""
        ...

    def include(self, nearest: np.ndarray) -> None:
        """Extend the plan to pairs of these distances in Å, ∞ for none, (ntypes, ntypes)."""
        ...

    def refine(self, params: Tree) -> None:
        """Make the plan accurate for these parameters of the model (nested NumPy arrays)."""
        ...

    def plan_for(self, nearest: np.ndarray, params: Callable[[], Tree]) -> Plan | None:
        """Return a plan that covers a batch: include, refine if extended, and return.

        Raises
        ------
        UnsupportedError
            If a plan was demanded, and none is possible.
        """
        ...

    def fixed(self, plan: Plan, params: Tree) -> Plan:
        """Return a plan with everything that is constant while parameters are not trained.

        Parameters
        ----------
        params
            The parameters of the model (nested NumPy arrays).
        """
        ...

    def state(self) -> dict[str, Any]:
        """Return numbers and lists from which :meth:`restore` resumes."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from what :meth:`state` returned; ignore that of another kind of run."""
        ...


@runtime_checkable
class Descriptor(Protocol):
    """Settings of a descriptor (a frozen dataclass), and its functions.

    Arrays are flat over the atoms of all frames of a batch, sorted by type. ``counts`` maps each
    present type to its number of atoms, in order. ``tables`` maps each type of neighbours
    present (its number as text) to ``rij`` (N, 3, k) in Å, ``index`` and ``mask`` (N, k), and
    ``near`` (m,): the first m columns are those of pairs nearer than ``inner``.
    """

    name: ClassVar[str]  #: the name in ``input.json``
    aliases: ClassVar[tuple[str, ...]]  #: other names, in ``input.json`` and in model files
    backends: ClassVar[frozenset[str]]  #: the backends of this project that support it

    @property
    def ntypes(self) -> int:
        """Number of atom types."""
        ...

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        ...

    @property
    def neuron(self) -> tuple[int, ...]:
        """Widths of the embedding networks; empty if there are none."""
        ...

    @property
    def precision(self) -> str:
        """Precision of the networks, as spelled in ``input.json``."""
        ...

    @property
    def trainable(self) -> bool:
        """True if training changes the networks."""
        ...

    @property
    def exclude_types(self) -> tuple[tuple[int, int], ...]:
        """Pairs of types that do not interact in the descriptor."""
        ...

    @classmethod
    def section(cls) -> type[AnyDescriptorSection]:
        """Return the pydantic class of ``model.descriptor`` for this type."""
        ...

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types, which together use all options, for tests."""
        ...

    def requires(self) -> Requirements:
        """Return the required neighbours."""
        ...

    def init(self, seed: Seed) -> Tree:
        """Return random networks and neutral statistics as NumPy arrays."""
        ...

    def trainable_names(self) -> Iterator[str]:
        """Yield the dotted names of the trainable parameters."""
        ...

    def sums(self, frames: Sequence[Frame]) -> Sums:
        """Return sums over the neighbours in some frames, to be added up."""
        ...

    def statistics(self, sums: Sums, protect: float) -> dict[str, np.ndarray]:
        """Return the parameters computed from sums; no deviation is below ``protect``."""
        ...

    def statistics_settings(self) -> dict[str, Any]:
        """Return the settings that statistics depend on, as in JSON."""
        ...

    def nonzero_mean(self, params: Tree) -> int | None:
        """Return the first type with a mean ≠ 0 where the settings require 0, or None."""
        ...

    def planner(
        self,
        backend: Backend,
        embedding: str = "auto",
        *,
        enabled: bool = True,
        train: bool = False,
    ) -> Planner:
        """Return the planner of a run or a prediction.

        Parameters
        ----------
        embedding
            One of :data:`EMBEDDINGS`.
        enabled
            False for no plan: Hessians are evaluated without one.
        train
            True if the networks will be trained, so that plans should change rarely.

        Raises
        ------
        ConfigError, UnsupportedError
            If ``embedding`` is not one of them, or is not possible.
        """
        ...

    def geometry(
        self,
        xp: Any,
        params: Tree,
        atype: Array,
        counts: Mapping[int, int],
        tables: Mapping[str, Table],
        plan: Tree | None = None,
    ) -> Tree:
        """Return everything that depends on positions and not on trained parameters.

        This includes ``rij`` (N, 3, P) and ``index`` (N, P) of all tables side by side, unless
        there are no pairs.
        """
        ...

    def apply(
        self,
        arithmetic: Arithmetic,
        params: Tree,
        counts: Mapping[int, int],
        geometry: Tree,
        plan: Tree | None = None,
    ) -> tuple[Array, Pullback]:
        """Return the descriptors of all atoms, (N, dim_out), and the pullback to pair vectors."""
        ...

    def serialize(self, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
        """Return the ``descriptor`` section of a model file, with DeePMD-kit's keys."""
        ...

    @classmethod
    def deserialize(cls, node: dict[str, Any]) -> tuple[Self, Tree]:
        """Return settings and parameters of a ``descriptor`` section.

        Raises
        ------
        FileFormatError
            If an array is missing or its shape does not match the settings.
        UnsupportedError
            If an option is used that multifit does not have.
        """
        ...

    def remap_types(
        self, params: Tree, other: Self, known: Tree, shared: Sequence[tuple[int, int]]
    ) -> Tree:
        """Return parameters with those of another model for the types in common.

        Parameters
        ----------
        params
            Of this model, for the new types.
        other, known
            Settings and parameters of the other model.
        shared
            (type here, type there) of each type in common.
        """
        ...

    def describe(self, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, text) for ``multifit show``."""
        ...
