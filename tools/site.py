"""Build the course as a web site that opens from a folder: the notebooks as they stand, and pages around them.

    python -m tools.site [--to FOLDER]

Nothing is executed: the outputs are those that stand in the notebooks. Solutions are folded. The sources that Sphinx
reads are copies below ``build/site-source``; what is ours about them lies in ``docs/site``. An earlier site in FOLDER
is replaced when the new one is built; a folder of anything else is left alone.
"""

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools import alive, folders
from tools.cells import has_tag, text
from tools.links import ROOT, repository
from tools.minutes import SAID, TIME

SOURCE = ROOT / "docs" / "site"
NOTEBOOKS = ROOT / "notebooks"
TEXTS = ("docs/glossary.md", "kdkit/course/measured/README.md")
LECTURERS = ("README", "90-minutes", "half-day", "four-weeks", "questions", "misconceptions", "assignment")
MARKS = ("index.html", ".nojekyll", "_static/kdkit.js")  # what tells an earlier site from something else
LINK = re.compile(r"(?<=\]\()(?![a-z][a-z+.-]*:|#)([^)\s#]+)")
TOGGLE = '<summary aria-label="the pages below">'
ALONE = re.compile(r"\[([^\]]*)\]\((slides|handout)\.md\)")  # pages that tools/teaching.py makes, not Sphinx
BADGE = re.compile(r"\[!\[(Open in Colab)\]\([^)]*\)\]")


