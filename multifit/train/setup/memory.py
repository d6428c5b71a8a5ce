"""The memory for parameters and for Hessians of a batch, checked before a run starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import models as mdl
from ... import precision as prec
from ...errors import TrainingError
from ...host import memory
from ...host.sizes import in_words
from ...neighbors.frame import Frame, for_parts
from ...nn.networks import Network
from ...support import parts_of
from .budget import Budget
from .setup import Setup
from .source import Source

#: Arrays of tangents as large as the largest that coexist. Measured for 32 atoms: in a
#: training step PyTorch 17 to 19, Paddle 21, JAX 24, TensorFlow 26; without a gradient PyTorch 4.
ARRAYS = {"training": 20, "validation": 5}

#: Copies of the parameters in training: values, gradients, two moments, and one while they change.
COPIES = 5


def tangent_bytes(model: mdl.Model, frames: Sequence[Frame]) -> int:
    """Return the size in bytes of the largest array of tangents for one batch with Hessians.

    The embedding nets' outputs have a tangent for each pair and each of the 3·natoms coordinates.
    """
    pairs, whole = 0, model.descriptor.requires()
    natoms = sum(int((frame.atype >= 0).sum()) for frame in frames)
    for needs, own in zip(whole.each, for_parts(frames, whole, whole.each), strict=True):
        for b in {b for frame in own for b in frame.tables}:
            tables = [frame.tables[b] for frame in own if b in frame.tables]
            widths = [table.columns(needs.inner).widths for table in tables]
            pairs += natoms * sum(max(each) for each in zip(*widths, strict=True))
    directions = 3 * len(frames[0].atype)
    number = np.dtype(prec.numpy_dtype(model.descriptor.precision)).itemsize
    return directions * pairs * model.pair_width * number


def check_hessians(
    model: mdl.Model, source: Source, sizes: Sequence[int], kind: str, budget: Budget
) -> None:
    """Raise if a batch of Hessians would need more memory than available.

    Parameters
    ----------
    sizes
        Frames in a batch of each system.
    kind
        ``"training"`` or ``"validation"``, for messages.
    budget
        The memory of the run.

    Raises
    ------
    TrainingError
        Naming the system, the required and the available memory.
    """
    for k, (system, size) in enumerate(zip(source.systems, sizes, strict=True)):
        if not size:
            continue
        frames, _ = source.load(k, np.arange(min(size, system.nframes)))
        wanted = ARRAYS[kind] * tangent_bytes(model, frames)
        if wanted > budget.available:
            smaller = " or batch_size 1" if size > 1 else ""
            raise TrainingError(
                f"a batch with the Hessians of {len(frames)} × {system.natoms} atoms of the {kind} "
                f"system {system.name} takes about {in_words(wanted)} of memory, but "
                f"{in_words(budget.available)} are available ({budget.reason}): use smaller "
                f"systems for the Hessian term{smaller}, or set start_pref_h and limit_pref_h to 0"
            )


def check_parameters(model: mdl.Model, limit: int) -> None:
    """Raise TrainingError if the nets of a model do not fit into memory, before they are made."""
    fitting, descriptor = model.fitting, model.descriptor
    count = fitting.n_networks * _size(fitting.network)
    for part in parts_of(descriptor):
        count += sum(map(_size, _embedding_nets(part)))
    if COPIES * count * 8 > limit:
        raise TrainingError(
            f"the model has {count:.3g} parameters, and training takes about "
            f"{in_words(COPIES * count * 8)} for them, but {in_words(limit)} are available: "
            "lower neuron, axis_neuron or the number of components"
        )


def _embedding_nets(descriptor: Any) -> Sequence[Network]:
    """Return the settings of all embedding nets of a descriptor, as far as they are known."""
    stored = getattr(descriptor, "stored", None)
    if stored is not None:
        return list(stored.values())
    network = getattr(descriptor, "network", None)  # not every descriptor has embedding nets
    return [network] * getattr(descriptor, "n_networks", 1) if network else []


def _size(network: Network) -> int:
    return sum((layer.n_in + 2) * layer.n_out for layer in network.layers)


def check_memory(setup: Setup) -> None:
    """Raise TrainingError if the host lacks the memory for parameters or Hessians.

    A GPU has separate memory, and reports its own errors.
    """
    for task in setup.tasks:
        check_parameters(task.model, memory.available(mates=setup.processes.mates).nbytes)
    if not setup.backend.on_cpu:
        return
    for task in setup.tasks:
        data = task.data
        for kind, given in (("training", data.training), ("validation", data.validation)):
            if given is not None and task.loss.needs_hessian:
                check_hessians(task.model, given.source, given.sizes, kind, setup.budget)
