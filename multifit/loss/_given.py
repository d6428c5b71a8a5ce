"""Whether predictions and labels that people give can be compared: what is not said is not so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import did_you_mean
from ._config import LossConfig
from ._terms import labels, predictions

Array = Any

#: What models give beside a prediction, and no loss compares.
_BESIDE = {
    "virial": ("atom_virial",),
    "dos": ("energies", "fermi_level", "gap", "vbm", "cbm", "electrons"),
}


def there(label: Mapping[str, Array], key: str) -> bool:
    """Return whether a label is given, and not said to be missing."""
    return key in label and bool(float(label.get(f"find_{key}", 1.0)))


def require_comparable(
    config: LossConfig, prediction: Mapping[str, Array], label: Mapping[str, Array]
) -> None:
    """Raise ValueError for unknown keys, and unless each label of a term meets its prediction.

    Otherwise the loss would be zero for a reason that nobody sees.
    """
    mine, theirs = predictions(config.table), labels(config.table)
    beside = [name for key in mine for name in _BESIDE.get(key, ())]
    _require_known("prediction", prediction, (*mine, *beside))
    _require_known("label", label, (*theirs, *(f"find_{key}" for key in theirs)))
    for key in theirs:
        if key not in label and float(label.get(f"find_{key}", 0.0)):
            raise ValueError(f"find_{key} is not 0, but there is no label {key!r}; give it too")
    usable = [term for term in config.terms if all(there(label, k) for k in config.needs(term))]
    for term in usable:
        key = config.prediction(term)
        if key not in prediction:
            raise ValueError(
                f"the loss has {_article(config.title(term))} term and there is a label "
                f"{config.table[term].label!r}, but the prediction has no {key!r}; give it too"
            )
    if not usable:
        wanted = ", ".join(
            f"{' with '.join(config.needs(term))} ({config.title(term)})" for term in config.terms
        )
        raise ValueError(
            "there is no label that the loss compares with; give at least one of "
            f"{wanted}, whose find_… is not 0"
        )


def _require_known(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    names = list(known)
    for key in given:
        if key not in names:
            plain = [name for name in names if not name.startswith("find_")]
            near = did_you_mean(str(key), names) or f"; known are {', '.join(plain)}"
            raise ValueError(f"there is no {what} {key!r}{near}")


def _article(title: str) -> str:
    return f"{'an' if title[0] in 'aeiou' else 'a'} {title}"
