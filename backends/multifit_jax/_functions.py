"""An energy model as a pytree of parameters and a pure function."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from multifit import models as mdl
from multifit.support import require_model
from multifit.tree import Tree

from ._backend import Array, JaxBackend

#: From parameters and a batch to the outputs.
Apply = Callable[[Tree, Tree], dict[str, Array]]


def functions(model: mdl.Model, params: Tree) -> tuple[Tree, Apply]:
    """Return the parameters as JAX arrays, and the pure function that evaluates the model.

    Parameters
    ----------
    model
        The settings.
    params
        The parameters as a nested dict of arrays, as from :func:`multifit.models.init` or
        :func:`multifit.inference.model_file.read_model`.

    Returns
    -------
    params
        The same nested dict, a pytree: ``params["fitting"]["nets"]["0"]…``. Statistics are part of
        it; :func:`multifit.models.trainable_names` names what training may change.
    apply
        ``apply(params, batch)`` returns the outputs of :func:`multifit.models.evaluate`: ``energy``
        (nframes,), ``atom_energy`` (N,), ``force`` (N, 3) and ``virial`` (nframes, 3, 3) for a
        batch of :class:`multifit.batching.batch.Batcher`, as NumPy or JAX arrays. It has no state:
        ``jax.jit`` and ``jax.grad`` work on it.

    Examples
    --------
    >>> params, apply = functions(*read_model("model.dp")[:2])  # doctest: +SKIP
    >>> jax.jit(apply)(params, batch)["energy"]  # doctest: +SKIP
    """
    backend = JaxBackend()
    require_model(model, backend.name)

    def apply(params: Tree, batch: Tree) -> dict[str, Array]:
        return mdl.evaluate(backend, model, params, jax.tree.map(jnp.asarray, batch))

    return jax.tree.map(jnp.asarray, params), apply
