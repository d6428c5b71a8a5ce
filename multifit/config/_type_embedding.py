"""The type embedding of DeePMD-kit's TensorFlow, which its inputs have in ``model``.

Each descriptor has its own here, under keys of its section: the parts of a hybrid do not share one.
"""

from __future__ import annotations

from typing import Any

from ._draft import DESCRIPTOR, Draft, Problem, shown

#: The key of an input of DeePMD-kit.
KEY = "model.type_embedding"

#: The descriptor with a type embedding, and what becomes it: the type → how types enter.
EMBEDDED = "se_e2_a_tebd"
MODES = {"se_e2_a": "concat", "se_a_ebd_v2": "strip", "se_a_tpe_v2": "strip"}

#: Descriptors whose type embedding is a single linear layer.
ATTENTION = ("se_atten", "se_atten_v2")

#: Keys with the same name in the section of a descriptor.
SAME = ("use_econf_tebd", "use_tebd_bias")


def move_type_embedding(draft: Draft) -> None:
    """Give each descriptor the type embedding of the model, under its own keys."""
    model = draft.section("model")
    given = model.get("type_embedding") if model is not None else None
    places = [place for place in draft.places(DESCRIPTOR) if _is_one(draft.section(place))]
    for place in places:
        section = draft.section(place) or {}
        if section["type"] in MODES and (given is not None or section["type"] != "se_e2_a"):
            section.setdefault("tebd_input_mode", MODES[section["type"]])
            section["type"] = EMBEDDED
    if model is None or not isinstance(given, dict):
        return
    del model["type_embedding"]
    for place in places:
        section = draft.section(place) or {}
        if section["type"] == EMBEDDED:
            _rename(draft, place, section, given)
        elif section["type"] in ATTENTION:
            _as_linear(draft, place, section, given)
        else:
            kinds = ", ".join([*MODES, *ATTENTION])
            draft.problems.append(
                Problem(
                    KEY,
                    f"is given with a descriptor of type {shown(section['type'])}, but must be "
                    f"left out unless it is one of {kinds}",
                )
            )


def _is_one(section: dict[str, Any] | None) -> bool:
    """Return True for a section of a descriptor that has no parts."""
    return section is not None and isinstance(section.get("type"), str) and "list" not in section


def _rename(draft: Draft, place: str, section: dict[str, Any], given: dict[str, Any]) -> None:
    """Add the keys of the type embedding to a section; errors call them as the input does."""
    for key, value in given.items():
        new = key if key in SAME else f"type_{key}"
        section[new] = value
        draft.names[f"{place}.{new}"] = f"{KEY}.{key}"


def _as_linear(draft: Draft, place: str, section: dict[str, Any], given: dict[str, Any]) -> None:
    """Set ``tebd_dim`` for a single linear layer; another embedding is a problem."""
    neuron, name = given.get("neuron", (8,)), str(given.get("activation_function", "tanh")).lower()
    single = isinstance(neuron, tuple) and len(neuron) == 1
    if not single or name not in ("linear", "none") or given.get("resnet_dt"):
        draft.problems.append(
            Problem(
                KEY,
                f"is {shown(given)}, but with {section['type']} must be a single linear layer: "
                "give tebd_dim in the descriptor instead",
            )
        )
        return
    section.setdefault("tebd_dim", neuron[0])
    draft.names[f"{place}.tebd_dim"] = f"{KEY}.neuron"
    for key in SAME:
        if key in given:
            section.setdefault(key, given[key])
