"""Models as TorchScript, and as packages compiled by AOTInductor; both load in C++."""

from __future__ import annotations

import os
import shlex
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from multifit.backend import Argument, Backend, Exporter, Find, Function
from multifit.errors import BackendError
from multifit.tree import flatten, unflatten

Array = torch.Tensor

#: Name of the description in a TorchScript file and in the metadata of a package.
ABOUT = "multifit.json"


class _Module(torch.nn.Module):
    """The function with the parameters as buffers."""

    def __init__(self, function: Function, backend: Backend, find: Find | None) -> None:
        super().__init__()
        self.function, self.backend, self.find, self.names = function, backend, find, {}
        for k, (name, x) in enumerate(flatten(function.params).items()):
            self.names[name] = f"p{k}"  # names of buffers have no dots
            self.register_buffer(f"p{k}", backend.asarray(x))

    def forward(self, *inputs: Array) -> tuple[Array, ...]:
        """Return the outputs in the order of the function."""
        params = unflatten({name: getattr(self, own) for name, own in self.names.items()})
        return self.function(self.backend, params, inputs, self.find)


def _find(mask: Array) -> Array:
    return torch.nonzero(mask)[:, 0]


def _example(function: Function, backend: Backend) -> tuple[Array, ...]:
    return tuple(backend.asarray(x) for x in function.example())


def torchscript(backend: Backend) -> Exporter:
    """Return the exporter of traced modules; their shapes follow from the inputs of a call."""

    def write(function: Function, path: Path, about: str) -> None:
        module = _Module(function, backend, _find).eval()
        with torch.no_grad(), warnings.catch_warnings():
            # Of sizes taken as constant: those of weights; and that TorchScript is deprecated.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                module, _example(function, backend), check_trace=False
            )
            torch.jit.save(traced, str(path), _extra_files={ABOUT: about})

    return Exporter(".pt", write)


def _dimensions(inputs: Sequence[Argument]) -> tuple[dict[int, Any], ...]:
    """Return the axes of each input whose sizes differ from call to call."""
    names = {axis for each in inputs for axis in each.shape if isinstance(axis, str)}
    sizes = {name: torch.export.Dim(name, min=0) for name in sorted(names)}
    return tuple(
        {k: sizes[axis] for k, axis in enumerate(each.shape) if isinstance(axis, str)}
        for each in inputs
    )


def package(backend: Backend) -> Exporter:
    """Return the exporter of ``.pt2`` packages, compiled for this kind of processor."""

    def write(function: Function, path: Path, about: str) -> None:
        compiler = shlex.split(os.environ.get("CXX") or "g++")[0]
        if not shutil.which(compiler):
            raise BackendError(
                f"the format pt2 needs a C++ compiler, and there is no {compiler}: install one, "
                "name it in CXX, or export as torchscript"
            )
        module = _Module(function, backend, None).eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of its own functions
            program = torch.export.export(
                module,
                _example(function, backend),
                dynamic_shapes=(_dimensions(function.inputs),),
                strict=False,
            )
            torch._inductor.aoti_compile_and_package(
                program,
                package_path=str(path),
                inductor_configs={"aot_inductor.metadata": {ABOUT: about}},
            )

    return Exporter(".pt2", write)
