"""Output that nobody reads, that has no room, or whose encoding is old."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from _cli_files import write_model

from multifit.console.streams import PLAIN, Losable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX's")


class Full(io.StringIO):
    """A stream on a disk that has no room for a while."""

    room = False

    def write(self, text: str) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        return super().write(text)


def command(folder: Path, *arguments: str, **environment: str) -> list[str]:
    write_model(folder / "m.dp")
    return [sys.executable, "-m", "multifit", *arguments]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
def test_an_old_encoding_ends_no_command(tmp_path: Path, encoding: str) -> None:
    done = subprocess.run(
        command(tmp_path, "show", "m.dp"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cut_off = next(line for line in done.stdout.splitlines() if line.startswith(b"cut-off"))
    assert (b"3.6 A," if "ascii" in encoding else b"3.6 \xc5,") in cut_off


def test_characters_are_replaced_by_near_ones() -> None:
    assert "√x → 1 Å² … “é” \udce4".encode("ascii", PLAIN) == b'sqrt x -> 1 A^2 ... "?" \xe4'


def test_a_closed_pipe_ends_no_command(tmp_path: Path) -> None:
    shown = command(tmp_path, "convert", "m.dp", "n.json")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(shown, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "n.json").exists()


@pytest.mark.parametrize(("verb", "code"), [("show", 2), ("convert", 0)])
def test_a_full_disk_is_said_and_fails_what_only_prints(
    tmp_path: Path, verb: str, code: int
) -> None:
    arguments = ["show", "m.dp"] if verb == "show" else ["convert", "m.dp", "n.json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(tmp_path, *arguments),
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == code
    assert done.stderr == (
        "multifit: standard output could not be written (No space left on device): lines are "
        "missing from it\n"
    )


def test_a_disk_that_has_room_again_is_written_to() -> None:
    disk = Full()
    stream = Losable(disk)
    assert stream.write("lost") == 4
    disk.room = True
    stream.write("kept")
    stream.flush()
    assert disk.getvalue() == "kept"
    assert isinstance(stream.lost, OSError)
