"""Models as static programs of Paddle, for Paddle Inference."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multifit.backend import Argument, Arithmetic, Exporter, Function
from multifit.backend.dynamic import Dynamic, DynamicArithmetic
from multifit.tree import flatten, map_leaves, unflatten

from . import _namespace
from ._start import paddle

#: The end of an axis of any length.
END = 2**31 - 1

#: Name of the program in its folder.
NAME = "model"


class _Graph:
    """The namespace for tensors of a static program, which do not know their memory layout."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_namespace, name)

    @staticmethod
    def matmul(x: Any, y: Any, /) -> Any:
        """Return the matrix product."""
        return paddle.matmul(x, y)  # type: ignore[no-untyped-call]


def _is_array(x: Any) -> bool:
    return isinstance(x, _namespace.ARRAYS)


def _sizes(x: Any) -> tuple[Any, ...]:
    """Return the sizes of a tensor of a program; one that is not known is a tensor itself."""
    known = list(x.shape)
    if -1 not in known:
        return tuple(known)
    found = paddle.shape(x)
    return tuple(found[k] if n == -1 else n for k, n in enumerate(known))


def _item(x: Any, key: Any) -> Any:
    """Return x[key], where Paddle (3.3) takes an unknown bound for zero beside other slices."""
    keys, axis = list(key) if isinstance(key, tuple) else [key], 0
    if Ellipsis in keys:
        n = keys.index(Ellipsis)
        more = x.ndim - sum(each is not None for each in keys) + 1
        keys[n : n + 1] = [slice(None)] * more
    for n, each in enumerate(keys):
        if isinstance(each, slice) and any(map(_is_array, (each.start, each.stop))):
            start, stop = each.start, each.stop
            starts, stops = [0 if start is None else start], [END if stop is None else stop]
            x, keys[n] = paddle.slice(x, [axis], starts, stops), slice(None)
        axis += each is not None
    return x if all(each == slice(None) for each in keys) else x[tuple(keys)]


def _specification(inputs: Sequence[Argument]) -> list[Any]:
    return [
        paddle.static.InputSpec(
            [None if isinstance(axis, str) else axis for axis in each.shape],
            each.dtype,  # type: ignore[arg-type]
            name=each.name,
        )
        for each in inputs
    ]


def program(arithmetic: Arithmetic) -> Exporter:
    """Return the exporter of folders with ``model.json`` and ``model.pdiparams``."""
    xp = Dynamic(_Graph(), _sizes, _is_array, _item)
    sized = DynamicArithmetic(arithmetic, xp)

    def find(mask: Any) -> Any:
        return xp.sized(paddle.nonzero(mask.value)[:, 0])

    def write(function: Function, path: Path, about: str) -> None:
        @paddle.jit.not_to_static
        def outputs(params: dict[str, Any], inputs: Sequence[Any]) -> tuple[Any, ...]:
            tree = map_leaves(xp.sized, unflatten(params))
            return tuple(y.value for y in function(sized, tree, [*map(xp.sized, inputs)], find))

        class Layer(paddle.nn.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.names = {}
                for k, (name, x) in enumerate(flatten(function.params).items()):
                    self.names[name] = f"p{k}"
                    self.register_buffer(f"p{k}", paddle.to_tensor(x))

            def forward(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
                params = {name: getattr(self, own) for name, own in self.names.items()}
                return outputs(params, inputs)

        specification = [_specification(function.inputs)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Paddle's, of its own functions
            static = paddle.jit.to_static(Layer(), input_spec=specification, full_graph=True)
            paddle.jit.save(static, str(path / NAME))

    return Exporter(".paddle", write, folder=True)
