"""Sums over processes by ``jax.distributed``: gloo on CPUs, NCCL on GPUs."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from multifit.backend import Place
from multifit.console.silence import silence
from multifit.distributed import LOOPBACK, free_port

Array = jax.Array

#: Name of the axis of processes.
AXIS = "process"

#: Seconds for the services of all processes to find one another.
START = 300


class JaxEngine:
    """One device of each process, in a mesh with one axis."""

    def __init__(self, place: Place) -> None:
        port = place.gather(free_port() if place.rank == 0 else 0)[0]
        with silence(1):
            jax.distributed.initialize(
                f"{place.host}:{port}",
                place.size,
                place.rank,
                local_device_ids=_own_device(place.local_rank),
                initialization_timeout=START,
                coordinator_bind_address=f"127.0.0.1:{port}" if place.host in LOOPBACK else None,
            )
            of_each = [_first(jax.devices(), k) for k in range(place.size)]
            mesh = Mesh(np.array(of_each), (AXIS,))
            over, whole = Spec(AXIS), Spec()  # type: ignore[no-untyped-call]
            self._parts = NamedSharding(mesh, over)
            self._size = place.size
            total = functools.partial(jax.lax.psum, axis_name=AXIS)
            spread = jax.shard_map(total, mesh=mesh, in_specs=over, out_specs=whole)
            self._sum: Callable[[Array], Array] = jax.jit(spread)
            self.all_reduce_sum(jax.device_put(np.zeros(1)))  # gloo greets at its first use

    def all_reduce_sum(self, x: Array, /) -> Array:
        """Return the sum of the arrays (n,) of all processes."""
        shape = (self._size * x.shape[0],)
        whole = jax.make_array_from_single_device_arrays(shape, self._parts, [x])
        mine: Array = self._sum(whole).addressable_data(0)
        return mine.block_until_ready()

    def close(self) -> None:
        """End the service."""
        jax.distributed.shutdown()  # type: ignore[no-untyped-call]


def _first(devices: list[Any], process: int) -> Any:
    """Return the first device of a process."""
    return next(device for device in devices if device.process_index == process)


def _own_device(local_rank: int) -> list[int]:
    """Return the number of this process's GPU, among those that it can see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    # Queue systems may show each process its own only.
    return [local_rank % len(visible) if visible != [""] else local_rank]
