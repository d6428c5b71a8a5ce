"""Numbers in files of atoms that may be labels under other names."""

from __future__ import annotations

from collections.abc import Sequence

from ._reading import STRESS
from ._system import System

#: Most names that a sentence lists.
FEW = 8


def mapping_of(systems: Sequence[System], labels: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return what files of atoms hold under other names, and the ``keys`` that would read it.

    Parameters
    ----------
    systems
        Systems that lack the labels.
    labels
        Keys of :data:`LABELS` that are missing.

    Returns
    -------
    about
        ``"dft.xyz holds dft_energy and dft_forces"``; empty if there is nothing to tell.
    keys
        Label → the name that probably is it.
    """
    keys: dict[str, str] = {}
    for system in systems:
        wanted = [key for key in labels if key not in system.labels]
        wanted += [STRESS] * ("virial" in wanted)
        for name, label in system.unread.items():
            if label in wanted:
                keys.setdefault(label, name)
    if "virial" in keys:
        keys.pop(STRESS, None)
    having = next((system for system in systems if system.unread), None)
    if having is None:
        return "", {}
    names = list(having.unread)
    shown = ", ".join(names[:FEW]) + ", …" * (len(names) > FEW)
    # In the order of the labels, whatever that of the file is.
    ordered = {key: keys[key] for key in (*labels, STRESS) if key in keys}
    return f"{having.sets[0].where} holds {shown}", ordered
