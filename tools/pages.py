"""Build an HTML copy of each notebook, in which the sliders that need no kernel move, and a gallery of all.

    python -m tools.pages [--to FOLDER] [FILE ...]

Without files: all of ``notebooks/``. Each is executed anew, and the file itself stays as it is. A page fetches what
draws widgets and formulas from the usual CDNs. Until it has them, and for good where it cannot get them, every panel
is the still picture that the panel gives along with its widget.
"""

import argparse
import json
import re
import sys
from html import escape
from pathlib import Path

from tools.notebooks import ROOT, WIDGET_VIEW, executed, failure, hide_folders, outputs, portable, text

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
LINKS = ("LinkModel", "DirectionalLinkModel")  # what ipywidgets.jslink and jsdlink make
NEEDS_KERNEL = "<p><em>A still picture: this panel asks a running kernel, so it moves in the notebook only.</em></p>"

# The widget takes the place of the still picture when it is complete, and not before: each of its parts (.lm-Widget)
# holds something, and none of them is the broken heart that stands for what could not be fetched. The rules only ever
# hide, so a browser too old for :has() shows both.
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_css -%}
{{ super() }}
<style>
.panel:has(.lm-Widget):not(:has(.lm-Widget:empty, .jupyter-widgets-error-widget)) > .still,
.panel:not(:has(.lm-Widget)) > .jupyter-widgets,
.panel:has(.lm-Widget:empty, .jupyter-widgets-error-widget) > .jupyter-widgets { display: none; }
</style>
{%- endblock -%}
{%- block data_widget_view scoped -%}
{%- if 'text/html' in output.data -%}
<div class="panel">
<div class="still jp-RenderedHTMLCommon jp-RenderedHTML jp-OutputArea-output" data-mime-type="text/html">
{{ output.data['text/html'] }}
</div>
{{ super() }}
</div>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock -%}
"""


def moves_alone(model, models):
    """Whether no part of a widget waits for a kernel: each is linked to another in the browser, or has code of its own.

    ``models`` are all that the notebook has, by their ids.
    """
    links = [link["state"] for link in models.values() if link["model_name"] in LINKS]
    linked = {link[end][0] for link in links for end in ("source", "target")}
    return all(
        models[part]["model_module"] == "anywidget" or f"IPY_MODEL_{part}" in linked for part in _parts(model, models)
    )


def _parts(model, models):
    """The ids of what a widget is made of, without the boxes around."""
    children = models[model]["state"].get("children")
    if children is None:
        return [model]
    return [part for child in children for part in _parts(child.removeprefix("IPY_MODEL_"), models)]


def keep_still(notebook):
    """Take the widget from every panel that would show controls which nothing follows; its still picture stays."""
    models = notebook["metadata"].get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    panels = [output["data"] for _, output in outputs(notebook) if WIDGET_VIEW in output.get("data", {})]
    for data in panels:
        if "text/html" in data and not moves_alone(data[WIDGET_VIEW]["model_id"], models):
            del data[WIDGET_VIEW]
            data["text/html"] = text(data["text/html"]) + NEEDS_KERNEL


def build(path, folder):
    """Execute the notebook at ``path`` and write its page into ``folder``."""
    from ipywidgets.embed import __html_manager_version__
    from nbconvert import HTMLExporter

    notebook = executed(path)
    for _, output in outputs(notebook):
        hide_folders(output)
    keep_still(notebook)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = portable(cell["source"])
    # The version that can read this state: without one a page fetches the newest, whatever that will be by then.
    exporter = HTMLExporter(raw_template=TEMPLATE, html_manager_semver_range=__html_manager_version__)
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})
    page = re.sub(r'(<a href="[\w./-]+)\.ipynb"', r'\1.html"', page)  # to the next notebook: to its page
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{path.stem}.html").write_text(page, encoding="utf-8")


# ----------------------------------------------------------------------------------------------- gallery

GALLERY = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kdkit: see, touch and measure knowledge distillation</title>
<style>
body {{ font: 18px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto; max-width: 72rem;
  padding: 0 1.5rem; }}
h1 {{ font-size: 1.8rem; line-height: 1.2; margin-bottom: 0.3rem; }}
ol {{ list-style: none; padding: 0; display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }}
li {{ border: 1px solid #767676; border-radius: 8px; overflow: hidden; display: flex; flex-direction: column; }}
li img {{ width: 100%; height: 13rem; object-fit: contain; background: #fff; border-bottom: 1px solid #ccc; }}
li div {{ padding: 0.4rem 1.2rem 1rem; }}
h2 {{ font-size: 1.3rem; margin: 0.4rem 0; }}
p {{ margin: 0.4rem 0; }}
a {{ color: #0050a0; }}
a:focus-visible {{ outline: 3px solid #d55e00; outline-offset: 2px; }}
</style>
</head>
<body>
<h1>Knowledge distillation: see, touch and measure</h1>
<p>Copies of the notebooks to look at. To change things and to solve the exercises, open the notebooks themselves.</p>
<ol>
{cards}
</ol>
</body>
</html>
"""
CARD = """<li>{picture}<div>
<h2><a href="{page}">{title}</a></h2>
<p>{line}</p>
<p>{time}</p>
</div></li>"""


def card(path):
    """A notebook's place in the gallery: its first picture, title, first sentence, and the time that it takes."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    opening = text(notebook["cells"][0]["source"])
    pages = [text(output.get("data", {}).get("text/html", "")) for _, output in outputs(notebook)]
    pictures = [found[0] for page in pages if (found := re.search(r"<img [^>]*>", page))]
    [line] = [part for part in opening.split("\n\n")[1:] if "By the end you can" in part]
    [_, time] = opening.split("**Time**: ")
    return CARD.format(
        picture=re.sub(r' style="[^"]*"', "", pictures[0]) if pictures else "",
        page=f"{path.stem}.html",
        title=escape(re.match(r"# (.*)", opening)[1]),
        line=escape(" ".join(line.split("By the end you can")[0].split())),
        time="Time: " + escape(" ".join(time.split("\n\n")[0].split())),
    )


def gallery(folder):
    """Write ``index.html``: a card for each notebook of the course that has a page in ``folder``. No network needed."""
    paths = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if (folder / f"{path.stem}.html").exists()]
    (folder / "index.html").write_text(GALLERY.format(cards="\n".join(map(card, paths))), encoding="utf-8")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--to", type=Path, default=ROOT / "build" / "html", help="default: build/html", metavar="FOLDER"
    )
    parser.add_argument("files", nargs="*", type=Path, help="default: all of notebooks/")
    options = parser.parse_args(arguments)
    broken = []
    for path in options.files or sorted((ROOT / "notebooks").glob("*.ipynb")):
        broken += failure(path.resolve(), lambda path: build(path, options.to))
    if not broken:
        gallery(options.to)
    print("\n".join(broken) or f"the pages lie in {options.to}: begin with index.html")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
