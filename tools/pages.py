"""Build an HTML copy of each notebook, in which the sliders that need no kernel move.

    python -m tools.pages [--to FOLDER] [FILE ...]

Without files: all of ``notebooks/``. Each is executed anew, and the file itself stays as it is. A page fetches what
draws widgets and formulas from the usual CDNs. Until it has them, and for good where it cannot get them, every panel
is the still picture that the panel gives along with its widget.
"""

import argparse
import re
import sys
from pathlib import Path

from tools.notebooks import ROOT, WIDGET_VIEW, executed, failure, hide_folders, outputs, text

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
    # The version that can read this state: without one a page fetches the newest, whatever that will be by then.
    exporter = HTMLExporter(raw_template=TEMPLATE, html_manager_semver_range=__html_manager_version__)
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})
    page = re.sub(r'(<a href="[\w./-]+)\.ipynb"', r'\1.html"', page)  # to the next notebook: to its page
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{path.stem}.html").write_text(page, encoding="utf-8")


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
    print("\n".join(broken) or f"the pages lie in {options.to}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
