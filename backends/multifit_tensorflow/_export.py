"""Models as SavedModel, for TensorFlow in Python, C++ and servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from multifit.backend import Arithmetic, Exporter, Function
from multifit.backend.dynamic import Dynamic, DynamicArithmetic
from multifit.tree import map_leaves


def _sizes(x: Any) -> tuple[Any, ...]:
    """Return the sizes of a tensor of a graph; one that is not known is a tensor itself."""
    known = x.shape.as_list()
    if None not in known:
        return tuple(known)
    found = tf.shape(x)
    return tuple(found[k] if n is None else n for k, n in enumerate(known))


def saved_model(arithmetic: Arithmetic) -> Exporter:
    """Return the exporter of folders of ``tf.saved_model``, whose signature has names."""
    xp = Dynamic(arithmetic.xp, _sizes, tf.is_tensor)
    sized = DynamicArithmetic(arithmetic, xp)

    def find(mask: Any) -> Any:
        return xp.sized(tf.where(mask.value)[:, 0])

    def write(function: Function, path: Path, about: str) -> None:
        def outputs(*inputs: Any) -> dict[str, Any]:
            params = map_leaves(lambda x: xp.sized(tf.constant(x)), function.params)
            found = function(sized, params, [xp.sized(x) for x in inputs], find)
            return {each.name: y.value for each, y in zip(function.outputs, found, strict=True)}

        signature = [
            tf.TensorSpec(
                [None if isinstance(axis, str) else axis for axis in each.shape],
                each.dtype,
                name=each.name,
            )
            for each in function.inputs
        ]
        module = tf.Module()
        module.outputs = tf.function(outputs, autograph=False, input_signature=signature)
        made = module.outputs.get_concrete_function()
        tf.saved_model.save(module, str(path), signatures=made)

    return Exporter(".savedmodel", write, folder=True)
