"""Names under which files of atoms hold labels, and names of their elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from ..errors import ConfigError, did_you_mean
from ._labels import LABELS

#: In files of atoms a virial may be given as a stress: virial = −V·stress.
STRESS = "stress"

#: Label → its usual names in files of atoms; the first that a frame has is read.
NAMES: dict[str, tuple[str, ...]] = {
    **{key: label.files for key, label in LABELS.items()},
    "force": ("forces", "force"),
    "virial": ("virial", "virials"),
    STRESS: ("stress",),
    "virial_weight": ("config_virials_weight", "config_virial_weight", "config_stress_weight"),
}


@final
@dataclass(frozen=True)
class Reading:
    """Names of labels and elements in data.

    Attributes
    ----------
    keys
        Label → its names in files of atoms, which replace the usual ones; none leaves it out.
    species
        Name of a species in the data → name of the element.
    """

    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    species: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ConfigError for an unknown label."""
        for key in self.keys:
            if key not in NAMES:
                raise ConfigError(
                    f"keys names the label {key!r}, which does not exist"
                    f"{did_you_mean(key, NAMES)}; the labels are {', '.join(NAMES)}"
                )

    def names(self, label: str) -> tuple[str, ...]:
        """Return the names of a label in files of atoms."""
        return tuple(self.keys.get(label, NAMES[label]))

    def element(self, species: str) -> str:
        """Return the name of the element of a species."""
        return self.species.get(species, species)
