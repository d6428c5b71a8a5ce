"""What is said about keys that an input gives and that change nothing."""

from __future__ import annotations

import pytest
from test_config_parse import MINIMAL, WATER, with_

from multifit import config
from multifit.config._config import sections
from multifit.config._notes import NEEDED

T, V = "training", "validating"
VALIDATION = ("training.validation_data", {"systems": "data"})


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([], []),
        (
            [("model.fitting_net.dim_case_embd", 2)],
            ["model.fitting_net.dim_case_embd has no effect"],
        ),
        ([(f"{T}.ema_decay", 0.999)], ["training.ema_decay has no effect without training.enable"]),
        ([(f"{T}.ema_decay", 0.99), (f"{T}.enable_ema", True)], []),
        (
            [(f"{T}.tensorboard_freq", 1), (f"{T}.tensorboard_log_dir", "log")],
            ["training.tensorboard_log_dir and training.tensorboard_freq have no effect without t"],
        ),
        (
            [(f"{V}.validation_freq", 5), (f"{V}.save_best", False), (f"{V}.max_best_ckpt", 2)],
            [
                "validating.validation_freq, validating.save_best and validating.max_best_ckpt "
                "have no effect without validating.full_validation"
            ],
        ),
        (
            [
                VALIDATION,
                (f"{V}.full_validation", True),
                (f"{V}.save_best", False),
                (f"{V}.max_best_ckpt", 2),
            ],
            ["validating.max_best_ckpt has no effect without validating.save_best"],
        ),
        ([("loss.huber_delta", 0.1)], ["loss.huber_delta has no effect without loss.use_huber"]),
        (
            [
                (f"{T}.training_data.auto_prob", "prob_uniform"),
                (f"{T}.training_data.sys_probs", [1]),
            ],
            ["training.training_data.auto_prob has no effect beside sys_probs"],
        ),
        (
            [("learning_rate.warmup_start_factor", 0.1)],
            ["learning_rate.warmup_start_factor has no effect without a warm-up"],
        ),
        (
            [("learning_rate.scale_by_worker", "sqrt")],
            ["learning_rate.scale_by_worker has no effect: there is one process"],
        ),
        (
            [(f"{T}.numb_test", 10), (f"{T}.enable_compile", False)],
            ["training.numb_test and training.enable_compile have no effect in multifit"],
        ),
        ([(f"{T}.profiling", False)], []),
    ],
)
def test_what_has_no_effect_is_said(edits: list[tuple[str, object]], said: list[str]) -> None:
    got = config.notes(config.parse(with_(MINIMAL, *edits)))
    assert len(got) == len(said)
    assert all(mine.startswith(theirs) for mine, theirs in zip(got, said, strict=True)), got


def test_the_example_of_deepmd_kit_has_nothing_to_note() -> None:
    assert config.notes(config.parse(WATER)) == []


def test_rows_name_keys() -> None:
    for path in (*NEEDED, *(key for keys in NEEDED.values() for key in keys)):
        section, _, key = path.rpartition(".")
        assert key in sections()[section][0].model_fields, path
