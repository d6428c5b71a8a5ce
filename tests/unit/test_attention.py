"""Softmax and layer norm: their values."""

from __future__ import annotations

import numpy as np
import pytest
from _compare import same

from multifit.backend import get_backend
from multifit.nn.attention import layer_norm, softmax

XP = get_backend("numpy").xp
X = np.random.default_rng(4).normal(size=(2, 3, 5))


@pytest.mark.parametrize("axis", [-1, 1])
def test_softmax_is_normalized_exponentials(axis: int) -> None:
    e = np.exp(X)
    same(softmax(XP, X, axis=axis), e / e.sum(axis=axis, keepdims=True), rtol=1e-14)


def test_softmax_does_not_overflow() -> None:
    same(softmax(XP, X + 1e4), softmax(XP, X), rtol=1e-10)
    same(softmax(XP, np.asarray([0.0, -1e4])), np.asarray([1.0, 0.0]), rtol=0.0)


def test_layer_norm_has_mean_zero_and_variance_one() -> None:
    y = layer_norm(XP, X, epsilon=0.0)
    same(y.mean(axis=-1), np.zeros((2, 3)), rtol=0.0, atol=1e-14)
    same(y.var(axis=-1), np.ones((2, 3)), rtol=1e-13)
    scale, shift = np.arange(5.0), np.arange(5.0) - 2.0
    same(layer_norm(XP, X, scale=scale, shift=shift, epsilon=0.0), y * scale + shift)


def test_layer_norm_of_equal_numbers_is_the_shift() -> None:
    same(layer_norm(XP, np.ones((2, 4)), shift=np.full(4, 0.5)), np.full((2, 4), 0.5), rtol=0.0)
