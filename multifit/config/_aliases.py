"""Alternative names of keys and types, also in DeePMD-kit."""

from __future__ import annotations

from .. import descriptors
from ..outputs import DEFAULT
from ._descriptor import INNER_ALIASES, KEY_ALIASES
from ._draft import Draft

_DATA = {"auto_prob_style": "auto_prob", "sys_weights": "sys_probs", "sys_prob": "sys_probs"}

#: section → {other name: key}
ALIASES: dict[str, dict[str, str]] = {
    "model.descriptor": KEY_ALIASES,
    **INNER_ALIASES,
    "model.fitting_net": {"n_neuron": "neuron"},
    "training": {
        "stop_batch": "numb_steps",
        "num_step": "numb_steps",
        "num_steps": "numb_steps",
        "numb_step": "numb_steps",
        "num_epoch": "numb_epoch",
        "num_epochs": "numb_epoch",
        "numb_epochs": "numb_epoch",
    },
    "training.training_data": _DATA,
    "training.validation_data": _DATA | {"numb_batch": "numb_btch"},
}

#: section → {other name of a type: type}
TYPE_ALIASES: dict[str, dict[str, str]] = {"model.descriptor": descriptors.aliases()}

#: Default type of a section with several types.
DEFAULT_TYPES: dict[str, str] = {
    "model.fitting_net": DEFAULT.type,
    "learning_rate": "exp",
    "loss": DEFAULT.type,
    "optimizer": "Adam",
}


def aliases_of(section: str, key: str) -> tuple[str, ...]:
    """Return the other names of a key."""
    return tuple(a for a, k in ALIASES.get(section, {}).items() if k == key)


def resolve(draft: Draft) -> None:
    """Give every key and type its canonical name; both names at once are a problem."""
    for section, names in ALIASES.items():
        for place in draft.places(section):
            for alias, key in names.items():
                draft.move(place, alias, place, key)
    for section, names in TYPE_ALIASES.items():
        for place in draft.places(section):
            given = draft.section(place)
            if given is not None and isinstance(given.get("type"), str):
                given["type"] = names.get(given["type"], given["type"])
    for section, kind in DEFAULT_TYPES.items():
        given = draft.section(section)
        if given is not None:
            given.setdefault("type", kind)
