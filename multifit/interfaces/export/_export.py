"""The formats, and writing a model in one of them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from ... import models as mdl
from ...backend import Exporter, Exports, get_backend
from ...errors import ConfigError, UnsupportedError, did_you_mean
from ...inference.model_file import read_model
from ...support import require_model
from ...tree import Tree
from ..mliap import export_mliap
from ._about import about
from ._files import place, require_free, require_other
from ._function import ModelFunction

log = logging.getLogger("multifit")

#: Format → the backend that writes it.
FORMATS = {
    "pt2": "torch",
    "torchscript": "torch",
    "stablehlo": "jax",
    "savedmodel": "tensorflow",
    "paddle": "paddle",
}

#: The pickle of LAMMPS' ML-IAP, which needs multifit to run, and its suffix.
MLIAP, MLIAP_SUFFIX = "mliap", ".pkl"

#: Formats that are known but not written, and why.
REFUSED = {
    "onnx": "multifit does not write ONNX; torchscript and pt2 run in C++, too",
    "numpy": "NumPy has no file format for functions; use multifit itself",
}


def exporter(name: str) -> tuple[str, Exporter]:
    """Return the backend of a format and its exporter.

    Raises
    ------
    ConfigError
        If there is no such format.
    BackendError
        If its framework is not installed.
    UnsupportedError
        If the format is refused, or the installed adapter does not write it.
    """
    if name in REFUSED:
        raise UnsupportedError(f"the format {name} is not available: {REFUSED[name]}")
    if name not in FORMATS:
        raise ConfigError(
            f"there is no format {name!r}{did_you_mean(name, [*FORMATS, MLIAP])}; use one of "
            f"{', '.join([*FORMATS, MLIAP])}"
        )
    backend = get_backend(FORMATS[name])
    found = backend.exporters() if isinstance(backend, Exports) else {}
    if name not in found:
        raise UnsupportedError(f"the adapter of {backend.name} does not write {name}")
    return backend.name, found[name]


def export(
    model: str | Path, format: str, output: str | Path | None = None, *, force: bool = False
) -> Path:
    """Write a model file in another format, and return the path of the result.

    Parameters
    ----------
    model
        A ``.dp``, ``.json`` or ``.yaml`` file of multifit or DeePMD-kit, or a checkpoint.
    format
        One of :data:`FORMATS`, or ``mliap`` (:func:`multifit.interfaces.mliap.export_mliap`).
    output
        File or folder to write; by default, the name of the model with the suffix of the format,
        in the current folder. For a file, a description is written beside it, with ``.json`` added
        to its name; in a folder, it is ``multifit.json``.
    force
        True to replace an existing output.

    Raises
    ------
    ConfigError
        If there is no such format.
    FileFormatError
        If the model cannot be read, or the output exists or cannot be written.
    BackendError
        If the framework of the format is not installed.
    UnsupportedError
        If the format or its framework cannot hold the model.

    Examples
    --------
    >>> export("model.dp", "torchscript")  # doctest: +SKIP
    PosixPath('model.pt')
    """
    if format == MLIAP:
        target = Path(Path(model).stem + MLIAP_SUFFIX) if output is None else Path(output)
        require_other(target, model)
        require_free(target, False, force)
        return export_mliap(model, target)
    _, found = exporter(format)
    target = Path(Path(model).stem + found.suffix) if output is None else Path(output)
    require_other(target, model)
    require_free(target, found.folder, force)
    settings, params, _ = read_model(model)
    return export_model(settings, params, format, target, force=force)


def export_model(
    model: mdl.Model, params: Tree, format: str, output: str | Path, *, force: bool = False
) -> Path:
    """Write a model, given by its settings and parameters, as :func:`export` does."""
    target = Path(output)
    name, found = exporter(format)
    require_free(target, found.folder, force)
    require_model(model, name)
    formats = getattr(model.descriptor, "formats", None)
    if formats is not None and format not in formats:
        raise UnsupportedError(
            f"a model with the descriptor {model.descriptor.name} cannot be exported as {format} "
            f"yet; use {' or '.join(sorted(formats))}, or multifit itself"
        )
    function = ModelFunction(model, params)
    text = json.dumps(about(function, format, name), indent=2, ensure_ascii=False) + "\n"
    with place(target, found.folder, text) as temporary:
        found.write(function, temporary, text)
    log.info("wrote %s", target)
    return target
