"""Sphinx's settings for the site: see tools/site.py, which prepares the sources. Nothing is fetched when it is read."""

import importlib.metadata
import re

from docutils.nodes import SkipNode

from tools.formulas import mathml
from tools.links import repository

project = "kdkit"
author = "The kdkit authors"
project_copyright = "The kdkit authors. Code: MIT. Text and pictures: CC BY 4.0"
release = importlib.metadata.version("kdkit")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"  # the outputs are those that stand in the notebooks
nb_ipywidgets_js = {}  # no widget front end from a CDN: page.js brings the panels to life
nb_code_prompt_show = "Show the solution"  # the only cells that are folded
nb_code_prompt_hide = "Hide the solution"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "sphinx_book_theme"
html_title = "kdkit"
html_css_files = ["site.css"]
html_js_files = [("kdkit.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system says
html_theme_options = {
    "navbar_persistent": [],  # the search stands in the side bar
    "repository_url": f"https://github.com/{repository()}",
    "use_repository_button": True,
    "use_download_button": False,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "show_toc_level": 2,
}
language = "en"


def _inline(translator, node):
    translator.body.append(mathml(node.astext()))
    raise SkipNode


def _display(translator, node):
    translator.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise SkipNode


def _as_rst(app, what, name, obj, options, lines):
    """Docstrings are read as plain text too: a bar means itself, and a table is written as in Markdown."""
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("|") and "---" not in line]
    rows = [f"   {'-' if column else '* -'} {cell}" for row in cells for column, cell in enumerate(row)]
    table = [".. list-table::", "", *(row.replace("   - ", "     - ") for row in rows)]
    found, lines[:] = list(lines), []
    for line in found:
        if not line.startswith("|"):
            lines.append(re.sub(r"(``.*?``)|\|", lambda part: part[1] or r"\|", line))
        elif table:
            lines.extend(table)
            table = []


def _skip(app, what, name, obj, skip, options):
    """A named tuple's fields are described in the words of its class."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def _short(app, what, name, obj, options, signature, returned):
    """Where a default cannot be read as Python, full names stay as they are written for links: leave their ends."""
    return (re.sub(r"~[\w.]*\.", "", signature), returned) if "<factory>" in (signature or "") else None


def setup(app):
    """Formulas are MathML, which browsers set by themselves."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("autodoc-process-docstring", _as_rst)
    app.connect("autodoc-process-signature", _short)
    app.connect("autodoc-skip-member", _skip)
