"""The page of the documentation: the results between its two marks are written from a report."""

from __future__ import annotations

from pathlib import Path

from .figures import draw
from .results import Report
from .tables import markdown

PAGE = "benchmarks.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def write_docs(report: Report, docs: Path) -> Path:
    """Write results and figures into the folder of the documentation; return the page."""
    page = docs / PAGE
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} has lost its marks; write {BEGIN!r} and {END!r} again")
    images = docs / "images"
    images.mkdir(exist_ok=True)
    for old in images.glob("bench-*.png"):
        old.unlink()
    figures = [f"images/{path.name}" for path in draw(report, images)]
    text = markdown(report, figures, level=3)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
    return page
