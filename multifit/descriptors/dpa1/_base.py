"""The base of descriptors with embedded types, which do not tell types apart in ``sel``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ... import precision as prec
from ...nn.activations import activation
from ...nn.networks import Network, hidden_layers
from ...rules import Ranges, Rule, require
from ...statistics import Sums
from ...support import ALL
from ...tree import Tree
from .. import _statistics as stat
from .._environment import Environment
from .._types import type_layer
from ._rules import TYPE_RULES, TYPED_RANGES

if TYPE_CHECKING:
    from ...neighbors.frame import Frame

Array = Any


@dataclass(frozen=True)
class TypedDescriptor:
    """The settings, statistics and nets that descriptors with embedded types share.

    Attributes
    ----------
    sel
        One number or several, of which only the sum counts.
    ntypes
        Number of atom types; by default as many as ``sel`` has numbers.
    type_map
        Names of the elements, of which only ``use_econf_tebd`` makes use.
    """

    backends: ClassVar[frozenset[str]] = ALL
    ranges: ClassVar[Ranges] = TYPED_RANGES
    rules: ClassVar[tuple[Rule, ...]] = ()

    rcut: float
    rcut_smth: float
    sel: tuple[int, ...]
    ntypes: int = 0
    neuron: tuple[int, ...] = (25, 50, 100)
    tebd_dim: int = 8
    tebd_input_mode: str = "concat"
    resnet_dt: bool = False
    trainable: bool = True
    exclude_types: tuple[tuple[int, int], ...] = ()
    env_protection: float = 0.0
    set_davg_zero: bool = False
    activation_function: str = "tanh"
    precision: str = prec.GLOBAL
    concat_output_tebd: bool = True
    use_econf_tebd: bool = False
    use_tebd_bias: bool = False
    type_map: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse options out of range, and those that do not go together."""
        for name, value in self._implied().items():
            object.__setattr__(self, name, value)
        require(self, self.ranges, (*self.rules, *TYPE_RULES))
        activation(self.activation_function)
        prec.canonical(self.precision)

    def _implied(self) -> dict[str, Any]:
        """Return the settings that follow from others."""
        names = tuple(self.type_map) if self.use_econf_tebd else ()
        return {"ntypes": self.ntypes or len(self.sel), "type_map": names}

    @property
    def nnei(self) -> int:
        """Number of neighbour slots of an atom."""
        return sum(self.sel)

    @property
    def environment(self) -> Environment:
        """The radial settings."""
        return Environment(self.rcut, self.rcut_smth, self.env_protection)

    @cached_property
    def excluded(self) -> frozenset[tuple[int, int]]:
        """The excluded pairs of types, in both orders."""
        return frozenset(p for a, b in self.exclude_types for p in ((a, b), (b, a)))

    @property
    def strips(self) -> bool:
        """True if a net of its own embeds the types, False if they are input of the one net."""
        return self.tebd_input_mode == "strip"

    @property
    def is_ambiguous(self) -> bool:
        """True if empty slots have the type of the first atom of the frame, as in DeePMD-kit."""
        return False

    @property
    def _types_width(self) -> int:
        """Numbers that tell the types of a pair."""
        return 2 * self.tebd_dim

    def _network(self, n_in: int) -> Network:
        flags = [self.trainable] * len(self.neuron)
        name, precision = self.activation_function, prec.canonical(self.precision)
        return Network(hidden_layers(n_in, self.neuron, name, self.resnet_dt, precision, flags))

    @cached_property
    def network(self) -> Network:
        """The settings of the embedding net."""
        return self._network(1 if self.strips else 1 + self._types_width)

    @cached_property
    def types_network(self) -> Network:
        """The settings of the net of the types alone, with ``strip``."""
        return self._network(self._types_width)

    @cached_property
    def type_network(self) -> Network:
        """The settings of the type embedding: a single layer."""
        return Network((type_layer(self),))

    def sums(self, frames: Sequence[Frame]) -> Sums:
        """Return the sums of R's radial and angular parts, (ntypes, 2)."""
        return stat.environment_sums(self, frames)

    def statistics(self, sums: Sums, protect: float) -> dict[str, np.ndarray]:
        """Return ``davg`` and ``dstd``, (ntypes, 4)."""
        davg, dstd = stat.environment_statistics(self, sums, protect)
        return {"davg": davg[:, 0, :], "dstd": dstd[:, 0, :]}

    def statistics_settings(self) -> dict[str, Any]:
        """Return the settings that statistics depend on."""
        return {**stat.settings_of(self), "sel": self.nnei}

    def nonzero_mean(self, params: Tree) -> int | None:
        """Return the first type with a mean ≠ 0 where the settings require 0, or None."""
        wrong = np.asarray(params["davg"]).any(axis=1)
        return int(np.argmax(wrong)) if self.set_davg_zero and wrong.any() else None
