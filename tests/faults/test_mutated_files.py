"""Some of the mutated files of ``fuzz_files.py``: a sentence or a right result for each."""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from _limited import limited
from fuzz_files import kind_of, prepared, run_case

from multifit.errors import DataError

CASES = 200

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not Path("/proc/self/statm").exists(), reason="needs Linux"
)


@pytest.fixture(scope="module")
def folders() -> Iterator[tuple[Path, Path]]:
    pytest.importorskip("torch")  # trains the checkpoint, in another process
    with prepared() as found:
        yield found


def test_damaged_files_end_in_a_sentence_or_a_right_result(folders: tuple[Path, Path]) -> None:
    bad, kinds = [], Counter()
    for number in range(CASES):
        outcome = run_case(number, *folders)
        kinds[kind_of(number), outcome.kind] += 1
        if not outcome.good:
            bad.append(f"case {number}, {kind_of(number)}: {outcome.kind}: {outcome.text[-500:]}")
    assert not bad
    assert min(kinds["model.dp", kind] for kind in ("right", "refused")) > 0


def test_the_limits_see_what_they_should(tmp_path: Path) -> None:
    """Each kind of failure is found, so that none among the cases means that there is none."""

    def fill() -> None:
        bytearray(2**31)

    def spin() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
        while True:
            pass

    def refuse() -> None:
        raise DataError("data/a is missing; give another folder")

    calls = {
        "right": lambda: None,
        "refused": refuse,
        "traceback": fill,
        "hang": spin,
        "crash": lambda: os.abort(),
        "outside": lambda: Path("/etc/hostname").read_text(),
    }
    if not Path("/etc/hostname").exists():
        del calls["outside"]
    assert {kind: limited(call, tmp_path).kind for kind, call in calls.items()} == {
        kind: kind for kind in calls
    }
