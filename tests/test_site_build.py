"""``make site``, without building it: links, folded solutions, the table of the course, formulas, the reference."""

import importlib
import json
import re
import sys

import pytest

from tools import site
from tools.links import ROOT, repository

GITHUB = f"https://github.com/{repository()}"


def markdown_cells(notebook):
    return "\n\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def test_a_folder_of_other_files_is_refused_and_untouched(tmp_path, capsys):
    (tmp_path / "index.html").write_text("my page")
    assert site.main(["--to", str(tmp_path)]) == 1
    assert "holds other files, and would be replaced" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("[next](02_temperature.ipynb#quiz)", "[next](02_temperature.ipynb#quiz)"),
        ("[terms](../docs/glossary.md)", "[terms](../docs/glossary.md)"),
        ("[step](../kdkit/training/step.py)", f"[step]({GITHUB}/blob/main/kdkit/training/step.py)"),
        ("[all](../kdkit/losses)", f"[all]({GITHUB}/tree/main/kdkit/losses)"),
        ("[web](https://example.org/x.py), [here](#quiz)", "[web](https://example.org/x.py), [here](#quiz)"),
        ("[![Open in Colab](https://x.org/badge.svg)](https://x.org/y)", "[Open in Colab](https://x.org/y)"),
    ],
)
def test_a_link_leads_to_a_page_of_the_site_or_to_the_repository(written, wanted):
    assert site.linked(written, "notebooks/01_dark_knowledge.ipynb") == wanted


def test_solutions_are_folded_stubs_are_not_and_all_else_is_as_in_the_file():
    folded = 0
    for path in site.NOTEBOOKS.glob("*.ipynb"):
        before, after = json.loads(path.read_text()), json.loads(site.notebook_page(path))
        for old, new in zip(before["cells"], after["cells"], strict=True):
            tags = old["metadata"].get("tags", [])
            hidden = [tag for tag in new["metadata"].get("tags", []) if tag.startswith("hide-")]
            assert hidden == (["hide-cell"] if "solution" in tags else [])
            assert old.get("outputs") == new.get("outputs")
            folded += bool(hidden)
    assert folded > 10


def test_the_table_of_the_course_has_each_notebook_with_its_minutes():
    rows = site.course_table().splitlines()[2:]
    names = [re.search(r"\(notebooks/(\S+)\)", row)[1] for row in rows]
    assert names == sorted(path.name for path in site.NOTEBOOKS.glob("*.ipynb"))
    assert all(re.search(r"\| .{20,} \| \d+ \(\d+\) \|$", row) for row in rows)


def test_the_reference_describes_modules_that_exist():
    for name, says in site.reference():
        assert importlib.import_module(name) and re.match(r"[A-Z`].{10,}", says)


def test_parameters_are_a_list_and_other_lists_of_terms_stay():
    signature = "<dt>f(\n<dl>\n<dd><em>a</em>,</dd>\n<dd><em>b</em>,</dd>\n</dl>\n)</dt>"
    assert site.mended(signature) == "<dt>f(\n<ul>\n<li><em>a</em>,</li>\n<li><em>b</em>,</li>\n</ul>\n)</dt>"
    terms = "<dl>\n<dt>a</dt>\n<dd>b</dd>\n</dl>"
    assert site.mended(terms) == terms


def test_formulas_are_mathml_with_names_in_one_piece(monkeypatch):
    pytest.importorskip("latex2mathml", reason="the site's packages are not installed: pip install -e '.[site]'")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    conf = importlib.import_module("conf")
    monkeypatch.delitem(sys.modules, "conf")
    found = conf.mathml(r"\mathrm{KL} = \text{soft\_weight} \log s_i")
    assert "<mi>KL</mi>" in found and "soft_weight" in found
    braced = conf.mathml(r"\underbrace{a b}_{\text{c}} - \underbrace{d}_{\text{e}}")
    assert braced.count('<munder><mrow class="braced"><mrow><mi>') == 2 and "&#x23DF;" not in braced
    assert '<mi>log</mi><mspace width="0.167em" /><msub><mi>s</mi><mi>i</mi></msub>' in found
