"""Build an HTML copy of each notebook, in which sliders that need no kernel move.

    python tools/pages.py [FILE ...]

Without files: all of ``notebooks/``. A copy is executed, so the files stay as they are; ``build/html/NAME.html`` is
what comes out. The page fetches the front end of the widgets (and of the formulas) from the usual CDNs. Where it
cannot, and until it has, each panel is the still picture that the panel itself gives for such cases.
"""

import argparse
import sys
from pathlib import Path

# Run as a file, only tools/ is on the path; imported by a test, only its parent is.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.notebooks import ROOT, WIDGET_VIEW, executed, failure, outputs, text

OUT = ROOT / "build" / "html"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
NEEDS_KERNEL = "<p><em>A picture of a panel that moves in the notebook: its slider asks a running kernel.</em></p>"

# The still picture leaves only when the live widget is all there. Until then, and for good where a part of it could
# not be loaded, the widget takes no room. A browser too old for :has() shows both, one below the other.
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_css -%}
{{ super() }}
<style>
</style>
{%- endblock -%}
{%- block data_widget_view scoped -%}
{%- if 'text/html' in output.data -%}
<div class="panel">
<div class="still">{{ output.data['text/html'] }}</div>
{{ super() }}
</div>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock -%}
"""


def page(notebook, name):
    """An executed notebook, its widgets' state kept, as HTML."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(raw_template=TEMPLATE)
    return exporter.from_notebook_node(notebook, {"metadata": {"name": name}})[0]

def main():
    for path in map(Path, sys.argv[1:]):
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{path.stem}.html").write_text(page(executed(path.resolve()), path.stem))

main()
