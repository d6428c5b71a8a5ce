"""Sphinx configuration: MyST pages, and two pages generated from the code in every build."""

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
highlight_language = "text"  # blocks without a language are commands and their output

html_theme = "furo"
html_title = f"multifit {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_rtype = False
# Check references to our public names; there are no inventories of other projects.
nitpick_ignore_regex = [(r"py:.*", r"(?!multifit\.).*"), (r"py:.*", r"multifit\.(.*\.)?_.*")]

HERE = Path(__file__).parent

#: The text above the support matrix.
SUPPORT = """\
# Support matrix

Features of each backend in this version. A feature marked "—" raises an error that names the
backends that have it, and every cell is tested. [Consistency](../consistency.md) lists the
deviations between backends.

"""


def write_generated(_app: Sphinx) -> None:
    """Write the input reference and the support matrix from the code."""
    from multifit import descriptors, support
    from multifit.config import _reference

    folder = HERE / "generated"
    folder.mkdir(exist_ok=True)
    descriptors.available()  # each adds its row to the matrix
    pages = {"input.md": _reference.markdown(), "support.md": SUPPORT + support.markdown()}
    for name, text in pages.items():
        path = folder / name
        # Keep the date of unchanged pages, so that Sphinx reads only changed ones.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Write the generated pages before Sphinx collects its sources."""
    app.connect("builder-inited", write_generated)
