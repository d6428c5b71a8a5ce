"""Sums over processes by ``torch.distributed``: gloo on CPUs, NCCL on GPUs."""

from __future__ import annotations

import datetime

import torch
import torch.distributed as dist

from multifit.backend import Place
from multifit.distributed import free_port

Array = torch.Tensor

#: How long a sum may wait for a process that validates or compiles: without end. The group of
#: processes notices if one has ended.
WAIT = datetime.timedelta(days=365)

#: How long the engines of all processes may take to find one another.
START = datetime.timedelta(minutes=5)


class TorchEngine:
    """The default process group of ``torch.distributed``.

    Parameters
    ----------
    device
        Of the arrays.
    """

    def __init__(self, place: Place, device: str) -> None:
        port = place.gather(free_port() if place.rank == 0 else 0)[0]
        first = place.rank == 0
        store = dist.TCPStore(  # type: ignore[attr-defined]
            place.host, port, place.size, first, START, wait_for_workers=False
        )
        cuda = torch.device(device).type == "cuda"
        dist.init_process_group(
            "nccl" if cuda else "gloo",
            store=store,
            rank=place.rank,
            world_size=place.size,
            timeout=WAIT,
            device_id=torch.device(device) if cuda else None,
        )

    def all_reduce_sum(self, x: Array, /) -> Array:
        """Return the sum of the arrays (n,) of all processes; x is overwritten."""
        dist.all_reduce(x)
        return x

    def close(self) -> None:
        """End the process group."""
        dist.destroy_process_group()
