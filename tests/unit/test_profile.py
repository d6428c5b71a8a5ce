"""The recorder of where time goes: nesting, threads, sums, the timeline."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from pathlib import Path

import pytest
from rich.console import Console

from multifit.train.profile.breakdown import Breakdown, Floor
from multifit.train.profile.output import REST, steps, trace, with_rest, write_profile
from multifit.train.profile.recorder import BATCH, BESIDE, EVENTS, MAIN, OFF, STEP, Recorder


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(clock: Clock) -> Recorder:
    return Recorder(clock=clock)


def turn(recorder: Recorder, clock: Clock, wait: float, step: float, rest: float = 0.0) -> None:
    """Record one step of two parts, the second of which has one part."""
    with recorder.span(STEP):
        with recorder.span("wait"):
            clock.now += wait
        with recorder.span("update"):
            clock.now += 1.0
            with recorder.span("launch"):
                clock.now += step - 1.0
        clock.now += rest


def test_medians_and_totals(recorder: Recorder, clock: Clock) -> None:
    turn(recorder, clock, 1000.0, 1000.0)  # the first says nothing
    for wait, step in ((1.0, 10.0), (2.0, 20.0), (9.0, 60.0)):
        turn(recorder, clock, wait, step)
    found = {part.path: part[1:] for part in recorder.parts(MAIN)}
    assert list(found) == [(STEP,), (STEP, "wait"), (STEP, "update"), (STEP, "update", "launch")]
    assert found[STEP, "wait"] == (3, 2.0, 12.0)
    assert found[STEP, "update"] == (3, 20.0, 90.0)
    assert found[STEP, "update", "launch"] == (3, 19.0, 87.0)
    assert found[(STEP,)] == (3, 22.0, 102.0)


def test_parts_sum_up_to_the_whole(recorder: Recorder, clock: Clock) -> None:
    for rest in (0.5, 0.25, 3.0):
        turn(recorder, clock, 1.0, 10.0, rest)
    *parts, whole = with_rest(recorder.parts(MAIN), STEP)
    assert whole.path == (STEP,)
    assert [part.path[1:] for part in parts] == [
        ("wait",),
        ("update",),
        ("update", "launch"),
        (REST,),
    ]
    assert sum(part.total for part in parts if len(part.path) == 2) == pytest.approx(whole.total)
    assert parts[-1].total == pytest.approx(3.25)


def test_what_compiles_is_kept_apart(recorder: Recorder, clock: Clock) -> None:
    turn(recorder, clock, 1.0, 2.0)
    with recorder.span(STEP), recorder.span("update"), recorder.span("launch"):
        recorder.compiling("the step")
        clock.now += 500.0
    turn(recorder, clock, 1.0, 2.0)
    apart = {part.path: part for part in recorder.parts(MAIN, steady=False)}
    assert recorder.compiled == ["the step"]
    assert apart[STEP, "update", "compile the step"].total == 500.0
    assert apart[(STEP,)].calls == 2
    assert {part.path: part.calls for part in recorder.parts(MAIN)}[(STEP,)] == 1
    assert recorder.parts(MAIN)[0].total == 3.0
    with recorder.span("validation"):
        recorder.compiling("the validation")
    assert recorder.parts(MAIN, steady=False)[-1].path == ("compile the validation",)


def test_an_error_ends_spans(recorder: Recorder, clock: Clock) -> None:
    with pytest.raises(KeyError), recorder.span(STEP), recorder.span("wait"):
        raise KeyError
    turn(recorder, clock, 1.0, 2.0)
    assert recorder.parts(MAIN)[0].path == (STEP,)
    assert recorder.parts(MAIN)[0].total == 3.0


def test_threads_do_not_nest_in_each_other() -> None:
    recorder = Recorder()
    inside, go_on = threading.Event(), threading.Event()

    def draw() -> None:
        for _ in range(2):
            with recorder.span(BATCH), recorder.span("copy"):
                inside.set()
                go_on.wait(10)

    with recorder.span(STEP):
        pass
    thread = threading.Thread(target=draw)
    with recorder.span(STEP):
        thread.start()
        assert inside.wait(10)
        with recorder.span("wait"):
            go_on.set()
            thread.join()
    assert [part.path for part in recorder.parts(MAIN)] == [(STEP,), (STEP, "wait")]
    assert [part.path for part in recorder.parts(BESIDE)] == [(BATCH,), (BATCH, "copy")]
    assert [title for title, _ in steps(recorder)] == [MAIN, BESIDE]
    assert [title for title, _, _ in recorder.timeline()] == [MAIN, BESIDE]


def test_off_records_nothing_and_makes_nothing() -> None:
    assert OFF.span("a") is OFF.span("b")
    assert isinstance(OFF.span("a"), contextlib.nullcontext)
    with OFF.span("a"):
        OFF.compiling("a")
    assert OFF.compiled == []
    assert OFF.parts(MAIN) == []


def test_the_timeline_is_limited_and_the_sums_are_not(recorder: Recorder, clock: Clock) -> None:
    for _ in range(EVENTS + 1):
        with recorder.span(STEP):
            clock.now += 1.0
    ((_, events, dropped),) = recorder.timeline()
    assert (len(events), dropped) == (EVENTS, 1)
    assert recorder.parts(MAIN)[0].total == EVENTS
    assert trace(recorder, None)["otherData"]["dropped_spans"] == 1


def test_the_file_is_a_chrome_trace(recorder: Recorder, clock: Clock, tmp_path: Path) -> None:
    for _ in range(3):
        turn(recorder, clock, 1.0, 2.0)
    broken_down = Breakdown(192, 9, [("energy only", 0.25), ("+ optimizer", 1.0)])
    write_profile(recorder, broken_down, tmp_path, None)
    found = json.loads((tmp_path / "profile.json").read_text())
    spans = [event for event in found["traceEvents"] if event["ph"] == "X"]
    names = {
        event["tid"]: event["args"]["name"]
        for event in found["traceEvents"]
        if event["name"] == "thread_name"
    }
    assert names == {0: MAIN}
    assert len(spans) == 12
    assert all({"name", "ph", "ts", "dur", "pid", "tid"} <= set(event) for event in spans)
    outer = [event for event in spans if event["name"] == STEP]
    assert [event["args"]["number"] for event in outer] == [1, 2, 3]
    for event in spans:  # nested: each in the step of its number
        around = outer[event["args"]["number"] - 1]
        assert around["ts"] <= event["ts"]
        assert event["ts"] + event["dur"] <= around["ts"] + around["dur"]
    assert outer[1]["dur"] == 3e6  # µs
    assert found["otherData"]["breakdown"]["stages_s"]["+ optimizer"] == 1.0
    assert {tuple(row["path"]): row["calls"] for row in found["otherData"]["sums"]}[(STEP,)] == 2


def test_the_tables(recorder: Recorder, clock: Clock, tmp_path: Path) -> None:
    with recorder.span("reading data"):
        clock.now += 7.0
    for _ in range(5):
        turn(recorder, clock, 0.001, 1.003, 0.004)
    parts = [("energy only", 0.25), ("+ forces", 0.75), ("+ optimizer", 1.0)]
    text = io.StringIO()
    write_profile(
        recorder,
        Breakdown(192, 9, parts, Floor(6, 1e9, 0.5)),
        tmp_path,
        Console(file=text, width=100),
    )
    assert "energy only 250.00 25.0 + forces 500.00 50.0" in " ".join(text.getvalue().split())
    rows = {words[0]: words[1:] for line in text.getvalue().splitlines() if (words := line.split())}
    assert "reading data: 7.00 s" in text.getvalue()
    assert "the first step, not in the table: 1.01 s" in text.getvalue()
    assert rows["wait"] == ["4", "1.00", "1.00", "0.1", "0.00"]
    assert rows["launch"] == ["4", "3.00", "3.00", "0.3", "0.01"]
    assert rows[REST] == ["4", "4.00", "0.4", "0.02"]
    assert rows["a"] == ["step", "4", "1008.00", "1008.00", "100.0", "4.03"]
    assert "6 passes, 1 GFLOP" in text.getvalue()
    assert "at 2 GFLOP/s; a step takes 2.00 times as long" in text.getvalue()
    assert "https://ui.perfetto.dev" in text.getvalue()


def test_a_single_step_has_no_table(recorder: Recorder, clock: Clock, tmp_path: Path) -> None:
    turn(recorder, clock, 1.0, 2.0)
    text = io.StringIO()
    write_profile(recorder, None, tmp_path, Console(file=text, width=100))
    assert "give more numb_steps" in text.getvalue()
