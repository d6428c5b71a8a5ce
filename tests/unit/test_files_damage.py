"""Damaged, truncated and missing files are refused in one sentence."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from multifit.errors import FileFormatError
from multifit.files import read, write
from multifit.files._integrity import LENGTH, MARK


def model() -> dict[str, object]:
    rng = np.random.default_rng(1)
    layers = [{"@class": "Layer", "@variables": {"w": rng.normal(size=(8, 8))}} for _ in range(6)]
    return {"software": "multifit", "model": {"layers": layers, "type_map": ["O", "H"]}}


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return the content after one of the accidents that happen to files."""
    place = rng.randrange(len(content))
    kind = rng.choice(["flip", "cut", "cut the seal", "header", "hole", "swap", "longer"])
    if kind == "flip":
        return (
            content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
        )
    if kind == "cut":
        return content[:place]
    if kind == "cut the seal":
        return content[: -rng.randrange(1, 60)]
    if kind == "header":
        place = rng.randrange(600)
        return content[:place] + rng.randbytes(16) + content[place + 16 :]
    if kind == "hole":
        place = rng.randrange(len(content) - 511)
        if not any(content[place : place + 512]):
            return content[:place]  # a hole in zeros changes nothing
        return content[:place] + bytes(512) + content[place + 512 :]
    if kind == "swap":
        return content[4096:] + content[:4096]
    return content + rng.randbytes(rng.randrange(1, 50))


def test_no_damage_goes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "model.dp"
    write(path, model())
    content = path.read_bytes()
    rng = random.Random(7)
    for _ in range(400):
        bad = damaged(content, rng)
        assert bad != content
        path.write_bytes(bad)
        with pytest.raises(FileFormatError, match=r"model\.dp"):
            read(path)


def test_the_error_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.dp"
    write(path, model())
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        FileFormatError, match=r"model\.dp is damaged \(its checksum does not match"
    ):
        read(path)
    path.write_bytes(content[:-40])
    with pytest.raises(FileFormatError, match="checksum is missing"):
        read(path)


@pytest.mark.parametrize("length", [20, 900, -200])
def test_a_truncated_file_without_a_seal_is_called_truncated(tmp_path: Path, length: int) -> None:
    """As DeePMD-kit writes it."""
    path = tmp_path / "model.dp"
    write(path, model())
    plain = path.read_bytes()[:-LENGTH].replace(MARK.encode(), b"x" * len(MARK))
    path.write_bytes(plain)
    assert read(path)["software"] == "multifit"
    path.write_bytes(plain[:length])
    with pytest.raises(FileFormatError, match=r"model\.dp is truncated or damaged: restore it"):
        read(path)


def test_damaged_text_is_refused(tmp_path: Path) -> None:
    for suffix in (".json", ".yaml"):
        path = tmp_path / f"model{suffix}"
        write(path, model())
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + b"\xff")
        with pytest.raises(FileFormatError, match="does not hold valid"):
            read(path)


def test_truncated_foreign_file_is_refused(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "model.dp"
    with h5py.File(path, "w") as file:
        file["variable_0000"] = np.arange(1000.0)
        file.attrs["json"] = '{"@variables":{"w":"/variable_0000"}}'
    content = path.read_bytes()
    for size in (4, 8, 50, 500, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(FileFormatError, match=r"model\.dp"):
            read(path)


@pytest.mark.parametrize("suffix", [".dp", ".json", ".yaml"])
def test_empty_missing_and_folder(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    with pytest.raises(FileFormatError, match="does not exist"):
        read(path)
    path.touch()
    with pytest.raises(FileFormatError, match="is empty"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(FileFormatError, match="is a folder"):
        read(path)


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.dp")
    with pytest.raises(FileFormatError, match="not a regular file"):
        read(tmp_path / "model.dp")


def test_a_name_that_can_not_be_one(tmp_path: Path) -> None:
    for name in ("a\0b.dp", "x" * 5000 + ".dp"):
        with pytest.raises(FileFormatError):
            read(tmp_path / name)
        with pytest.raises(FileFormatError):
            write(tmp_path / name, {})


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.dp"
    path.touch()
    path.write_bytes(b"x")

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(FileFormatError, match="permissions"):
        read(path)


def test_a_too_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    with path.open("wb") as file:
        file.truncate(2**30)  # sparse: takes no room
    with pytest.raises(FileFormatError, match=r"has 1\.0 GB"):
        read(path)


def test_other_endings(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"convert-backend .*model\.pb .*model\.dp"):
        read(tmp_path / "model.pb")
    for suffix in (".pth", ".pt", ".pt2", ".savedmodel", ".jax", ".hlo"):
        with pytest.raises(FileFormatError, match="frozen DeePMD-kit model"):
            read(tmp_path / f"model{suffix}")
    with pytest.raises(FileFormatError, match=r"\.dp, \.h5, \.hdf5, \.json, \.yaml, \.yml"):
        read(tmp_path / "model.pkl")
    with pytest.raises(FileFormatError, match=r"did you mean '\.json'"):
        write(tmp_path / "model.jsn", {})
    (tmp_path / "model.json").write_text('{"base_code": {}, "program": {}}')
    with pytest.raises(FileFormatError, match="frozen Paddle model"):
        read(tmp_path / "model.json")
