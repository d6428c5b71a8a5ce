"""The settings of a model: a descriptor, a fitting net, and their output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import fitting as fit
from ..descriptors import Descriptor
from ..dos import Grid
from ..errors import ConfigError
from ..nn.networks import Seed
from ..outputs import OUTPUTS, OutputDef
from ..rules import require
from ..support import parts_of
from ..tree import Tree
from ._rules import MODEL_RULES

#: Values for each type besides the nets: one number, or one for each component, or nothing.
Preset = tuple[float | tuple[float, ...] | None, ...]


@dataclass(frozen=True)
class Model:
    """The settings of a model.

    Attributes
    ----------
    preset_out_bias
        Bias of each type; None to fit it.
    grid
        Energies of a density of states, if known.
    """

    type_map: tuple[str, ...]
    descriptor: Descriptor
    fitting: fit.Fitting
    atom_exclude_types: tuple[int, ...] = ()
    pair_exclude_types: tuple[tuple[int, int], ...] = ()
    preset_out_bias: Preset | None = None
    grid: Grid | None = None

    def __post_init__(self) -> None:
        """Raise an error if the types are not distinct names, or the rest does not fit them."""
        require(self, {}, MODEL_RULES)
        if self.grid is None:
            return
        if not self.output.has_grid:
            raise ConfigError("a grid of energies is for densities of states only; leave it out")
        if len(self.grid) != self.fitting.dim_out:
            raise ConfigError(
                f"the grid has {len(self.grid)} energies, but numb_dos is {self.fitting.dim_out}; "
                "give as many"
            )
        electrons = self.grid.electrons
        if electrons is not None and len(electrons) != self.ntypes:
            raise ConfigError(
                f"electrons has {len(electrons)} entries, but there are {self.ntypes} types; give "
                "a number for each"
            )

    def __str__(self) -> str:
        """Return the types, the cutoff and the widths of the nets."""
        d, f = self.descriptor, self.fitting
        widths = f"neuron {list(d.neuron)} and {list(f.neuron)}"
        if f.dim_out > 1:
            widths += f", {f.dim_out} components"
        needs = d.requires()
        return (
            f"of {' '.join(self.type_map)}, rcut {needs.rcut} Å, sel {list(needs.slots)}, {widths}"
        )

    @property
    def output(self) -> OutputDef:
        """The output that the model predicts."""
        return OUTPUTS[self.fitting.var_name]

    @property
    def pair_width(self) -> int:
        """Numbers per pair in the widest array of the descriptor."""
        widths: list[int] = [
            getattr(part, "pair_width", None) or (part.neuron or (part.dim_out,))[-1]
            for part in parts_of(self.descriptor)
        ]
        return max(widths)

    @property
    def ntypes(self) -> int:
        """Number of atom types."""
        return len(self.type_map)

    @property
    def fixed_bias(self) -> np.ndarray:
        """Bias of each type if fixed by the settings, else NaN.

        (ntypes, dim_out), in the unit of :attr:`output`.
        """
        fixed = np.full((self.ntypes, self.fitting.dim_out), np.nan)
        for given in (self.preset_out_bias, self.fitting.atom_ener):
            for a, value in enumerate(given or ()):
                if value is not None:
                    fixed[a] = value
        return fixed


def init(model: Model, descriptor_seed: Seed, fitting_seed: Seed) -> Tree:
    """Return random nets, neutral statistics and a zero output bias, as NumPy arrays."""
    return {
        "descriptor": model.descriptor.init(descriptor_seed),
        "fitting": fit.init(model.fitting, fitting_seed),
        "out_bias": np.zeros((model.ntypes, model.fitting.dim_out)),
    }


def trainable_names(model: Model) -> Iterator[str]:
    """Yield the dotted names of the trainable parameters."""
    yield from (f"descriptor.{name}" for name in model.descriptor.trainable_names())
    yield from (f"fitting.{name}" for name in fit.trainable_names(model.fitting))
