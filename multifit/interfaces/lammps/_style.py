"""The lines ``pair_style multifit …`` and ``pair_coeff * * …``, with DeePMD-kit's options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import EngineError, did_you_mean

#: Names of the style; inputs for DeePMD-kit need no change.
STYLES = ("multifit", "deepmd")

#: Options with one value, with many, and without.
ONE = ("out_freq", "out_file", "relative", "relative_v", "fparam_from_compute", "stop_at")
MANY = ("fparam", "aparam")
NONE = ("atomic",)

#: Options of DeePMD-kit that are refused, and why.
REFUSED = {
    "ttm": "the two-temperature model is not supported",
    "aparam_from_compute": "parameters of atoms from a compute are not supported; use aparam",
    "fparam_from_fix": "parameters from a fix are not supported; use fparam_from_compute",
    "virtual_len": "models with spin are not supported",
    "spin_norm": "models with spin are not supported",
}


@dataclass(frozen=True)
class Style:
    """What a line ``pair_style multifit …`` says."""

    models: tuple[Path, ...]  #: the first one drives the simulation
    out_freq: int = 100  #: steps between lines of the model deviation
    out_file: Path = Path("model_devi.out")
    atomic: bool = False  #: True to write the deviation of each atom, too
    relative: float | None = None  #: eV/Å; level of relative deviations of forces
    relative_v: float | None = None  #: eV; level of relative deviations of virials
    stop_at: float | None = None  #: eV/Å; deviation of forces at which the run ends
    fparam: tuple[float, ...] = ()
    aparam: tuple[float, ...] = ()
    fparam_from_compute: str | None = None


def is_ours(name: str) -> bool:
    """Return True for the name of our pair style."""
    return name in STYLES


def parse_style(words: Sequence[str]) -> Style:
    """Return the settings of ``pair_style multifit`` from the words after it.

    Raises
    ------
    EngineError
        If no model is named, an option is unknown, or a value is missing or no number.
    """
    options = {*ONE, *MANY, *NONE, *REFUSED}
    first = next((k for k, word in enumerate(words) if word in options), len(words))
    models, rest = [Path(word) for word in words[:first]], list(words[first:])
    if not models:
        raise EngineError("pair_style multifit names no model; write pair_style multifit model.dp")
    for path in models:
        if not path.suffix and not path.exists():
            near = did_you_mean(path.name, options)
            raise EngineError(
                f"pair_style has {path.name!r}, which is no option{near} and no model file"
            )
    given: dict[str, list[str]] = {}
    option = ""
    for word in rest:
        if word in REFUSED:
            raise EngineError(f"pair_style has the option {word}: {REFUSED[word]}")
        if word in options:
            option = word
            given[option] = []
        elif option in MANY or (option in ONE and not given[option]):
            given[option].append(word)
        else:
            raise EngineError(
                f"pair_style has the word {word!r} after {option}{did_you_mean(word, options)}"
            )
    for name, values in given.items():
        if name not in NONE and not values:
            raise EngineError(f"the option {name} of pair_style needs a value")
    return _style(models, given)


def _style(models: Sequence[Path], given: dict[str, list[str]]) -> Style:
    """Return the settings from options and their words."""
    level = {
        name: _number(name, given[name][0])
        for name in ("relative", "relative_v", "stop_at")
        if name in given
    }
    every = int(_number("out_freq", given.get("out_freq", ["100"])[0]))
    if every < 1:
        raise EngineError(f"out_freq is {every}, but must be at least 1")
    return Style(
        tuple(models),
        every,
        Path(given.get("out_file", ["model_devi.out"])[0]),
        "atomic" in given,
        level.get("relative"),
        level.get("relative_v"),
        level.get("stop_at"),
        tuple(_number("fparam", word) for word in given.get("fparam", ())),
        tuple(_number("aparam", word) for word in given.get("aparam", ())),
        given["fparam_from_compute"][0] if "fparam_from_compute" in given else None,
    )


def _number(name: str, word: str) -> float:
    try:
        return float(word)
    except ValueError as exc:
        raise EngineError(f"{name} of pair_style is {word!r}, but must be a number") from exc


def parse_coeff(words: Sequence[str]) -> list[str]:
    """Return the elements of ``pair_coeff * * O H`` from the words after ``pair_coeff``.

    Raises
    ------
    EngineError
        If it is only about some pairs of types.
    """
    if list(words[:2]) != ["*", "*"]:
        raise EngineError(
            f"pair_coeff {' '.join(words)}: a model is for all pairs of types; write pair_coeff "
            "* * and the element of each type"
        )
    return list(words[2:])
