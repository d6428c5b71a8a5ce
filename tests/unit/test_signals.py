"""Signals: the first is answered and noted, a hasty second one is not, a later one acts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from multifit import signals as module
from multifit.signals import NOTICE, Interrupt

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give the signals back after each test, whatever it noted; nohup may ignore some."""
    before = {number: signal.getsignal(number) for number in module.EXIT_CODES}
    for number in before:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_is_answered_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == f"{NOTICE}\n"
        assert interrupt.exit_code == 130


def test_pressing_twice_is_pressing_once(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupt() as interrupt:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert interrupt.exit_code == 130
    assert capfd.readouterr().err.count("\n") == 1


def test_a_later_one_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with Interrupt(quiet=True) as interrupt:
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(module, "PATIENCE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupt.exit_code == 130


def test_a_quiet_run_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupt(quiet=True) as interrupt:
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.exit_code == 75
    assert capfd.readouterr().err == ""


def test_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    with contextlib.suppress(ValueError), Interrupt(quiet=True):
        signal.raise_signal(signal.SIGTERM)
        raise ValueError
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_second_of_two_quick_ones_may_come_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt(quiet=True):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


def test_nobody_listening_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(descriptor: int, text: bytes) -> int:
        raise OSError(9, "Bad file descriptor")

    with Interrupt() as interrupt:
        monkeypatch.setattr(module.os, "write", closed)
        signal.raise_signal(signal.SIGINT)
        assert interrupt.exit_code == 130


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGHUP", "SIGXCPU"])
def test_a_signal_outside_of_the_steps_ends_with_its_code(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    number = signal.Signals[name]
    before = signal.getsignal(number)

    def work() -> int:
        signal.raise_signal(number)
        raise AssertionError("the signal did nothing")

    assert module.stoppable(work) == 75
    assert capsys.readouterr().err == f"multifit: stopped by {name}\n"
    assert signal.getsignal(number) == before
    assert module.stoppable(lambda: 3) == 3


def test_a_hangup_that_nohup_ignores_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt(quiet=True) as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert interrupt.exit_code is None
        assert module.stoppable(lambda: signal.raise_signal(signal.SIGHUP) or 0) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_training_starts_where_there_is_no_sigusr1() -> None:
    code = """
import enum, signal

names = [s for s in signal.Signals if s.name != "SIGUSR1"]
signal.Signals = enum.IntEnum("Signals", [(s.name, s.value) for s in names])
del signal.SIGUSR1  # as on Windows

import multifit.train
from multifit.signals import Interrupt

with Interrupt(quiet=True) as interrupt:
    signal.raise_signal(signal.SIGTERM)
    print(interrupt.exit_code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "75\n", done.stderr
