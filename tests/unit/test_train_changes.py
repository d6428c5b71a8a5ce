"""What is said of a restart whose input, data or model are not those of the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import build
from _water import put, recipe

from multifit import config
from multifit.errors import TrainingError
from multifit.train.start import changes as changes
from multifit.train.start.mismatch import INIT_MODEL, require_same


def full(**given: Any) -> dict[str, Any]:
    """Return an input with all defaults, as a checkpoint has it."""
    return config.parse(recipe(**given)).model_dump(mode="json")


def said(new: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    return changes.notes(full() if old is None else old, new)


def test_the_same_input_needs_no_words() -> None:
    assert said(full()) == []


@pytest.mark.parametrize("key", sorted(changes.OUTPUT))
def test_where_results_go_needs_no_words(key: str) -> None:
    assert said(put(full(), {key: "else"})) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"loss__start_pref_f": 1000}, "loss.start_pref_f 100 → 1000"),
        (
            {"training__training_data__keys": {"energy": "e"}},
            "training.training_data.keys {} → {…}",
        ),
        ({"learning_rate__stop_lr": 3.5e-8}, "learning_rate.stop_lr 0.0001 → 3.5e-08"),
        ({"model__type_map": None}, 'model.type_map ["O", "H"] → null'),
        ({"model__fitting_net__trainable": False}, "model.fitting_net.trainable true → false"),
        (
            {"model__descriptor__sel": [1, 2, 3, 4, 5, 6], "model__type_map": list("ABCDEF")},
            'model.type_map ["O", "H"] → ["A", "B", "C", … 6 in all], '
            "model.descriptor.sel [12, 20] → [1, 2, 3, … 6 in all]",
        ),
        (
            {"training__validation_data": {"systems": "v"}},
            "training.validation_data null → {…}",
        ),
        (
            {"training__training_data__batch_size": "auto"},
            'training.training_data.batch_size 2 → "auto"',
        ),
    ],
)
def test_a_change_has_both_values(given: dict[str, Any], words: str) -> None:
    assert said(full(**given)) == [f"changed since the checkpoint: {words}"]


def test_a_path_keeps_its_end() -> None:
    where = "/data/of/a/project/with/a/long/name/that/goes/on/water"
    (line, warning) = said(full(systems=where))
    assert line.endswith('"data" → "…ect/with/a/long/name/that/goes/on/water"')
    assert warning.startswith("warning: training.training_data.systems is another; if these are")


def test_another_type_is_one_change() -> None:
    rate = {"type": "cosine", "start_lr": 0.005, "stop_lr": 1e-4}
    line = 'changed since the checkpoint: learning_rate.type "exp" → "cosine"'
    assert said(full(learning_rate=rate)) == [line]


def test_many_changes_are_counted() -> None:
    old = {f"key{k}": 0 for k in range(20)}
    (line,) = said(dict.fromkeys(old, 1), old)
    assert line.endswith("key11 0 → 1 and 8 more")


def test_keys_of_another_version_are_passed_over() -> None:
    old = full()
    del old["training"]["ema_decay"]
    assert said(full(training__ema_decay=0.5), old | {"new": {"key": 1}}) == []


def test_what_only_the_start_reads_has_no_effect() -> None:
    assert said(full(training__seed=9)) == [
        "training.seed has no effect on a restart: parameters, statistics and the order of frames "
        "are the checkpoint's"
    ]
    for key in changes.AT_THE_START:
        (line,) = said(put(full(), {key: 99}), put(full(), {key: 1}))
        assert line.startswith(f"{key} has no effect")


def test_the_parts_of_a_hybrid_are_told_one_by_one() -> None:
    old = put(full(), {"model.descriptor": {"list": [{"seed": 1, "rcut": 4.0}, {"seed": 1}]}})
    new = put(full(), {"model.descriptor": {"list": [{"seed": 1, "rcut": 5.0}, {"seed": 2}]}})
    changed, idle = said(new, old)
    assert changed == "changed since the checkpoint: model.descriptor.list[0].rcut 4 → 5"
    assert idle.startswith("model.descriptor.list[1].seed has no effect on a restart")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ([5], [6], "were 1 system with 5 frames at the checkpoint, and are 1 system with 6 frames"),
        ([1], [3, 2], "1 system with 1 frame at the checkpoint, and are 2 systems with [3, 2] fr"),
        ([2] * 9, [2] * 8, "were 9 systems with 18 frames at the checkpoint, and are 8 systems"),
        (
            [3, 2],
            [2, 3],
            "2 systems with [3, 2] frames at the checkpoint, and are 2 systems with [",
        ),
    ],
)
def test_data_of_another_size(old: list[int], new: list[int], words: str) -> None:
    state = {
        "seed": np.array(3),
        "step": np.array(7),
        "given": np.array(old) * 2,
        "nframes": np.array(old),
    }
    got, warning = changes.other_frames(state, np.array(new))
    assert words in warning
    assert (got["seed"], got["step"]) == (3, 7)
    assert got["given"].tolist() == [0] * len(new)
    assert got["nframes"].tolist() == new
    same, nothing = changes.other_frames(state, np.array(old))
    assert nothing == ""
    assert same == state
    assert changes.other_frames({}, np.array(new)) == ({}, "")


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        (
            {"fitting_neuron": (7, 7)},
            {},
            "old.dp does not fit the input: model.fitting_net.neuron is [7, 7] in the input and "
            "[5, 5] in the file; change the input back",
        ),
        (
            {"fitting_neuron": ()},
            {"activation": "relu"},
            'model.descriptor.activation_function is "tanh" in the input and "relu" in the file; '
            "model.fitting_net.neuron is [] in the input and [5, 5] in the file; "
            'model.fitting_net.activation_function is "tanh" in the input and "relu" in the file; '
            "change the input back",
        ),
        (
            {"mixed_types": True},
            {},
            "fitting.mixed_types is true in the input and false in the file; "
            "fitting.nets.1.layers.0.w is nowhere in the input's model and [12, 5] in old.dp; ",
        ),
        (
            {},
            {"numb_fparam": 2, "numb_aparam": 1, "fitting_neuron": (7, 7), "precision": "float32"},
            "; 2 more differ; change the input back",
        ),
        (
            {"atom_exclude_types": (1,)},
            {},
            "model.atom_exclude_types is [1] in the input and [] in the file; change the input "
            "back, or use --finetune",
        ),
    ],
)
def test_a_model_that_does_not_fit(
    mine: dict[str, Any], theirs: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        require_same(build(**mine), build(**theirs), Path("old.dp"))
    assert words in str(caught.value)


def test_the_advice_is_that_of_the_option() -> None:
    with pytest.raises(TrainingError, match=r"in the file; start from a model with the input's"):
        require_same(build(neuron=(3, 5)), build(), Path("old.dp"), INIT_MODEL)


@pytest.mark.parametrize(("after", "idle"), [(False, True), (True, False)])
def test_what_a_fit_of_energies_reads_has_an_effect_only_with_one(after: bool, idle: bool) -> None:
    old = full(training__change_bias_after_training=after)
    new = put(old, {"model.fitting_net.rcond": 0.1, "model.data_bias_nsample": 3})
    (line,) = said(new, old)
    assert line.startswith("model.fitting_net.rcond and model.data_bias_nsample have no") == idle
    assert line.startswith("changed since the checkpoint: ") != idle
