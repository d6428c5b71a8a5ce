"""The frameworks behind the adapters: required versions, and reasons why one cannot be used."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from dataclasses import dataclass

from ..errors import BackendError

#: Installation command for a missing backend.
INSTALL_HINT = 'pip install "multifit[{extra}]"'

#: Maximum number of characters quoted from a framework's error.
QUOTED = 200


@dataclass(frozen=True)
class Framework:
    """A framework that a backend is built on.

    Attributes
    ----------
    module
        Name to import.
    distributions
        Names on PyPI; the first is the one that the extra installs.
    needed
        Oldest supported version.
    """

    module: str
    distributions: tuple[str, ...]
    needed: str


#: Backend → framework; ``pyproject.toml`` says the same.
FRAMEWORKS = {
    "numpy": Framework("numpy", ("numpy",), "2.0"),
    "torch": Framework("torch", ("torch",), "2.6"),
    "jax": Framework("jax", ("jax",), "0.5"),
    "paddle": Framework("paddle", ("paddlepaddle", "paddlepaddle-gpu"), "3.1"),
    "tensorflow": Framework("tensorflow", ("tensorflow-cpu", "tensorflow"), "2.19"),
}


class UnusableError(BackendError):
    """A backend whose framework is not installed, too old, or broken at import.

    Attributes
    ----------
    reason
        The problem, without a remedy: "jax 0.4.1 is too old (needs 0.5)".
    remedy
        The remedy, with the command.
    installed
        True if a framework is installed.
    """

    def __init__(self, text: str, reason: str, remedy: str, installed: bool = True) -> None:
        super().__init__(f"{text}; {remedy}")
        self.reason, self.remedy, self.installed = reason, remedy, installed


def is_installed(name: str) -> bool:
    """Return True if the framework of a known backend is installed, without importing it."""
    return importlib.util.find_spec(FRAMEWORKS[name].module) is not None


def too_old(name: str) -> UnusableError | None:
    """Return the error for a framework that was imported and is too old, None for any other."""
    framework = FRAMEWORKS.get(name)
    if framework is None:
        return None
    found, distribution = _found(framework)
    numbers = _numbers(found)
    # Development builds of a framework have the version 0.0.0.
    if not any(numbers) or numbers >= _numbers(framework.needed):
        return None
    reason = f"{framework.module} {found} is too old (needs {framework.needed})"
    remedy = f'upgrade it with: pip install --upgrade "{distribution}>={framework.needed}"'
    return UnusableError(f"backend {name!r} cannot be used: {reason}", reason, remedy)


def refusal(name: str, cause: Exception) -> UnusableError:
    """Return the error for an adapter whose import failed with any exception.

    Parameters
    ----------
    name
        The backend.
    cause
        Exception raised by the import.
    """
    framework = FRAMEWORKS.get(name)
    install = f"install it with: {INSTALL_HINT.format(extra=name)}"
    missing = isinstance(cause, ModuleNotFoundError)
    if missing and (framework is None or repr(framework.module) in str(cause)):
        reason = _first_line(cause)
        text = f"backend {name!r} cannot be imported ({reason})"
        return UnusableError(text, reason, install, installed=False)
    complaint = f"{type(cause).__name__}: {_first_line(cause)}"
    if framework is None:
        text = f"backend {name!r} cannot be imported ({complaint})"
        return UnusableError(text, complaint, "install the package that it comes from again")
    old = too_old(name)
    if old is not None:
        return old
    found, distribution = _found(framework)
    reason = f"{f'{framework.module} {found}'.strip()} is broken ({complaint})"
    wanted = f'"{distribution}>={framework.needed}"'
    remedy = install if missing else f"repair it with: pip install --force-reinstall {wanted}"
    return UnusableError(f"backend {name!r} cannot be used: {reason}", reason, remedy)


def _found(framework: Framework) -> tuple[str, str]:
    """Return the version, "" if unknown, and the name of the distribution."""
    version, distribution = "", framework.distributions[0]
    for candidate in framework.distributions:
        try:
            version, distribution = importlib.metadata.version(candidate), candidate
        except importlib.metadata.PackageNotFoundError:
            continue
        break
    # The imported version is more reliable than the installed one: a folder may hide it.
    imported = getattr(sys.modules.get(framework.module), "__version__", None)
    return (imported if isinstance(imported, str) else version), distribution


def _numbers(version: str) -> tuple[int, ...]:
    """Return (2, 6, 0) for ``2.6.0rc1+cpu``, and () for anything that is not a version."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _first_line(exc: Exception) -> str:
    """Return the beginning of an error's text, without line breaks."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()] or ["no reason given"]
    return lines[0] if len(lines[0]) <= QUOTED else f"{lines[0][:QUOTED]}…"
