"""Names of precisions."""

from __future__ import annotations

import numpy as np
import pytest
from _backends import INSTALLED, StrictBackend
from _compare import same

from multifit import precision as prec
from multifit.backend import get_backend
from multifit.errors import ConfigError
from multifit.support import FEATURES


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("default", "float64"),
        ("float64", "float64"),
        ("double", "float64"),
        ("Float32", "float32"),
        ("single", "float32"),
        ("half", "float16"),
        ("bfloat16", "bfloat16"),
    ],
)
def test_spellings(name: str, canonical: str) -> None:
    assert prec.canonical(name) == canonical
    kept = "float32" if canonical in prec.HALF else canonical
    assert prec.kept(name) == kept
    assert prec.numpy_dtype(name) == np.dtype(kept)


@pytest.mark.parametrize("name", ["int32", ""])
def test_other_precisions_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="use one of default, float64, float32, float16, bfloat"):
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


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
@pytest.mark.parametrize("precision", prec.HALF)
def test_half_precision_is_for_computing_alone(name: str, precision: str) -> None:
    if name not in FEATURES[precision].backends:
        pytest.skip(f"{name} has no {precision}")
    backend = get_backend(name)
    x = backend.asarray(np.array([1.0, 1.0 + 2.0**-12]))
    assert backend.to_numpy(prec.cast(backend.xp, x, precision)).dtype == np.float32
    rounded = prec.narrow(backend.xp, x, precision)
    same(backend.to_numpy(prec.cast(backend.xp, rounded, precision)), np.ones(2), rtol=0.0)
    assert prec.narrow(backend.xp, x, "float32") is x


def test_casting_needs_no_more_than_the_standard(strict: StrictBackend) -> None:
    x = strict.asarray(np.array([1.0, 2.0]))
    assert strict.to_numpy(prec.cast(strict.xp, x, "float32")).dtype == np.float32
