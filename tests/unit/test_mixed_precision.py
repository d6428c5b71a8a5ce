"""Nets whose output layer has another precision than the hidden layers, and the input for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _water import recipe

from multifit import config, fitting
from multifit.config._compat import spread_mixed_precision
from multifit.config._draft import draft
from multifit.errors import ConfigError
from multifit.fitting import Fitting

XP = pytest.importorskip("array_api_compat.numpy")


def made(**options: Any) -> Fitting:
    base = {"ntypes": 2, "dim_descrpt": 4, "neuron": (5, 5), "precision": "float16"}
    return Fitting(**{**base, "output_precision": "float32", **options})


@pytest.mark.parametrize("output", ["float32", "float64"])
def test_the_output_layer_alone_is_precise(output: str) -> None:
    config = made(neuron=(5,), output_precision=output, resnet_dt=False)
    params = fitting.init(config, 1)
    d = np.random.default_rng(0).normal(size=(7, 4))
    y, pullback = fitting.fit(XP, config, params, 1, d)
    (first, last) = (params["nets"]["1"]["layers"][k] for k in "01")
    assert last["w"].dtype == output
    assert first["w"].dtype == np.float32
    half = {key: value.astype(np.float16) for key, value in first.items()}
    x = np.tanh(d.astype(np.float32).astype(np.float16) @ half["w"] + half["b"])
    assert x.dtype == np.float16
    want = x.astype(output) @ last["w"] + last["b"]
    np.testing.assert_array_equal(y, want.astype(np.float64))
    slope = pullback(np.ones_like(y))
    assert slope.dtype == np.float64
    exact = ((1 - x.astype(float) ** 2) * last["w"].T) @ first["w"].T
    np.testing.assert_allclose(slope, exact, atol=5e-3)


@pytest.mark.parametrize("options", [{}, {"neuron": ()}, {"output_precision": "float64"}])
def test_files_have_it_in_the_layer(options: dict[str, Any]) -> None:
    config = made(**options)
    params = fitting.init(config, 1)
    node = fitting.serialize(config, params)
    assert "output_precision" not in node
    layers = node["nets"]["networks"][0]["layers"]
    assert [layer["precision"] for layer in layers] == (
        ["float16"] * len(config.neuron) + [config.output_precision]
    )
    back, again = fitting.deserialize(node)
    assert replace(back, trainable=None) == config
    for k in range(2):
        y = fitting.fit(XP, config, params, k, np.ones((1, 4)))[0]
        np.testing.assert_array_equal(fitting.fit(XP, back, again, k, np.ones((1, 4)))[0], y)


def test_layers_of_two_precisions_cannot_share_parameters() -> None:
    with pytest.raises(ConfigError, match="'a', but they are in float16 and float32"):
        made(
            dim_descrpt=1,
            neuron=(1,),
            activation_function="none",
            resnet_dt=False,
            layer_name=("a", "a"),
        )


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ({}, ("float16", "float32")),
        ({"compute_prec": "bfloat16", "output_prec": "float64"}, ("bfloat16", "float64")),
    ],
)
def test_the_block_of_the_input_prevails(given: dict[str, str], want: tuple[str, str]) -> None:
    data = recipe(model__fitting_net__precision="float64", training__mixed_precision=given)
    found = config.parse(data)
    assert found.model.descriptor.precision == want[0]
    assert (found.model.fitting_net.precision, found.model.fitting_net.output_precision) == want
    assert config.normalize(config.normalize(data)) == config.normalize(data)
    assert config.parse(recipe(training__mixed_precision=None)).training.mixed_precision is None


def test_it_reaches_the_parts_of_a_hybrid_descriptor() -> None:
    parts = [{"type": "se_e2_a"}, {"type": "se_e2_r", "precision": "float32"}]
    descriptor = {"type": "hybrid", "list": parts}
    work = draft(recipe(model__descriptor=descriptor, training__mixed_precision={}), "input")
    spread_mixed_precision(work)
    found = work.data["model"]["descriptor"]
    assert "precision" not in found
    assert [part["precision"] for part in found["list"]] == ["float16"] * 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"compute_prec": "float32"}, 'compute_prec .* "float32", but must be "float16" or "bfl'),
        ({"output_prec": "float16"}, 'output_prec .* "float16", but must be "float32" or "float'),
        ({"output_prec": 32}, "output_prec .* 32, but must be"),
        ({"compute": "float16"}, "compute"),
        ("float16", "mixed_precision .* must be"),
    ],
)
def test_other_values_are_refused(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config.parse(recipe(training__mixed_precision=given))
