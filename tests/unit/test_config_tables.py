"""The tables, and what is generated from the models: schema, reference, public names."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_config_parse import MINIMAL, with_

from multifit import config
from multifit.config import _reference
from multifit.config._aliases import ALIASES
from multifit.config._config import Config, sections
from multifit.config._unsupported import KEYS, TEXTS, TYPES
from multifit.errors import ConfigError
from multifit.sections import Words


def fields(section: str) -> set[str]:
    return {key for cls in sections()[section] for key in cls.model_fields}


def test_sections() -> None:
    assert set(sections()) == {
        *("", "model", "model.descriptor", "model.fitting_net", "learning_rate", "loss"),
        *("optimizer", "training", "training.training_data", "training.validation_data"),
        *("training.mixed_precision", "validating", "model.descriptor.repflow"),
        *("model.descriptor.repinit", "model.descriptor.repformer"),
    }


@pytest.mark.parametrize("path", sections())
def test_every_key_is_described_and_has_words(path: str) -> None:
    for cls in sections()[path]:
        assert cls.__doc__
        for key, field in cls.model_fields.items():
            assert field.description, key
            assert field.description.endswith((".", ").")), key
            is_section = f"{path}.{key}".lstrip(".") in sections()
            assert is_section or key == "type" or any(isinstance(m, Words) for m in field.metadata)


def test_aliases_lead_to_keys_and_hide_none() -> None:
    for section, names in ALIASES.items():
        assert set(names.values()) <= fields(section)
        assert not set(names) & fields(section)


def test_keys_of_deepmd_kit_are_not_ours() -> None:
    for path in KEYS:
        section, _, key = path.rpartition(".")
        assert key not in fields(section), path
    for path in TEXTS:
        section, _, key = path.rpartition(".")
        assert key in fields(section)
    assert set(TYPES) <= set(sections())


# A folder of checkpoints is converted.
@pytest.mark.parametrize(
    "path", [p for p, ok in KEYS.items() if ... not in ok and p != "training.save_dir"]
)
def test_a_key_of_deepmd_kit_that_asks_for_something_is_an_error(path: str) -> None:
    base = with_(MINIMAL, ("training.validation_data", {"systems": "data"}))
    with pytest.raises(ConfigError, match="a DeePMD-kit option that multifit does not have"):
        config.parse(with_(base, (path, "something")))
    for harmless in KEYS[path]:
        value = list(harmless) if isinstance(harmless, tuple) else harmless
        accepted = config.parse(with_(base, (path, value)))
        assert accepted.model_dump() == config.parse(base).model_dump()


def test_schema() -> None:
    schema = config.json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["required"]) == {"model", "learning_rate", "training"}
    training = schema["$defs"]["TrainingSection"]
    assert training["properties"]["stop_batch"]["deprecated"] is True
    assert training["additionalProperties"] is False
    assert "^(_|//)" in training["patternProperties"]
    descriptor = schema["$defs"]["SeE2ASection"]["properties"]
    assert descriptor["type"]["enum"] == ["se_e2_a", "se_a"]
    assert descriptor["rcut"]["description"] == "Cut-off radius in Å."
    assert descriptor["rcut"]["exclusiveMinimum"] == 0


def test_schema_refers_to_what_is_there() -> None:
    schema = config.json_schema()

    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*map(references, part.values()))
        return set().union(*map(references, part)) if isinstance(part, list) else set()

    assert {r.removeprefix("#/$defs/") for r in references(schema)} == set(schema["$defs"])


def test_reference_has_every_key() -> None:
    page = _reference.markdown()
    for path in sections():
        assert not path or f"`{path}`" in page
        for key in fields(path):
            assert f"| `{key}`" in page
    for path in KEYS:
        assert f"`{path}`" in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    counts = {line.replace("\\|", "").count("|") for line in tables}
    assert counts == {3, 5}


def test_public_names_are_the_imports_for_type_checkers() -> None:
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    imports = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert imports == config._PLACES
    for name in dir(config):
        assert getattr(config, name).__name__ == name
    assert config.Config is Config
    with pytest.raises(AttributeError, match="nothing"):
        _ = config.nothing


def test_import_does_not_load_pydantic() -> None:
    code = "import sys, multifit.config; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
