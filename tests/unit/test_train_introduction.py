"""The first line of a run: types and neighbours, of many types in short."""

from __future__ import annotations

import pytest

from multifit.train.start import introduction


@pytest.mark.parametrize(
    ("slots", "words"),
    [((46, 92), "sel [46, 92]"), ((20,) * 30, "sel 20"), ((*(9,) * 20, 7), "sel 7 to 9")],
)
def test_sel_of_many_types_is_a_range(slots: tuple[int, ...], words: str) -> None:
    assert introduction.sel_in_words(slots) == words


def test_of_many_types_the_first_are_named() -> None:
    assert introduction.types_in_words(("O", "H")) == "types O H"
    names = tuple("ABCDEFGHIJKLMNOP")
    assert introduction.types_in_words(names) == "16 types: A B C D E F G H I J K …"
