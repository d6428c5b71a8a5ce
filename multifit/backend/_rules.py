"""Derivatives that the core gives, instead of those that a framework would derive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

Array = Any
Arrays = tuple[Array, ...]


@runtime_checkable
class Rules(Protocol):
    """A backend whose gradients may follow rules of the core."""

    def with_rule(
        self,
        f: Callable[..., Arrays],
        rule: Callable[[Sequence[Array], Sequence[Array]], tuple[Array | None, ...]],
        /,
    ) -> Callable[..., Arrays]:
        """Return f, from arrays to a tuple of arrays, whose gradient is computed by the rule.

        The rule maps the arrays, and the cotangents of the results, to the cotangents of the
        arrays, of which None is zero. Nothing but its arguments may depend on parameters. The
        result cannot be differentiated forwards.
        """
        ...
