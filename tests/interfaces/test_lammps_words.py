"""LAMMPS' input language, and the lines that are ours; no LAMMPS is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multifit.errors import EngineError
from multifit.interfaces.lammps._elements import check_masses, types_of
from multifit.interfaces.lammps._script import Branch, _branches
from multifit.interfaces.lammps._style import parse_coeff, parse_style
from multifit.interfaces.lammps._words import logical_lines, words


def test_lines_are_joined_after_an_ampersand_and_in_triple_quotes() -> None:
    text = 'run 1 &\n 2\nprint """a\nb"""\nlast'
    assert logical_lines(text) == ["run 1  2", 'print """a\nb"""', "last"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run  10 # steps", ["run", "10"]),
        ("print 'a # b' # c", ["print", "a # b"]),
        ('print "it\'s"', ["print", "it's"]),
        ('variable a equal "1 + 2"', ["variable", "a", "equal", "1 + 2"]),
        ("run $(2 * (3 + 4))0", ["run", "$(2 * (3 + 4))0"]),
        ('print """two words"""', ["print", "two words"]),
        ("# nothing", []),
        ("   ", []),
    ],
)
def test_words(line: str, expected: list[str]) -> None:
    assert [word.text for word in words(line)] == expected


def test_quotes_are_kept_for_conditions() -> None:
    line = 'if "$a < 2" then "run 1" "jump SELF x" elif "$a == 3" "run 2" else "quit 1"'
    assert _branches(words(line)[1:], line) == [
        Branch('"$a < 2"', ["run 1", "jump SELF x"]),
        Branch('"$a == 3"', ["run 2"]),
        Branch(None, ["quit 1"]),
    ]


def test_if_without_then_is_refused() -> None:
    with pytest.raises(EngineError, match="then"):
        _branches(words("if 1 run 2")[1:], "if 1 run 2")


def test_the_options_of_deepmd() -> None:
    line = "a.dp b.dp out_freq 10 out_file md.out fparam 1.0 2 relative 0.5 atomic"
    style = parse_style(line.split())
    assert style.models == (Path("a.dp"), Path("b.dp"))
    assert (style.out_freq, style.out_file) == (10, Path("md.out"))
    assert (style.fparam, style.relative, style.atomic) == ((1.0, 2.0), 0.5, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "names no model"),
        (["a.dp", "outfreq", "10"], "did you mean 'out_freq'"),
        (["a.dp", "out_freq"], "needs a value"),
        (["a.dp", "out_freq", "ten"], "must be a number"),
        (["a.dp", "out_freq", "0"], "at least 1"),
        (["a.dp", "ttm", "1"], "two-temperature"),
        (["a.dp", "atomic", "yes"], "after atomic"),
    ],
)
def test_wrong_styles_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        parse_style(given)


def test_coefficients_of_some_types_are_refused() -> None:
    assert parse_coeff(["*", "*", "O", "H"]) == ["O", "H"]
    with pytest.raises(EngineError, match=r"all pairs of types"):
        parse_coeff(["1", "2", "O"])


def test_types() -> None:
    assert types_of(["H", "O", "NULL"], 3, ("O", "H")).tolist() == [-1, 1, 0, -1]
    assert types_of([], 2, ("O", "H")).tolist() == [-1, 0, 1]
    with pytest.raises(EngineError, match="names 1 element "):
        types_of(["O"], 2, ("O", "H"))
    with pytest.raises(EngineError, match="did you mean"):
        types_of(["O", "Hyd"], 2, ("O", "Hydr"))


def test_masses_of_another_element_are_refused_and_those_of_isotopes_are_not() -> None:
    kinds = types_of(["O", "H"], 2, ("O", "H"))
    check_masses(kinds, np.array([0.0, 16.0, 2.014]), ("O", "H"))
    with pytest.raises(EngineError, match=r"type 1 has the mass 1.008 of H"):
        check_masses(kinds, np.array([0.0, 1.008, 15.999]), ("O", "H"))
    check_masses(kinds, np.array([0.0, 1.008, 15.999]), ("Ow", "Hw"))  # no elements
