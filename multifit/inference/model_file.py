"""Reading the model of a file."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

from .. import files
from .. import models as mdl
from ..errors import FileFormatError, UnsupportedError
from ..tree import Tree
from .last_layer import shape
from .uncertainty import KEY, Uncertainty, from_content

#: Key of the section ``model`` of the input that a file was made from, as in DeePMD-kit's files.
SCRIPT = "model_def_script"


def read_model(path: str | Path) -> tuple[mdl.Model, Tree, dict[str, Any]]:
    """Return the settings, the parameters and the whole content of a model file or checkpoint.

    Warns if the conversion of a model of DeePMD-kit has changed its energies.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or not a model.
    UnsupportedError
        If multifit does not have this kind of model.
    """
    content = files.read(path)
    if not isinstance(content.get("model"), dict):
        raise FileFormatError(f"{path} holds no model (it has no key 'model')")
    try:
        model, params = mdl.from_content(content)
    except (FileFormatError, UnsupportedError) as exc:
        raise type(exc)(f"{path}: {exc}") from exc
    # ConfigError is a ValueError, and says which setting is out of range.
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
        reason = f"it lacks {exc}" if isinstance(exc, KeyError) else str(exc)
        raise FileFormatError(f"{path} is not a model that multifit understands: {reason}") from exc
    _warn_of_residuals(path, model, content)
    return model, params, content


def _warn_of_residuals(path: str | Path, model: mdl.Model, content: dict[str, Any]) -> None:
    """Warn if a converted model has other energies than the original.

    The fitting nets of DeePMD-kit's first TensorFlow backend add the input of a layer only from the
    second one on, and only where widths are equal; all other programs also where they double. Its
    files do not say so.
    """
    if (content.get("software"), content.get("backend")) != ("deepmd-kit", "TensorFlow"):
        return
    widths = (model.fitting.dim_in, *model.fitting.neuron)
    steps = list(itertools.pairwise(widths))
    other = [f"{a} to {b}" for a, b in steps if b == 2 * a]
    other += [f"{a} to {b}, the first layer" for a, b in steps[:1] if a == b]
    if other:
        warnings.warn(
            f"{path} was converted from DeePMD-kit's TensorFlow backend, whose fitting nets lack "
            f"the residual connections that the file stands for here (widths {', '.join(other)}): "
            "its energies are not those of the original model; compare one of them before you rely "
            "on it, and see D1 in the documentation (from-deepmd)",
            stacklevel=3,
        )


def read_uncertainty(
    path: str | Path, model: mdl.Model, content: dict[str, Any]
) -> Uncertainty | None:
    """Return the uncertainty stored in a model file, None if it has none.

    Raises
    ------
    FileFormatError
        If it is damaged.
    """
    if content.get(KEY) is None:
        return None
    blocks, width = shape(model)
    try:
        return from_content(content[KEY], blocks * width)
    except FileFormatError as exc:
        raise FileFormatError(f"{path}: {exc}") from exc
