"""The lecturers' pages that stand alone: slides and handout, made of teaching/*.md and of what the notebooks show.

Slides are separated by ``---``; what follows ``Note:`` is for the lecturer, and begins with the minutes. A line
``{{notebook cell}}`` is what that cell shows: its figure with its words, its table, or its panel, which lives without
a kernel as on the other pages of the site.
"""

import json
import re

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from tools.cells import text
from tools.formulas import mathml
from tools.links import ROOT

SHOWN = re.compile(r"<p>\{\{(\w+) ([\w-]+)\}\}</p>")
MINUTES = re.compile(r"(\d+)-(\d+)\. ")
PAGES = ("slides", "handout")
HEAD = """<!doctype html>
<html lang="en" data-content_root="../">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{styles}
</head>
<body class="{kind}">
<main>
"""
STYLE = '<link rel="stylesheet" href="../_static/{}.css">'
SCRIPTS = """<script>const DOCUMENTATION_OPTIONS = {};</script>
<script defer src="../_static/kdkit.js"></script>
<script defer src="../_static/deck.js"></script>"""
TAIL = "</main>\n</body>\n</html>\n"


def html(source):
    """Markdown as HTML, with formulas and with what cells show."""

    def formula(content, options):
        return mathml(content, "block" if options["display_mode"] else "inline")

    reader = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=formula)
    return SHOWN.sub(lambda found: shown(*found.groups()), reader.render(source))


def shown(notebook, cell):
    """HTML of the figures, tables or panels that a cell of a notebook shows, from its outputs as they are stored."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output for each in cells if each["id"] == cell for output in each["outputs"]]
    parts = [text(output["data"]["text/html"]) for output in outputs if "text/html" in output.get("data", {})]
    if not parts:
        raise ValueError(f"{notebook} has no cell {cell!r} that shows a figure, a table or a panel")
    return "".join(f'<div class="shown">{part}</div>' for part in parts)


def slides(source):
    """The slides of a source: (what is seen, the note), both in Markdown."""
    return [tuple(part.strip() for part in slide.split("\nNote: ")) for slide in source.split("\n---\n")]


def spans(source):
    """(first minute, last minute) of each slide, as its note has them."""
    return [tuple(map(int, MINUTES.match(note).groups())) for _, note in slides(source)]


def deck(source):
    """The slides as a page: a section each, with its note."""
    found = slides(source)
    parts = [
        f'<section aria-label="slide {number} of {len(found)}">\n{html(seen)}'
        f'<aside class="note" aria-label="notes">{html(note)}</aside>\n</section>\n'
        for number, (seen, note) in enumerate(found, start=1)
    ]
    return page(source, "deck", "".join(parts), SCRIPTS)


def page(source, kind, body, scripts=""):
    """A page of its own; its title is the first heading of ``source``, and its looks are those of ``kind``.css."""
    styles = "\n".join(filter(None, [STYLE.format("site"), STYLE.format(kind), scripts]))
    return HEAD.format(title=re.match(r"# (.*)", source)[1], styles=styles, kind=kind) + body + TAIL


def build(folder):
    """Write slides.html and handout.html into ``folder``, beside the site's other pages for lecturers."""
    slides, handout = ((ROOT / "teaching" / f"{name}.md").read_text(encoding="utf-8") for name in PAGES)
    folder.mkdir(exist_ok=True)
    (folder / "slides.html").write_text(deck(slides), encoding="utf-8")
    (folder / "handout.html").write_text(page(handout, "handout", html(handout)), encoding="utf-8")
