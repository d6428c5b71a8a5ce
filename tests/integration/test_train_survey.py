"""What a run says about its data before the first step: the table, and what is unusual."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import RCUT, labelled, put, recipe, write
from rich.console import Console

from multifit import config
from multifit.backend import get_backend
from multifit.survey import Scope
from multifit.train.loop.train import train
from multifit.train.setup.look import Look
from multifit.train.setup.setup import Setup, set_up, survey
from multifit.train.start.data_notes import data_notes
from multifit.train.start.introduction import introduction


def prepared(folder: Path, given: dict[str, Any], look: Look | None = None) -> Setup:
    """Return the setup of a run."""
    return set_up(config.parse(given), get_backend("numpy"), folder, look)


def notes(folder: Path, given: dict[str, Any]) -> list[str]:
    """Return what is said about the data of a run, but that the toy's bonds are as in Bohr."""
    said = data_notes(prepared(folder, given).tasks[0])
    return [line for line in said if "Bohr" not in line]


def shown(folder: Path, given: dict[str, Any]) -> list[list[str]]:
    """Return the words of each line that a run begins with."""
    console = Console(file=io.StringIO(), width=120)
    for part in introduction(prepared(folder, given), []):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return [line.split() for line in console.file.getvalue().splitlines()]


def crowded(folder: Path, number: int = 3) -> Path:
    """Write frames of which the last is three times as dense as the others."""
    frames = labelled(number)
    assert frames.cell is not None
    box = np.tile(frames.cell.ravel(), (number, 1))
    factor = np.ones(number)
    factor[-1] = 0.7
    coord = frames.coord * factor[:, None, None]
    return write(folder, frames, coord=coord, box=box * factor[:, None])


def test_ordinary_data_need_no_sentence(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(4))
    write(tmp_path / "valid", labelled(2))
    held_out = {"training__validation_data": {"systems": "valid"}}
    assert notes(tmp_path, recipe(model__descriptor__sel="auto", **held_out)) == []


def test_the_table_has_each_system(tmp_path: Path) -> None:
    write(tmp_path / "a", labelled(4))
    write(tmp_path / "b", labelled(2), without=["virial"])
    given = recipe(["a", "b"], training__validation_data={"systems": "a"})
    setup = prepared(tmp_path, given)
    one = setup.tasks[0].data.training.found[0]
    natoms = str(int(one.atoms[0].sum()))
    closest = f"{one.nearest.min():.3f}"
    lines = shown(tmp_path, given)
    mine, _ = (line for line in lines if line[:2] == ["a", "4"])
    assert mine[:9] == ["a", "4", natoms, "O", "H", "E", "F", "V", "2"]
    assert mine[9:11] == ["0.667", closest]
    (other,) = [line for line in lines if line[:2] == ["b", "2"]]
    assert other[5:8] == ["E", "F", "2"]
    assert ["all", "6", natoms] in [line[:3] for line in lines]
    assert lines[lines.index(["validation:"]) + 1][:2] == ["a", "4"]


def test_one_dense_frame_of_all_is_found(tmp_path: Path) -> None:
    crowded(tmp_path / "data", 12)
    sel = prepared(tmp_path, recipe(model__descriptor__sel="auto:1.0")).tasks[0]
    found = sel.data.training.found[0]
    usual = found.most[:-1].max(axis=0)
    needed = found.most[-1]
    assert (needed > usual).all()
    line = notes(tmp_path, recipe(model__descriptor__sel=usual.tolist(), model__data_stat_nbatch=1))
    assert line[0] == (
        f"warning: sel {usual.tolist()} is too small in 1 of 12 frames: atoms have up to "
        f"{needed[0]} O (sel {usual[0]}, in data/set.000, frame 11), "
        f"{needed[1]} H (sel {usual[1]}, in data/set.000, frame 11); "
        f"the farthest are left out, and {needed.tolist()} would keep them all"
    )


def test_dense_validation_data_are_told(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(3))
    crowded(tmp_path / "valid")
    plain = prepared(tmp_path, recipe()).tasks[0].data.training.found[0].most.max(axis=0)
    held_out = {"training__validation_data": {"systems": "valid"}}
    said = notes(tmp_path, recipe(model__descriptor__sel=plain.tolist(), **held_out))
    assert "is too small in 1 of 6 frames" in said[0]
    assert "valid/set.000, frame 2" in said[0]


