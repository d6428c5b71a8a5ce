"""From an input to settings, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..optim.learning_rate import DEFAULT_STOP_LR
from . import _aliases, _compat, _errors, _unsupported, _version0
from ._config import Config
from ._draft import Draft, Problem, draft
from ._model import ModelSection
from ._read import read
from ._type_embedding import move_type_embedding


def load(path: str | Path) -> Config:
    """Return the settings of an input file.

    Parameters
    ----------
    path
        A JSON file, or YAML if it ends in ``.yaml`` or ``.yml``.

    Raises
    ------
    ConfigError
        If the file cannot be read, or has an unknown key or an invalid value.
    """
    return parse(read(Path(path)), str(path))  # type: ignore[arg-type]  # parse checks it


def parse(data: dict[str, Any], where: str = "input") -> Config:
    """Return the settings of an input.

    Parameters
    ----------
    data
        The input as nested dicts, as ``json.load`` gives it; it is not changed.
    where
        Name in errors, usually that of the file.

    Raises
    ------
    ConfigError
        If the input has an unknown key or an invalid value.
    """
    work = draft(data, where)
    version0 = _version0.is_version0(work)
    if version0:
        _version0.add_sections(work)
    version1 = _compat.move_keys(work)
    _aliases.resolve(work)
    move_type_embedding(work)
    if version1:
        _compat.replace_decay_rate(work)
    _compat.replace_stripped(work)
    _compat.replace_checkpoint_keys(work)
    _compat.spread_mixed_precision(work)
    _compat.spell_out_types(work)
    _fill_in_stop_lr(work.section("learning_rate"))
    dropped = _unsupported.drop(work)
    try:
        config = Config.model_validate(work.data)
    except ValidationError as error:
        problems = work.problems + _errors.problems(error)
    else:
        problems = work.problems
    problems = _unsupported.without_consequences(problems)
    if problems:
        # The complaints of pydantic are in the sentence; its own text would only repeat them.
        raise _errors.config_error(work, problems, where) from None
    config._dropped = tuple(work.name(path) for path in dropped)
    config._style = "0.x" if version0 else "1.x" if version1 else ""
    return config


def check_types(config: Config, type_map: Sequence[str]) -> None:
    """Check the entries for each type, once the types are determined by the data.

    Parameters
    ----------
    config
        Whose ``type_map`` and ``sel`` leave the number of types open.
    type_map
        Names of the types.

    Raises
    ------
    ConfigError
        If a list has another length, or an index is not that of a type.
    """
    model = config.model.model_dump(exclude_unset=True)
    try:
        ModelSection.model_validate({**model, "type_map": tuple(type_map)})
    except ValidationError as error:
        found = [
            Problem(f"model.{problem.path}", problem.says) for problem in _errors.problems(error)
        ]
        where = f"the input (the types of the data are {', '.join(type_map)})"
        raise _errors.config_error(Draft({}), found, where) from None


def _fill_in_stop_lr(section: dict[str, Any] | None) -> None:
    """Give a schedule without an end the ``stop_lr`` of DeePMD-kit."""
    if (
        section is not None
        and (section.get("stop_lr"), section.get("stop_lr_ratio")) == (None,) * 2
    ):
        section["stop_lr"] = DEFAULT_STOP_LR


def normalize(data: dict[str, Any]) -> dict[str, Any]:
    """Return an input in the current style with all defaults, as plain JSON values.

    Parameters
    ----------
    data
        The input as nested dicts; it is not changed.
    """
    return parse(data).model_dump(mode="json")