def pages():
    """The files of the repository that the site holds, under the same paths."""
    notebooks = [path.relative_to(ROOT).as_posix() for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    return [*notebooks, *TEXTS, *(f"teaching/{name}.md" for name in LECTURERS)]


def linked(source, page):
    """Markdown of ``page`` whose relative links lead to pages of the site, and to GitHub for all other files."""

    def target(found):
        path = Path(os.path.normpath(Path(page).parent / found[1])).as_posix()
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return found[1] if path in pages() else f"https://github.com/{repository()}/{kind}/main/{path}"

    return LINK.sub(target, ALONE.sub(r'<a href="\2.html">\1</a>', BADGE.sub(r"[\1]", source)))


def notebook_page(path):
    """A notebook for Sphinx: its links lead to pages, and solutions are folded, together with what they print."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = linked(text(cell["source"]), path.relative_to(ROOT))
        elif has_tag(cell, "solution"):
            cell["metadata"]["tags"] = [*cell["metadata"]["tags"], "hide-cell"]
    return json.dumps(notebook)


# ----------------------------------------------------------------------------------------- course and reference


def opening(path):
    """A notebook's title, the first sentences of its text and the minutes that it takes, from its first cell."""
    source = text(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    [line] = [part for part in source.split("\n\n")[1:] if "By the end you can" in part]
    line = " ".join(line.split("By the end you can")[0].split())
    minutes, deep = SAID.search(" ".join(TIME.search(source)[0].split())).group(1, 2)
    return re.match(r"# (.*)", source)[1], line, f"{minutes} ({deep})" if deep else minutes


def course_table():
    """The notebooks as a table in Markdown: one row each, from their own first cells."""
    rows = ["| notebook | what it shows | minutes (with ◆) |", "|---|---|---|"]
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        title, line, minutes = opening(path)
        rows.append(f"| [{title}](notebooks/{path.name}) | {line} | {minutes} |")
    return "\n".join(rows)


def reference():
    """The public modules: (name, its description), of ``kdkit`` itself and of each package that readers call."""
    names = ["losses", "data", "data.things", "models", "zoo", "training", "measure.metrics", "measure.profiling"]
    names += ["studies", "export", "course.check", "course.widgets", "course.figures"]
    for name in [f"kdkit.{name}" for name in names]:
        yield name, importlib.import_module(name).__doc__.splitlines()[0]


def reference_pages(folder):
    """A page for each module: all that its ``__all__`` names, or all that it defines."""
    folder.mkdir()
    rows = []
    for name, says in reference():
        (folder / f"{name}.rst").write_text(f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n")
        rows.append(f"| [`{name}`]({name}.rst) | {says} |")
    hidden = "\n".join(name for name, _ in reference())
    table = "\n".join(["| module | what is in it |", "|---|---|", *rows])
    (folder / "index.md").write_text(f"{REFERENCE}\n{table}\n\n```{{toctree}}\n:hidden:\n{hidden}\n```\n")


REFERENCE = """# Reference

Each name with its types, as the docstrings have it. `kdkit.kd_step`, `kdkit.train` and `kdkit.diagnose` are those of
`kdkit.training` and `kdkit.studies`; `kdkit.show` is that of `kdkit.course.figures`.
"""


# ----------------------------------------------------------------------------------------------------- building


def prepare(folder):
    """Write what Sphinx reads into ``folder``."""
    for name in pages():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path = ROOT / name
        is_notebook = path.suffix == ".ipynb"
        target.write_text(notebook_page(path) if is_notebook else linked(path.read_text(), name), encoding="utf-8")
    fill = {"repository": repository(), "course": course_table()}
    fill["notebooks"] = "\n".join(f"notebooks/{path.stem}" for path in sorted(NOTEBOOKS.glob("*.ipynb")))
    fill["lecturers"] = "\n".join(f"teaching/{name}" for name in LECTURERS)
    fill["citation"] = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    fill |= {"landing": alive.landing(), "drawing": alive.drawing()}
    for path in SOURCE.glob("*.md"):
        page = re.sub(r"\{\{(\w+)\}\}", lambda found: fill[found[1]], path.read_text(encoding="utf-8"))
        (folder / path.name).write_text(page, encoding="utf-8")
    reference_pages(folder / "reference")


def build(to):
    """Build the site in ``to`` by way of a folder beside it; the exit code of Sphinx: a warning is an error."""
    source = ROOT / "build" / "site-source"
    scripts = source / "_static"
    part = to.with_name(f"{to.name}.part")
    folders.check(to, MARKS)
    folders.check(part, [".nojekyll"])
    for folder in (source, part):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    (part / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with an underscore
    prepare(source)
    scripts.mkdir()
    if not alive.write_scripts(scripts):
        print("Panels get no QR codes: npm did not bring qrcode-generator.")
    static = f"html_static_path={SOURCE / '_static'},{scripts}"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", SOURCE, "-D", static]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths}
    code = subprocess.run([*command, "-d", source / ".doctrees", source, part], env=environment).returncode
    if code == 0:
        from tools import teaching  # needs packages of the site alone

        for path in part.rglob("*.html"):
            path.write_text(mended(path.read_text(encoding="utf-8")), encoding="utf-8")
        teaching.build(part / "teaching")
        folders.replace(to, part)
    return code


def mended(page):
    """HTML in which what the theme leaves without a name has one, and no name hides the words that are seen.

    The parameters of a function are a list; Sphinx writes a list of terms, without any term.
    """
    page = re.sub(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1", page)
    page = page.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    page = re.sub(r"<dl>\n((?:<dd>.*</dd>\n)+)</dl>", lambda found: f"<ul>\n{_items(found[1])}</ul>", page)
    return page.replace('<summary><span class="toctree-toggle"', f'{TOGGLE}<span class="toctree-toggle"')


def _items(definitions):
    return definitions.replace("<dd>", "<li>").replace("</dd>", "</li>")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--to",
        type=Path,
        default=ROOT / "build" / "site",
        help="default: build/site; an earlier site there is replaced",
    )
    options = parser.parse_args(arguments)
    try:
        code = build(options.to.resolve())
    except ValueError as error:
        print(f"make site: {error}", file=sys.stderr)
        return 1
    if code == 0:
        size = sum(path.stat().st_size for path in options.to.rglob("*") if path.is_file())
        print(f"the site lies in {options.to}, {size / 1e6:.0f} MB: begin with index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