def test_the_series_covers_all_frames(tmp_path: Path) -> None:
    crowded(tmp_path / "data", 12)
    setup = prepared(tmp_path, recipe(model__data_stat_nbatch=1))
    task = setup.tasks[0]
    assert survey(setup, task).covers(task.data.training.found[0].nearest)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training.training_data.auto_prob": "prob_sys_size;0:1:1"}, "auto_prob or sys_probs"),
        ({"training.training_data.sys_probs": [1.0, 0.0]}, "auto_prob or sys_probs"),
        ({"training.training_data.batch_size": "filter:{}"}, "batch_size"),
    ],
)
def test_systems_that_are_never_drawn(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    small, large = labelled(3), labelled(5)
    write(tmp_path / "large", large)
    one = {"atype": small.atype[:2], "force": small.force[:, :2], "coord": small.coord[:, :2]}
    write(tmp_path / "small", type(small)(**(vars(small) | one)))
    filled = {key: v.format(2) if isinstance(v, str) else v for key, v in changes.items()}
    given = put(recipe(["small", "large"]), filled)
    assert notes(tmp_path, given)[0] == (
        f"warning: 1 training system with 5 frames is never drawn because of {reason}: large"
    )
    (line,) = [line for line in shown(tmp_path, given) if line[:2] == ["large", "5"]]
    assert "never" in line


def test_systems_that_are_listed_twice(tmp_path: Path) -> None:
    write(tmp_path / "one", labelled(3))
    write(tmp_path / "two", labelled(3))
    (tmp_path / "link").symlink_to("one")
    given = recipe(["one", "two", "link"])
    assert notes(tmp_path, given)[0] == (
        "warning: link is in training.training_data.systems more than once: its frames count as "
        "often; list each system once, and give it a larger share by sys_probs"
    )
    assert [line[:2] for line in shown(tmp_path, given) if "(again)" in line] == [
        ["link", "(again)"]
    ]
    held_out = {"training__validation_data": {"systems": ["two"]}}
    assert notes(tmp_path, recipe(["one", "two"], **held_out))[0] == (
        "warning: two is training data and validation data: its errors do not show how well other "
        "frames are predicted"
    )


def test_what_is_never_drawn_is_not_in_the_final_table(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, labelled(3))
    text = io.StringIO()
    given = recipe(["one", "two"], 1, training__training_data__sys_probs=[1.0, 0.0])
    settings = config.parse(put(given, {"training.disp_training": False}))
    train(
        settings,
        get_backend("torch"),
        base=tmp_path,
        output=tmp_path / "out",
        console=Console(file=text, width=100),
    )
    before, after = text.getvalue().split("evaluating the model")
    # The table and the warnings are no progress, which disp_training is about.
    assert "never drawn because of auto_prob or sys_probs: two" in before
    assert "one" in after
    assert "two" not in after


def test_elements_that_are_never_trained(tmp_path: Path) -> None:
    frames = labelled(3)
    hydrogen = np.flatnonzero(frames.atype == 1)
    part = {name: getattr(frames, name)[:, hydrogen] for name in ("coord", "force")}
    write(
        tmp_path / "data", type(frames)(**(vars(frames) | part | {"atype": frames.atype[hydrogen]}))
    )
    write(tmp_path / "valid", frames)
    names = {"model__type_map": ["O", "H", "C"], "model__descriptor__sel": [20, 40, 1]}
    held_out = {"training__validation_data": {"systems": "valid"}}
    assert notes(tmp_path, recipe(**names, **held_out))[:2] == [
        "warning: O is in the validation data, but in no training frame that is drawn: predictions "
        "for it are not trained",
        "C of type_map is in no training frame that is drawn: the model must not be used for it",
    ]
    assert notes(tmp_path, recipe(**names))[0] == (
        "O and C of type_map are in no training frame that is drawn: the model must not be used "
        "for them"
    )


def test_a_system_without_names_beside_others(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / name, labelled(2))
    (tmp_path / "c/type_map.raw").unlink()
    given = recipe(["a", "b", "c"], model__descriptor__sel="auto")
    assert notes(tmp_path, given) == [
        "warning: c has no type_map.raw, unlike other systems: 0 is taken as O, 1 as H"
    ]
    assert notes(tmp_path, recipe(["c"], model__descriptor__sel="auto")) == []


def test_a_long_table_is_shortened_to_what_is_unusual(tmp_path: Path) -> None:
    systems = [f"s{k:02d}" for k in range(40)]
    for k, name in enumerate(systems):
        write(tmp_path / name, labelled(1), without=["virial"] * (k == 37))
    sys_probs = [1 / 39] * 40
    sys_probs[33] = 0.0
    given = recipe(systems, training__training_data__sys_probs=sys_probs)
    lines = shown(tmp_path, given)
    names = [line[0] for line in lines if line and line[0] in systems]
    assert names == [*systems[:10], "s33", "s37"]
    assert ["…", "28", "more", "systems"] in lines
    assert [line[:2] for line in lines if line[:1] == ["all"]] == [["all", "40"]]


def test_a_skipped_look_is_told(tmp_path: Path) -> None:
    crowded(tmp_path / "data", 12)
    look = Look(limit=3)
    setup = prepared(tmp_path, recipe(), look)
    assert setup.tasks[0].data.training.found[0].nframes == 3
    assert look.notes() == [
        "distances and neighbours are of the first 3 frames of each system only"
    ]


def test_automatic_sel_and_the_table_share_one_look(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(4))
    looks: list[int] = []

    class Counted(Look):
        def _look(self, *given: Any) -> Any:
            looks.append(1)
            return super()._look(*given)

    prepared(tmp_path, recipe(model__descriptor__sel="auto"), Counted())
    assert len(looks) == 1


def message_passing(nsel: int = 30, messages: int = 20) -> dict[str, Any]:
    """Return the section of a small dpa2."""
    inner = {"rcut": 3.0, "rcut_smth": 1.5, "nsel": messages, "nlayers": 1, "g1_dim": 4}
    small = {"g2_dim": 4, "axis_neuron": 2, "attn1_hidden": 3, "attn2_hidden": 3}
    first = {"rcut": RCUT, "rcut_smth": 1.5, "nsel": nsel, "neuron": [3, 6], "axis_neuron": 2}
    return {"type": "dpa2", "repinit": first, "repformer": inner | small, "seed": 1}


def test_blocks_of_a_descriptor_share_one_look_with_it(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(4))
    looks: list[int] = []

    class Counted(Look):
        def _look(self, *given: Any) -> Any:
            looks.append(1)
            return super()._look(*given)

    given = recipe(model__descriptor=message_passing())
    (task,) = prepared(tmp_path, given, Counted()).tasks
    assert len(looks) == 1
    within = [each[0] for each in task.data.training.within]
    own = [Look().at(task.data.training.source.systems, Scope(rcut))[0] for rcut in (RCUT, 3.0)]
    for one, alone in zip(within, own, strict=True):
        np.testing.assert_array_equal(one.together, alone.together)


def test_blocks_in_a_hybrid_are_told(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(3))
    plain = {"type": "se_e2_a", "sel": [20, 40], "rcut": RCUT, "neuron": [3, 6], "seed": 1}
    given = recipe(model__descriptor={"type": "hybrid", "list": [plain, message_passing(30, 4)]})
    said = "\n".join(notes(tmp_path, given))
    assert "sel [4] of list[1].repformer is too small" in said
    assert "list[0]" not in said
    assert any("dpa2 repformer sel [4]" in " ".join(line) for line in shown(tmp_path, given))


def test_many_frames_are_announced_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multifit.train.setup.look.MANY", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    write(tmp_path / "data", labelled(4))
    first: list[str] = []
    prepared(tmp_path, recipe(), Look(first.append))
    assert first[0].startswith("looking at the neighbours of 4 frames; ")
    again: list[str] = []
    look = Look(again.append)
    prepared(tmp_path, recipe(), look)
    assert again == []
    assert look.notes() == [
        "distances and neighbours of 1 system are known from an earlier run "
        f"({tmp_path}/home/multifit/surveys)"
    ]
