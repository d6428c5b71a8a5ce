"""The report: with ``MULTIFIT_CONSISTENCY_REPORT=docs/consistency.md`` a full run writes that page.

Without the variable nothing is written.
"""

from __future__ import annotations

import os
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from _check import RECORDS, Record
from _report import page

VARIABLE = "MULTIFIT_CONSISTENCY_REPORT"


def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist compared."""
    RECORDS.extend(Record(*one) for one in node.workeroutput.get("consistency", ()))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Hand the comparisons on, or write the page if all of them passed."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["consistency"] = [astuple(one) for one in RECORDS]
        return
    target = os.environ.get(VARIABLE)
    if target and exitstatus == pytest.ExitCode.OK:
        Path(target).write_text(page(RECORDS), encoding="utf-8")
