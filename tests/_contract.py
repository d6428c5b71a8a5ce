"""Adapters as what they claim to be, which mypy proves; nothing here runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _backends import StrictBackend

    from multifit.backend import Backend
    from multifit_jax._backend import JaxBackend
    from multifit_numpy import NumpyBackend
    from multifit_paddle._backend import PaddleBackend
    from multifit_tensorflow._backend import TensorFlowBackend
    from multifit_torch._backend import TorchBackend


def conforming(
    numpy: NumpyBackend,
    torch: TorchBackend,
    jax: JaxBackend,
    paddle: PaddleBackend,
    tensorflow: TensorFlowBackend,
    strict: StrictBackend,
) -> tuple[Backend, ...]:
    """Return the adapters as backends."""
    return numpy, torch, jax, paddle, tensorflow, strict
