"""Reading YAML, with the checks that JSON has: unique keys, finite numbers."""

from __future__ import annotations

import math
import re
from typing import Any

from ..errors import ConfigError


def read_yaml(text: str, where: str) -> object:
    """Return the value of a YAML text; ``1e-3`` is a number, unlike in YAML 1.1.

    Raises
    ------
    ConfigError
        If PyYAML is not installed, the text is not YAML, a key is given twice, or a number is
        not finite.
    """
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            f'{where} is YAML, which needs PyYAML: pip install "multifit[yaml]", or give JSON'
        ) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
        """PyYAML's safe loader, more careful."""

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        loader.flatten_mapping(node)
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in found and not key.startswith("_"):
                raise ConfigError(
                    f"{where} gives the key {key!r} twice in one section "
                    f"(line {key_node.start_mark.line + 1}), but must once"
                )
            found[key] = loader.construct_object(value_node, deep=True)
        return found

    def number(loader: Any, node: Any) -> float:
        value = float(loader.construct_yaml_float(node))
        if not math.isfinite(value):
            raise ConfigError(
                f"{where} holds {node.value} (line {node.start_mark.line + 1}), but numbers must "
                "be finite"
            )
        return value

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:float", number)
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )
    try:
        return yaml.load(text, Loader)  # a subclass of the safe loader
    except ConfigError:  # which is a ValueError
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{where} is not YAML: {place}{error.problem}") from None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{where} is nested too deep") from None
