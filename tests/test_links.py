"""One address for the whole repository: pyproject.toml has it, and everything else agrees."""

import json
import re
import shutil
import subprocess
import sys
from urllib.parse import quote

import pytest

from tools import links
from tools.links import BADGE, ROOT, SETUP_CELL

REPOSITORY = links.repository()
NAME = REPOSITORY.split("/")[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def wrong_links(root):
    """Every badge, set-up cell and citation that does not point where pyproject.toml says."""
    where = {"repository": links.repository(root), "ref": "main", "quoted": "main"}
    readme = (root / "README.md").read_text(encoding="utf-8")
    for badge in links.ELSEWHERE:
        if badge.format(**where, path=links.FIRST) not in readme:
            yield f"README.md: no badge {badge.format(**where, path=links.FIRST)}"
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        badge = BADGE.format(**where, path=path.relative_to(root))
        if badge not in "".join(cells[0]["source"]):
            yield f"{path.name}: its first cell has no badge to itself: {badge}"
        setup = ["".join(cell["source"]) for cell in cells if "setup" in cell["metadata"].get("tags", [])]
        if setup != [SETUP_CELL.format(**where)]:
            yield f"{path.name}: not one cell tagged setup that reads\n{SETUP_CELL.format(**where)}"
    if f'repository-code: "https://github.com/{where["repository"]}"' not in (root / "CITATION.cff").read_text():
        yield "CITATION.cff: another repository-code"
    yield from stray_addresses(root, where["repository"])


def stray_addresses(root, repository):
    """Addresses of a project of the same name that belongs to somebody else, and badges to no notebook."""
    name = repository.split("/")[1]
    for path in links.files(root):
        text = path.read_text(encoding="utf-8")
        for owner in re.findall(rf"(?:github(?:\.com)?|/gh|codespaces\.new)/([\w-]+)/{re.escape(name)}(?![\w-])", text):
            if owner != repository.split("/")[0]:
                yield f"{path.relative_to(root)}: {owner}/{name}, not {repository}"
        for target in re.findall(rf"colab[\w./-]*/{re.escape(repository)}/blob/[^/\s]+/([\w./-]+)", text):
            if not (root / target).exists():
                yield f"{path.relative_to(root)}: a badge to {target}, which is not there"


def test_every_badge_set_up_cell_and_citation_agrees_with_pyproject():
    assert list(wrong_links(ROOT)) == []


@pytest.fixture
def copy(tmp_path):
    """The project, with one more notebook and a README, so that this proves something from the first day."""
    for path in [ROOT / "pyproject.toml", *links.files(ROOT)]:
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    where = {"repository": REPOSITORY, "ref": "main", "quoted": "main"}
    text = "# Made up\n" + BADGE.format(**where, path="notebooks/made_up.ipynb")
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(True)},
        {"cell_type": "code", "metadata": {"tags": ["setup"]}, "source": SETUP_CELL.format(**where).splitlines(True)},
    ]
    (tmp_path / "notebooks").mkdir(exist_ok=True)
    (tmp_path / "notebooks" / "made_up.ipynb").write_text(json.dumps({"cells": cells}, indent=1))
    clone = f"git clone https://github.com/{REPOSITORY}.git\nhttps://github.com/{REPOSITORY}-too\n"
    with (tmp_path / "README.md").open("a") as readme:
        readme.write(clone + BADGE.format(**where, path="notebooks/made_up.ipynb"))
    return tmp_path


def make_links(root, repository, ref="main"):
    command = [sys.executable, root / "tools" / "links.py", repository, ref]
    return subprocess.run(command, capture_output=True, text=True)


def test_moving_leaves_no_old_address_and_a_second_time_changes_nothing(copy):
    assert not list(wrong_links(copy))
    assert make_links(copy, "some-one/else.where").returncode == 0
    assert links.repository(copy) == "some-one/else.where" and not list(wrong_links(copy))
    old = re.compile(rf"{re.escape(REPOSITORY)}(?![\w-])")
    assert [path for path in links.files(copy) if old.search(path.read_text())] == []
    after = {path: path.read_bytes() for path in links.files(copy)}
    assert "nothing" in make_links(copy, "some-one/else.where").stdout
    assert {path: path.read_bytes() for path in links.files(copy)} == after


def test_projects_whose_address_begins_alike_keep_theirs(copy):
    make_links(copy, "some-one/else")
    assert f"https://github.com/{REPOSITORY}-too\n" in (copy / "README.md").read_text()


@pytest.mark.parametrize("ref", ["v1.2", "a/branch"])
def test_moving_there_and_back_gives_the_files_byte_for_byte(copy, ref):
    before = {path: path.read_bytes() for path in links.files(copy)}
    make_links(copy, "some-one/else", ref)
    assert "kdkit@main" not in (copy / "notebooks" / "made_up.ipynb").read_text()
    assert f'some-one/else@{ref}\\"' in (copy / "notebooks" / "made_up.ipynb").read_text()
    where = {"repository": "some-one/else", "ref": ref, "quoted": quote(ref, safe=""), "path": links.FIRST}
    readme = (copy / "README.md").read_text()
    assert all(badge.format(**where) in readme for badge in links.ELSEWHERE)
    make_links(copy, REPOSITORY)
    assert {path: path.read_bytes() for path in links.files(copy)} == before


@pytest.mark.parametrize("repository", ["", "kdkit", "https://github.com/ada/course", "ada/kd kit", "-ada/kdkit"])
def test_a_bad_address_is_refused_in_a_sentence_and_nothing_is_written(copy, repository):
    before = {path: path.read_bytes() for path in links.files(copy)}
    result = make_links(copy, repository)
    assert result.returncode == 1
    assert result.stderr == (
        f"REPO is owner/name as on GitHub, and {repository!r} is not. For instance: make links REPO=ada/kdkit\n"
    )
    assert {path: path.read_bytes() for path in links.files(copy)} == before


@pytest.mark.parametrize(
    "name, old, new, words",
    [
        ("notebooks/made_up.ipynb", "blob/main/notebooks/made_up", "blob/main/notebooks/copied", "no badge to itself"),
        ("notebooks/made_up.ipynb", "@main", "@old", "not one cell tagged setup"),
        ("notebooks/made_up.ipynb", '"setup"', '"start"', "not one cell tagged setup"),
        ("CITATION.cff", f"/{REPOSITORY}", "/someone/else", "CITATION.cff"),
        ("README.md", f"/{REPOSITORY}.git", f"/mallory/{NAME}.git", "README.md: mallory/"),
        ("README.md", "notebooks/made_up.ipynb", "notebooks/gone.ipynb", "a badge to notebooks/gone.ipynb"),
        ("README.md", f"/gh/{REPOSITORY}/main", f"/gh/{REPOSITORY}/old", "README.md: no badge [![Open in Binder]"),
        ("README.md", f"codespaces.new/{REPOSITORY}", f"codespaces.new/ada/{NAME}", "README.md: ada/"),
        ("README.md", "kaggle.com/kernels/welcome?src=", "kaggle.com/?src=", "README.md: no badge [![Open in Kaggle]"),
    ],
)
def test_a_link_that_disagrees_is_found(copy, name, old, new, words):
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new))
    assert any(words in wrong for wrong in wrong_links(copy))
