"""Sums over processes by ``paddle.distributed``: gloo on CPUs, NCCL on GPUs."""

from __future__ import annotations

import os

from multifit.backend import Place
from multifit.console.silence import silence
from multifit.distributed import free_port

from ._start import paddle

Array = paddle.Tensor


class PaddleEngine:
    """The default group of ``paddle.distributed``.

    Parameters
    ----------
    on_cpu
        True if arrays are in host memory.
    """

    def __init__(self, place: Place, on_cpu: bool) -> None:
        self._place = place
        ends = place.gather(f"{place.address}:{free_port()}")
        os.environ |= {
            "PADDLE_TRAINER_ID": str(place.rank),
            "PADDLE_TRAINERS_NUM": str(place.size),
            "PADDLE_TRAINER_ENDPOINTS": ",".join(ends),
            "PADDLE_CURRENT_ENDPOINT": ends[place.rank],
            "PADDLE_MASTER": ends[0],
            "PADDLE_DISTRI_BACKEND": "gloo" if on_cpu else "nccl",
        }
        with silence(1, 2):
            paddle.distributed.init_parallel_env()

    def all_reduce_sum(self, x: Array, /) -> Array:
        """Return the sum of the arrays (n,) of all processes; x is overwritten."""
        # Paddle gives up after 30 s, but a process may compile or validate for longer.
        self._place.gather(None)
        paddle.distributed.all_reduce(x)
        return x

    def close(self) -> None:
        """End the group."""
        paddle.distributed.destroy_process_group()
