"""Threads of the library for linear algebra that NumPy calls.

It reads its variables when NumPy is imported. Only threadpoolctl, which many environments have,
can change its number of threads afterwards.
"""

from __future__ import annotations

from multifit.host import threads


def blas_threads() -> list[int]:
    """Return the different numbers of threads of the libraries in use; empty if unknown."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    rows = threadpool_info()
    return sorted({int(row["num_threads"]) for row in rows if row["user_api"] == "blas"})


def limit_blas() -> None:
    """Set the number of threads if threadpoolctl is installed."""
    found = blas_threads()
    wanted = threads.limited(max(found, default=1))
    if not found or found == [wanted]:
        return
    from threadpoolctl import threadpool_limits

    threadpool_limits(wanted, user_api="blas")
