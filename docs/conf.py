"""Sphinx: MyST pages, and two pages that are written from the code at every build."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

import multifit

project = "multifit"
author = "The multifit developers"
copyright = f"2026, {author}"
release = version = multifit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"multifit {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_rtype = False
# References to our public names are checked; other projects' pages are not here to be linked to.
nitpick_ignore_regex = [(r"py:.*", r"(?!multifit\.).*"), (r"py:.*", r"multifit\.(.*\.)?_.*")]

HERE = Path(__file__).parent

#: What stands above the support matrix.
SUPPORT = """\
# Support matrix

What each backend of this version can do. A cell that says no raises an error that names the
backends which can; each cell is tested. [How equal the backends are](../consistency.md) is another
page.

"""


def write_generated(_app: Sphinx) -> None:
    """Write the input reference and the support matrix, which live in the code."""
    from multifit import support
    from multifit.config import _reference

    folder = HERE / "generated"
    folder.mkdir(exist_ok=True)
    pages = {"input.md": _reference.markdown(), "support.md": SUPPORT + support.markdown()}
    for name, text in pages.items():
        path = folder / name
        # An unchanged page keeps its date, so that Sphinx reads only what changed.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Have the generated pages written before Sphinx looks for pages."""
    app.connect("builder-inited", write_generated)
