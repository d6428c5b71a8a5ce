"""The files that a run reads, which none of its outputs may replace."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...config import Config
from ...errors import ConfigError

#: Files of a data system besides those in its folders ``set.*``.
_OF_SYSTEMS = ("type.raw", "type_map.raw", "nopbc", "energies.npy")


def input_files(config: Config, base: Path, **others: Path | None) -> dict[str, Path]:
    """Return the single files that a run reads, by what they are.

    Parameters
    ----------
    base
        The folder against which paths of data are resolved.
    others
        Further files; underscores of their names become spaces.
    """
    found = {
        name.replace("_", " "): path
        for name, path in others.items()
        if path is not None and path.is_file()
    }
    for k, path in enumerate(_systems(config, base)):
        if path.is_file():
            found[f"data file {k}"] = path
    return found


def _systems(config: Config, base: Path) -> Iterator[Path]:
    """Yield the paths of the training and validation data."""
    sections = (config.training.training_data, config.training.validation_data)
    for section in sections:
        given = () if section is None else section.systems
        for text in (given,) if isinstance(given, str) else given:
            yield base / text.partition("#")[0]  # a group of an HDF5 file follows #


def check_inputs_kept(outputs: Mapping[str, Path], inputs: Mapping[str, Path]) -> None:
    """Raise ConfigError if an output would replace a file that the run reads."""
    for key, path in outputs.items():
        for what, source in inputs.items():
            if _same(path, source):
                role = "a data file" if what.startswith("data file") else f"the {what}"
                raise ConfigError(f"{key} is {path}, which is {role} of this run; choose another")
        if _is_data(path):
            raise ConfigError(f"{key} is {path}, which belongs to a data system; choose another")


def _same(one: Path, other: Path) -> bool:
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _is_data(path: Path) -> bool:
    """Return True for an existing file of a data system."""
    if not os.path.isfile(path):
        return False
    inside = path.parent.name.startswith("set.") and (path.parent.parent / "type.raw").exists()
    return inside or (path.name in _OF_SYSTEMS and (path.parent / "type.raw").exists())
