"""Whatever an input holds, the answer is settings or a ConfigError of one line."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_config_dos import DOS, GRID, LEAST
from test_config_parse import MINIMAL, WATER, with_

from multifit import config
from multifit.config._aliases import ALIASES
from multifit.config._config import sections
from multifit.config._read import read_json
from multifit.config._unsupported import KEYS
from multifit.errors import ConfigError

QUIET = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

_KEYS = sorted(
    {key for classes in sections().values() for cls in classes for key in cls.model_fields}
    | {alias for names in ALIASES.values() for alias in names}
    | {path.rpartition(".")[2] for path in KEYS}
    | {"opt_type", "systems", "kf_blocksize", "_comment", "//", "$schema"}
)
_TEXTS = [
    *("auto", "auto:2", "auto:", "auto:nan", "max:3", "mixed:3", "exp", "wsd", "cosine", "AdamW"),
    *("se_a", "mae", "silut:1e999", "silut:", "float16", "O", "prob_sys_size;0:1:1", "F:RMSE"),
    *("dos", "ener", "grid.npy"),
]

#: Inputs that are right, to change a little.
_FULL_DOS = with_(
    DOS,
    *GRID,
    ("model.fitting_net.numb_dos", 2),
    ("model.fitting_net.electrons", {"Si": 4, "H": 1}),
    ("model.preset_out_bias", {"dos": {"H": [1.0, 2]}}),
)
BASES = [WATER, MINIMAL, LEAST, _FULL_DOS]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, 2**63, 10**400])
    | st.floats()
    | st.sampled_from(_TEXTS)
    | st.text(max_size=8)
    | st.characters(categories=["Cs"])
)
keys = st.sampled_from(_KEYS) | st.text(max_size=6)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


def is_answered(data: Any) -> None:
    """Assert that ``parse`` returns settings that read back the same, or a ConfigError."""
    try:
        found = config.parse(data)
    except ConfigError as error:
        text = str(error)
        text.encode("utf-8")
        assert text
        assert "\n" not in text
        assert len(text) < 1000
    else:
        again = config.parse(json.loads(json.dumps(config.normalize(data))))
        assert again.model_dump() == found.model_dump()  # but for which keys were dropped


@QUIET
@given(values)
def test_anything(data: Any) -> None:
    is_answered(data)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid input with a few keys changed, added, removed or renamed."""
    data = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        section: Any = data
        while True:
            inner = [v for v in section.values() if isinstance(v, dict)]
            if not inner or draw(st.booleans()):
                break
            section = draw(st.sampled_from(inner))
        present = st.sampled_from(sorted(section)) if section else keys
        match draw(st.sampled_from(["change", "add", "remove", "rename"])):
            case "change":
                section[draw(present)] = draw(values)
            case "add":
                section[draw(keys)] = draw(values)
            case "remove":
                section.pop(draw(present), None)
            case "rename":
                section[draw(keys)] = section.pop(draw(present), None)
    return data


@settings(QUIET, max_examples=500)
@given(mutated())
def test_mutated_inputs(data: dict[str, Any]) -> None:
    is_answered(data)


@QUIET
@given(st.text(alphabet='{}[]",:_ab10.-eEnNaI\\u \n'))
def test_any_text(text: str) -> None:
    with contextlib.suppress(ConfigError):
        read_json(text, "in.json")


@QUIET
@given(st.text(alphabet='{}[]",:_ab10.-en&*!?|>\n #~'))
def test_any_yaml(text: str) -> None:
    from multifit.config._yaml import read_yaml

    with contextlib.suppress(ConfigError):
        read_yaml(text, "in.yaml")
