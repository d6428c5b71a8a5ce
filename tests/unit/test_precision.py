"""Names of precisions."""

from __future__ import annotations

import numpy as np
import pytest
from _backends import INSTALLED, StrictBackend

from multifit import precision as prec
from multifit.backend import get_backend
from multifit.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("default", "float64"),
        ("float64", "float64"),
        ("double", "float64"),
        ("Float32", "float32"),
        ("single", "float32"),
    ],
)
def test_spellings(name: str, canonical: str) -> None:
    assert prec.canonical(name) == canonical
    assert prec.numpy_dtype(name) == np.dtype(canonical)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "int32", ""])
def test_other_precisions_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="use one of default, float32, float64"):
        prec.canonical(name)


def test_a_misspelt_precision_has_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'float32'"):
        prec.canonical("flot32")


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_casting_changes_the_dtype_only_where_needed(name: str) -> None:
    backend = get_backend(name)
    x = backend.asarray(np.array([1.0, 2.0]))
    assert prec.cast(backend.xp, x, "float64") is x
    narrow = prec.cast(backend.xp, x, "float32")
    assert backend.to_numpy(narrow).dtype == np.float32


def test_casting_needs_no_more_than_the_standard(strict: StrictBackend) -> None:
    x = strict.asarray(np.array([1.0, 2.0]))
    assert strict.to_numpy(prec.cast(strict.xp, x, "float32")).dtype == np.float32
