"""Reading input files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from test_config_parse import MINIMAL, WATER

from multifit import config
from multifit.errors import ConfigError


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def error_in(tmp_path: Path, text: str | bytes, name: str = "input.json") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = error_of(path)
    assert str(path) in message
    return message


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_text(json.dumps(WATER))
    assert config.load(path) == config.load(str(path)) == config.parse(WATER)


def test_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode())
    assert config.load(path) == config.parse(MINIMAL)


def test_no_file(tmp_path: Path) -> None:
    assert "does not exist" in error_of(tmp_path / "input.json")
    assert "is a folder" in error_of(tmp_path)
    assert "cannot be read" in error_of(tmp_path / ("x" * 5000))
    assert "cannot be read" in error_of(Path("a\0b"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"model": {},\n "loss" {}}', "is not JSON: line 2, column 9"),
        ('{"a": 1,}', "no comma after the last entry"),
        ('{"a": 1 // note\n}', "JSON has no comments"),
        ("{'a': 1}", "double quotes"),
        ("", "the file is empty"),
        ('{"model": {"a": 1, "a": 2}}', "gives the key 'a' twice"),
        ('{"a": NaN}', "holds NaN, but numbers must be finite"),
        ('{"a": [-Infinity]}', "holds -Infinity"),
        ('{"a": ' + "9" * 5000 + "}", "integer that is too long"),
        ("[" * 100_000, "nested too deep"),
        ("[" * 50 + "]" * 50, "must hold an object"),
        ('{"a":' * 50 + "1" + "}" * 50, "nested more than"),
        ("[1, 2]", "must hold an object"),
        (b"\xff\xfe{\x00}\x00", "no text in UTF-8"),
        ('{"training": {"numb_steps": 1e999}}', "in "),
    ],
)
def test_broken_json(tmp_path: Path, text: str | bytes, says: str) -> None:
    assert says in error_in(tmp_path, text)


def test_comments_may_have_the_same_name() -> None:
    from multifit.config._read import read_json

    assert read_json('{"_c": 1, "_c": 2}', "x") == {"_c": 2}


YAML = """
# a comment
model:
  type_map: [O, H]
  descriptor: {type: se_e2_a, sel: [46, 92]}
  fitting_net: {}
learning_rate: {start_lr: 1e-3, stop_lr: 1.0e-6}
training:
  training_data: {systems: data}
  numb_steps: 10
"""


@pytest.mark.parametrize("name", ["input.yaml", "input.YML"])
def test_yaml(tmp_path: Path, name: str) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / name
    path.write_text(YAML)
    c = config.load(path)
    assert c.model.type_map == ("O", "H")
    assert c.learning_rate.start_lr == 1e-3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: [", "is not YAML: line"),
        ("model: 1\nmodel: 2", "input.yaml gives the key 'model' twice in one section (line 2)"),
        ("model: .nan", "input.yaml holds .nan (line 1)"),
        ("a: &a [*a]", "is not YAML"),
        ("a: !!python/name:os.system x", "is not YAML"),
        ("? [1, 2]\n: 3", "is not YAML"),
        ("a: 2020-01-01", "is a value of type date"),
        ("1: 2", "has the key 1"),
        ("a: !!int ''", "is not YAML"),
        ("a: !!timestamp x", "is not YAML"),
        ("a: \x01", "is not YAML"),
        ("- 1", "must hold an object"),
        ("", "must hold an object"),
        ("[" * 3000, "nested too deep"),
        (
            "a0: &a0 [0,0,0,0,0,0,0,0,0,0]\n"
            + "".join(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 10)}]\n" for i in range(9)),
            "holds more than",
        ),
    ],
)
def test_broken_yaml(tmp_path: Path, text: str, says: str) -> None:
    pytest.importorskip("yaml")
    assert says in error_in(tmp_path, text, "input.yaml")


def test_yaml_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert 'pip install "multifit[yaml]"' in error_in(tmp_path, YAML, "input.yaml")
