"""Which backends the tests run on, and one more that only allows what the standard allows."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np

from multifit.backend import get_backend
from multifit.support import FEATURES

#: Backends that are compared with NumPy. A new backend is one more line.
FRAMEWORKS = {
    "torch": "torch",
    "jax": "jax",
    "paddle": "paddle",
    "tensorflow": "tensorflow",
}

INSTALLED = tuple(name for name, module in FRAMEWORKS.items() if importlib.util.find_spec(module))
TRAINABLE = tuple(name for name in INSTALLED if name in FEATURES["train"].backends)

#: What array-api-strict must refuse, because a compiler could not do it.
STRICT_FLAGS = {"boolean_indexing": False, "data_dependent_shapes": False}


@dataclass(frozen=True)
class StrictBackend:
    """array-api-strict as a backend: it refuses whatever the standard does not promise."""

    name: str = "strict"
    xp: Any = array_api_strict
    can_train: bool = False
    static_shapes: bool = True
    eager: bool = False
    adam: None = None
    on_cpu: bool = True

    def asarray(self, x: np.ndarray, /) -> Any:
        return array_api_strict.asarray(np.asarray(x))

    as_input = asarray

    def to_numpy(self, x: Any, /) -> np.ndarray:
        return np.asarray(x._array)

    def segment_sum(self, x: Any, index: Any, n: int, /) -> Any:
        return self.asarray(
            get_backend("numpy").segment_sum(self.to_numpy(x), self.to_numpy(index), n)
        )

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        raise NotImplementedError("array-api-strict does not differentiate")

    def compile(self, f: Callable[..., Any], /, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        return f

    def describe(self) -> dict[str, str]:
        return {"version": array_api_strict.__version__, "devices": "cpu"}
