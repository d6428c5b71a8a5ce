r"""The uncertainty of an energy from the last layer of the fitting net.

The energy is linear in the inputs h of the last layer, summed over atoms. With these of F training
frames of N_f atoms, the uncertainty of a structure is that of a linear regression,

.. math::

   σ^2 = α^2\, h^T (C + λ)^{-1} h, \qquad C = \sum_f \frac{h_f h_f^T}{N_f^2}.

α is the quantile of \|E* − E\| / √(hᵀ (C + λ)⁻¹ h) over held-out frames that puts 68 % of their
errors within σ (split conformal prediction): a new frame like these is within with this
probability, whatever the distribution of errors. An atom has σ_i with its own h_i. Source: F. Bigi,
S. Chong, M. Ceriotti and F. Grasselli, "A prediction rigidity formalism for low-cost uncertainties
in trained neural networks" (2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ConfigError, FileFormatError
from ..files import check_version, mapping, parameter

#: Key in a model file. DeePMD-kit ignores it.
KEY = "uncertainty"
CLASS, VERSION = "LastLayerUncertainty", 1

#: Probability that an error is smaller than σ: that of a normal distribution.
ONE_SIGMA = math.erf(math.sqrt(0.5))

#: Atoms whose uncertainties are computed at once, to bound memory.
ATOMS = 4096


@dataclass(frozen=True)
class Uncertainty:
    """Calibrated for one model, and stored with it.

    Attributes
    ----------
    factor
        W with (C + λ)⁻¹ = Wᵀ W, (size, size).
    scores
        Errors of the held-out frames over √(hᵀ (C + λ)⁻¹ h), in ascending order, (m,).
    """

    factor: np.ndarray
    scores: np.ndarray

    def scale(self, coverage: float = ONE_SIGMA) -> float:
        """Return α for a probability that an error is smaller.

        Raises
        ------
        ConfigError
            If the held-out frames are too few for it.
        """
        n = len(self.scores)
        rank = math.ceil((n + 1) * coverage - 1e-9)
        if not 0 < coverage < 1 or rank > n:
            few = math.ceil(coverage / (1 - coverage) - 1e-9) if 0 < coverage < 1 else 0
            raise ConfigError(
                f"a coverage of {coverage:g} needs at least {few} held-out frames, but the "
                f"uncertainty was calibrated with {n}"
                if few
                else f"the coverage is {coverage:g}, but must be between 0 and 1"
            )
        return float(self.scores[max(rank, 1) - 1])

    @cached_property
    def one_sigma(self) -> float:
        """α of a standard deviation."""
        return self.scale()

    def half_width(self, energy_std: np.ndarray, coverage: float) -> np.ndarray:
        """Return the half width of the interval around energies that holds a share of labels.

        Parameters
        ----------
        energy_std
            From :meth:`multifit.Potential.predict`.
        coverage
            Probability that the label is within, such as 0.95.
        """
        width: np.ndarray = np.asarray(energy_std) * (self.scale(coverage) / self.one_sigma)
        return width

    def energy_std(self, total: np.ndarray) -> np.ndarray:
        """Return σ of energies in eV, (…), for features of structures (…, size)."""
        return self.one_sigma * rigidity(self.factor, total)

    def atom_energy_std(self, features: np.ndarray, block: np.ndarray) -> np.ndarray:
        """Return σ of atomic energies in eV, (natoms,); 0 for virtual atoms.

        Parameters
        ----------
        features
            (natoms, width).
        block
            Block of each atom, −1 for virtual ones, (natoms,).
        """
        found = np.zeros(len(features))
        width = features.shape[1]
        for b in range(len(self.factor) // max(width, 1)):
            own, here = self.factor[:, b * width : (b + 1) * width], np.flatnonzero(block == b)
            for start in range(0, len(here), ATOMS):
                some = here[start : start + ATOMS]
                found[some] = rigidity(own, features[some])
        return self.one_sigma * found

    def to_content(self) -> dict[str, Any]:
        """Return the entry of a model file."""
        variables = {"factor": self.factor, "scores": self.scores}
        return {"@class": CLASS, "@version": VERSION, "@variables": variables}


def required(uncertainty: Uncertainty | None) -> Uncertainty:
    """Return the uncertainty of a model, or raise ConfigError if it has none."""
    if uncertainty is None:
        raise ConfigError(
            "the model has no uncertainty; calibrate it first: multifit uncertainty MODEL -s "
            "TRAINING_DATA -v OTHER_DATA -o FILE"
        )
    return uncertainty


def rigidity(factor: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return √(hᵀ Wᵀ W h), (…), for W (size, n) and h (…, n)."""
    found: np.ndarray = np.linalg.norm(h @ factor.T, axis=-1)
    return found


def from_content(content: Mapping[str, Any], size: int) -> Uncertainty:
    """Return the uncertainty in an entry of a model file.

    Parameters
    ----------
    size
        Number of features of the model.

    Raises
    ------
    FileFormatError
        If it is not one, or of another model.
    """
    node = mapping(content, KEY)
    check_version(node, range(1, VERSION + 1), KEY)
    factor = parameter(node, "factor", (size, size), KEY)
    count = np.size(np.asarray(mapping(node.get("@variables"), KEY).get("scores", [])))
    scores = parameter(node, "scores", (count,), KEY)
    if not count or (np.diff(scores) < 0).any() or scores[0] < 0:
        raise FileFormatError(
            f"{KEY}.scores must hold errors ≥ 0 in ascending order; calibrate the model again"
        )
    return Uncertainty(factor, scores)
