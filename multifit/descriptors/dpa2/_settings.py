"""The settings of the two blocks of dpa2, under the names of ``input.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from ...errors import ConfigError, did_you_mean
from ...nn.activations import activation
from ...rules import Ranges, Rule, require
from ._rules import (
    REPFORMER_RANGES,
    REPFORMER_RULES,
    REPINIT_RANGES,
    REPINIT_RULES,
)

#: ε of the layer norm, where ``ln_eps`` is not given.
EPSILON = 1e-5


class _Block:
    """Settings that may be given as an object of ``input.json``."""

    @classmethod
    def of(cls, given: Mapping[str, Any] | Self) -> Self:
        """Return the settings, from a mapping of them.

        Raises
        ------
        ConfigError
            If a key is unknown or missing, or a value is out of range.
        """
        if isinstance(given, cls):
            return given
        name = cls.__name__.lower()
        if not isinstance(given, Mapping):
            raise ConfigError(f"{name} must be a dict or a {cls.__name__}, but is {given!r:.60}")
        known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
        for key in given:
            if key not in known:
                near = did_you_mean(str(key), known)
                raise ConfigError(f"{name} has no option {key!r}{near}; remove it")
        lost = [key for key in ("rcut", "rcut_smth", "nsel") if key not in given]
        if lost:
            raise ConfigError(f"{name} lacks {lost[0]}, but must have it")
        return cls(**{key: tuple(x) if isinstance(x, list) else x for key, x in given.items()})

    def _check(self, ranges: Ranges, rules: tuple[Rule, ...]) -> None:
        try:
            require(self, ranges, rules)
            activation(self.activation_function)  # type: ignore[attr-defined]
        except ConfigError as error:
            raise ConfigError(f"{type(self).__name__.lower()}.{error}") from None


@dataclass(frozen=True)
class Repinit(_Block):
    """The settings of the first block: se_atten without attention, and angles on request."""

    rcut: float
    rcut_smth: float
    nsel: int
    neuron: tuple[int, ...] = (25, 50, 100)
    axis_neuron: int = 16
    tebd_dim: int = 8
    tebd_input_mode: str = "concat"
    set_davg_zero: bool = True
    activation_function: str = "tanh"
    resnet_dt: bool = False
    type_one_side: bool = False
    use_three_body: bool = False
    three_body_neuron: tuple[int, ...] = (2, 4, 8)
    three_body_sel: int = 40
    three_body_rcut: float = 4.0
    three_body_rcut_smth: float = 0.5

    def __post_init__(self) -> None:
        """Refuse options out of range, and those that do not go together."""
        self._check(REPINIT_RANGES, REPINIT_RULES)


@dataclass(frozen=True)
class Repformer(_Block):
    """The settings of the second block: layers that pass messages."""

    rcut: float
    rcut_smth: float
    nsel: int
    nlayers: int = 3
    g1_dim: int = 128
    g2_dim: int = 16
    axis_neuron: int = 4
    direct_dist: bool = False
    update_g1_has_conv: bool = True
    update_g1_has_drrd: bool = True
    update_g1_has_grrg: bool = True
    update_g1_has_attn: bool = True
    update_g2_has_g1g1: bool = True
    update_g2_has_attn: bool = True
    update_h2: bool = False
    attn1_hidden: int = 64
    attn1_nhead: int = 4
    attn2_hidden: int = 16
    attn2_nhead: int = 4
    attn2_has_gate: bool = False
    activation_function: str = "tanh"
    update_style: str = "res_avg"
    update_residual: float = 0.001
    update_residual_init: str = "norm"
    set_davg_zero: bool = True
    trainable_ln: bool = True
    use_sqrt_nnei: bool = True
    g1_out_conv: bool = True
    g1_out_mlp: bool = True
    ln_eps: float | None = EPSILON

    def __post_init__(self) -> None:
        """Refuse options out of range, and those that do not go together."""
        if self.ln_eps is None:
            object.__setattr__(self, "ln_eps", EPSILON)
        self._check(REPFORMER_RANGES, REPFORMER_RULES)

    @property
    def reads_neighbours(self) -> bool:
        """True if a layer reads the features of neighbours: it passes messages."""
        return any(
            (
                self.update_g1_has_conv,
                self.update_g1_has_drrd,
                self.update_g1_has_attn,
                self.update_g2_has_g1g1,
            )
        )
