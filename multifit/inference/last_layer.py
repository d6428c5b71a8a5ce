"""The inputs of a fitting net's last layer, the features in which the energy is linear.

They are the outputs of the same model with an identity as last layer, which predicts a vector for
each atom, as a model of densities of states does. Every backend therefore has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .. import models as mdl
from ..backend import Backend
from ..errors import ConfigError
from ..tree import Tree
from .parts import Outputs
from .request import Request
from .runner import Runner
from .structure import Structure
from .uncertainty import Uncertainty


def feature_model(model: mdl.Model, params: Tree) -> tuple[mdl.Model, Tree]:
    """Return the model whose atomic outputs are the inputs of the last layer, and its parameters.

    Parameters
    ----------
    params
        Nested NumPy arrays; shared where they are the same.

    Raises
    ------
    ConfigError
        If the energy is not linear in them.
    """
    if not model.output.derivatives:
        raise ConfigError(
            f"the model predicts a {model.output.title}, but only energies have an uncertainty"
        )
    if model.fitting.tot_ener_zero:
        raise ConfigError("the energy is zero (tot_ener_zero), and has no uncertainty")
    layer, width = len(model.fitting.neuron), shape(model)[1]
    nets = {}
    for k, net in params["fitting"]["nets"].items():
        layers = dict(net["layers"])
        if str(layer) in layers:  # otherwise shared with the first net
            dtype = layers[str(layer)]["w"].dtype
            layers[str(layer)] = {"w": np.eye(width, dtype=dtype), "b": np.zeros(width, dtype)}
        nets[k] = {**net, "layers": layers}
    zeros = np.zeros((model.ntypes, width))
    fitting = replace(model.fitting, var_name="dos", dim_out=width)
    return replace(model, fitting=fitting, preset_out_bias=None), {
        **params,
        "fitting": {**params["fitting"], "nets": nets, "bias_atom_e": zeros},
        "out_bias": zeros,
    }


def shape(model: mdl.Model) -> tuple[int, int]:
    """Return the number of blocks of features of a structure, and the width of one."""
    shared = model.fitting.mixed_types or model.fitting.owners[-1] is not None
    return 1 if shared else model.ntypes, model.fitting.network.layers[-1].n_in


class LastLayer:
    """The last layer of an energy model; :meth:`features` are its inputs.

    The layers of different types are blocks of one layer, unless the types share one.

    Parameters
    ----------
    model, params, backend, embedding, at_once
        As for :class:`multifit.inference.runner.Runner`.
    """

    def __init__(
        self,
        model: mdl.Model,
        params: Tree,
        backend: Backend,
        embedding: str = "auto",
        at_once: int | None = None,
    ) -> None:
        features, values = feature_model(model, params)
        self.runner = Runner(features, values, backend, embedding, at_once)
        self._key = features.output.atomic.key
        self.blocks, self.width = shape(model)

    def features(self, structures: Sequence[Structure], skin: float = 0.0) -> list[np.ndarray]:
        """Return the features of each atom of each structure, (natoms, width)."""
        rows = self.runner.run(structures, Request(skin=skin))
        return [row[self._key] for row in rows]

    def block(self, atype: np.ndarray) -> np.ndarray:
        """Return the block of each atom, −1 for virtual ones, (natoms,)."""
        found: np.ndarray = np.minimum(atype, self.blocks - 1)
        return found

    def total(self, features: np.ndarray, atype: np.ndarray) -> np.ndarray:
        """Return the features of a structure, the sums over its atoms, (size,)."""
        block = self.block(atype)
        sums = [features[block == b].sum(axis=0) for b in range(self.blocks)]
        return np.concatenate(sums)

    def uncertainties(
        self, known: Uncertainty, structures: Sequence[Structure], skin: float = 0.0
    ) -> list[Outputs]:
        """Return ``energy_std`` () and ``atom_energy_std`` (natoms,) of each structure in eV."""
        found = []
        features = self.features(structures, skin)
        for s, each in zip(structures, features, strict=True):
            found.append(
                {
                    "energy_std": np.asarray(known.energy_std(self.total(each, s.atype))),
                    "atom_energy_std": known.atom_energy_std(each, self.block(s.atype)),
                }
            )
        return found
