"""What the parts of a hybrid must have in common."""

from __future__ import annotations

from typing import Any

from ...rules import Rule


def protections(options: Any) -> list[float]:
    """Return ``env_protection`` of each part; a part without the option has none."""
    return [float(getattr(part, "env_protection", 0.0)) for part in options.list]


#: Relations that an input and settings have.
RULES = (
    Rule("list", lambda o: not o.list, "is empty, but must have one or more descriptors"),
    Rule(
        "list",
        lambda o: len(set(protections(o))) > 1,
        lambda o: (
            f"has parts with env_protection {', '.join(f'{x:g}' for x in protections(o))}, but all "
            "must have the same: give it in each part"
        ),
    ),
)

#: Relations of settings alone: an input checks the number of types of all its lists together.
TYPE_RULES = (
    Rule(
        "list",
        lambda o: len({part.ntypes for part in o.list}) > 1,
        lambda o: (
            f"has parts for {', '.join(str(part.ntypes) for part in o.list)} types, but all must "
            "be for the same types"
        ),
    ),
)
