"""The model in the forms that deepmd-kit's backends evaluate: converted, and compressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .processes import run
from .programs import Peer

CHILDREN = Path(__file__).resolve().parent / "children"

#: Backend → the ending of a model that it evaluates, and whether it compresses such models.
FORMS = {"tf": (".pb", True), "pt": (".pth", True), "jax": (".hlo", True), "pd": (".pd", False)}

#: Seconds for a conversion; a compression searches all training data for the closest pair.
LIMIT = 900.0


def convert(
    peer: Peer, source: Path, compressed: bool, environment: Mapping[str, str]
) -> Path | str | None:
    """Return a model file for a backend of deepmd-kit, or why there is none.

    Parameters
    ----------
    source
        The ``.dp`` file; ``input.json`` lies beside it, and the files that are made.
    compressed
        Whether the embedding nets become tables; needs the plain one beside it.

    Returns
    -------
    path
        The file; words if it could not be made; None if the backend has no such form.
    """
    ending, compresses = FORMS[peer.backend]
    plain = source.with_name(f"{peer.backend}{ending}")
    target = source.with_name(f"{peer.backend}-compressed{ending}") if compressed else plain
    deepmd = [peer.python, "-m", "deepmd"]
    if compressed and not compresses:
        return None
    if compressed and not plain.exists():
        return "not converted"
    if compressed:
        files = ["-i", plain.name, "-o", target.name, "-t", "input.json"]
        command = [*deepmd, f"--{peer.backend}", "compress", *files]
    elif peer.backend == "pd":
        script = str(CHILDREN / "paddle_checkpoint.py")
        command = [peer.python, script, source.name, target.name]
    else:
        command = [*deepmd, "convert-backend", source.name, target.name]
    return _make(command, target, environment)


def _make(command: Sequence[str], target: Path, environment: Mapping[str, str]) -> Path | str:
    outcome = run(command, target.parent, environment, LIMIT)
    if target.exists() and not outcome.failure:
        return target
    print(outcome.tail(12), flush=True)
    errors = [line for _, line in outcome.lines if "Error: " in line]
    return f"not converted: {errors[-1] if errors else outcome.failure}"
