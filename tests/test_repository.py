"""What holds for the repository as a whole. Each gate is shown to fail on something made up."""

import ast
import graphlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

import kdkit
from tools import floors
from tools.links import ROOT
from tools.notebooks import text


def project_files():
    """What git tracks or would track: nothing that was built, and nothing of a virtual environment."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(ROOT / name for name in names if name and (ROOT / name).is_file())


FILES = project_files()

# ------------------------------------------------------------------------------------ links in the text


def markdown(path):
    """The prose of a .md file or of a notebook's text cells, without what stands in code."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(source)["cells"]
        source = "\n\n".join(text(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", source, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """The names under which GitHub lets a reader jump to the headings."""
    headings = re.findall(r"^#+ +(.+?)\s*$", markdown(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(path):
    """Links and pictures of ``path`` that lead to no file and no heading; addresses on the web are not tried."""
    found = re.findall(r"\]\(<?([^)\s>]+)|(?:src|href)=[\"']([^\"']+)", markdown(path))
    for link in [markdown_link or html_link for markdown_link, html_link in found]:
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        target = path.parent / name if name else path
        if not target.exists():
            yield f"{path.name}: {link} leads nowhere"
        elif anchor and target.suffix in (".md", ".ipynb") and anchor.lower() not in anchors(target):
            yield f"{path.name}: {link}: no such heading"


def test_no_relative_link_is_dead():
    pages = [path for path in FILES if path.suffix in (".md", ".ipynb")]
    assert pages and [dead for path in pages for dead in dead_links(path)] == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# First part\n[good](page.md) [good](#first-part) [web](https://example.org/x)\n"
        "[bad](gone.md) ![bad](gone.png) <img src='gone.svg'> [bad](#second-part)\n```\n[code](x)\n```\n`y[0](z)`\n"
    )
    found = [dead.split()[1].rstrip(":") for dead in dead_links(page)]
    assert found == ["gone.md", "gone.png", "gone.svg", "#second-part"]
    cell = {"cell_type": "markdown", "source": ["see [bad](gone.md)"]}
    (tmp_path / "page.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert list(dead_links(tmp_path / "page.ipynb")) == ["page.ipynb: gone.md leads nowhere"]


# ----------------------------------------------------------------------------------------- dependencies


IMPORTED_AS = {"IPython": "ipython", "PIL": "pillow"}  # where the package has another name


def undeclared(sources, dependencies):
    """What ``sources`` import and ``dependencies`` do not name, and the other way round."""
    trees = [node for source in sources for node in ast.walk(ast.parse(source))]
    modules = [alias.name for node in trees if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in trees if isinstance(node, ast.ImportFrom) and not node.level]
    tops = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"kdkit"}
    return {IMPORTED_AS.get(name, name) for name in tops} ^ {re.match(r"[\w-]+", line)[0] for line in dependencies}


def dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["dependencies"] + project["optional-dependencies"]["export"]  # the site's are not kdkit's


def test_what_kdkit_imports_is_what_it_declares():
    paths = [path for path in FILES if path.suffix == ".py" and path.is_relative_to(ROOT / "kdkit")]
    sources = [path.read_text() for path in paths if path.parent.name != "snippets"]  # to be copied by who has the rest
    assert undeclared(sources, dependencies()) == set()


def test_an_import_that_is_not_declared_is_found_and_a_declaration_that_nothing_needs():
    sources = ["import numpy as np, PIL.Image\nfrom . import traitlets", "def f():\n    from torch.nn import Linear"]
    assert undeclared(sources, ["pillow>=10", "torch>=2.6", "tqdm>=4"]) == {"numpy", "tqdm"}


def test_each_package_has_one_floor_and_no_pin():
    lines = floors.declared(ROOT)
    assert len({re.match(r"[\w-]+", line)[0] for line in lines}) == len(lines) > 20
    assert all(floors.at_its_floor(line) for line in lines)


@pytest.mark.parametrize("line", ["numpy==1.26", "numpy", "numpy>=1.26,<3"])
def test_a_pin_and_a_missing_floor_are_found(line):
    with pytest.raises(ValueError, match="is to be a name with a floor"):
        floors.at_its_floor(line)


# ----------------------------------------------------------------------------------------------- floors

FLOORS = {name: floor for floor, name in enumerate(kdkit.PACKAGES)}
HOME = {name: place.split(".")[0] for name, place in (kdkit._MODULES | kdkit._FUNCTIONS).items()}


def imported_modules(source, module):
    """First part below ``kdkit.`` of all that ``module`` (such as ``data.things``) imports, wherever it does."""
    package = ["kdkit", *module.split(".")[:-1]]
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "kdkit" else [base]
        yield from (name.split(".")[1] for name in names if name.startswith("kdkit."))


def wrong_imports(source, module):
    """Imports of ``module`` that do not come from a lower floor; a package's own modules may use each other."""
    own = module.split(".")[0]
    if own not in FLOORS:
        return [f"kdkit.{module} has no floor yet: give it one in kdkit.PACKAGES"]
    targets = {HOME.get(name, name) for name in imported_modules(source, module)} - {"__version__"}
    return [
        f"kdkit.{module} (floor {FLOORS[own]}) imports {target} (floor {FLOORS.get(target, 'none')})"
        for target in sorted(targets)
        if target != own and FLOORS.get(target, 99) >= FLOORS[own]
    ]


def test_every_module_imports_from_lower_floors_only():
    package = ROOT / "kdkit"
    paths = [path for path in FILES if path.suffix == ".py" and path.is_relative_to(package)]
    modules = {".".join(path.relative_to(package).with_suffix("").parts): path for path in paths}
    modules = {name: path for name, path in modules.items() if "." in name}  # not __init__, nor __main__
    assert len(modules) > 5
    assert [wrong for name, path in modules.items() for wrong in wrong_imports(path.read_text(), name)] == []


@pytest.mark.parametrize(
    "source, module, target",
    [
        ("from kdkit.training import train", "losses.logits", "training"),
        ("from kdkit import train", "models.bert", "training"),
        ("from kdkit import losses, figures", "zoo", "course"),
        ("def later():\n    import kdkit.course.check", "studies.ledger", "course"),
        ("from .. import zoo", "data.things", "zoo"),
        ("from ..training.cache import ViewCache", "data.things", "training"),
        ("from kdkit.measure.metrics import accuracy", "zoo", "measure"),
        ("import kdkit.unheard_of", "cli.main", "unheard_of"),
    ],
)
def test_an_import_from_a_floor_above_is_found(source, module, target):
    assert [w for w in wrong_imports(source, module) if f"imports {target} " in w]


def test_a_module_without_a_floor_is_found_and_what_is_allowed_passes():
    assert "kdkit.penthouse has no floor yet" in wrong_imports("", "penthouse")[0]
    assert not wrong_imports("import torch\nfrom kdkit import __version__, models\nimport kdkit", "training.cache")
    assert not wrong_imports("from .images import ImageSet\nfrom kdkit.data import views", "data.things")


def test_no_two_modules_import_each_other():
    package = ROOT / "kdkit"
    paths = [path for path in FILES if path.suffix == ".py" and path.is_relative_to(package)]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths if path.stem != "__init__"}
    graph = {name: needed(path.read_text()) & names.keys() for name, path in names.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # a CycleError names them


def needed(source):
    """Full names of the kit's modules that ``source`` may import, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_a_circle_of_imports_is_found():
    graph = {"a": needed("from b import c"), "b": needed("def later():\n    from a import d")}
    with pytest.raises(graphlib.CycleError):
        tuple(graphlib.TopologicalSorter(graph).static_order())


# ------------------------------------------------------------------------------------------------ wheel


def missing_from_wheel(tree):
    """Files of ``tree/kdkit`` that a wheel built there does not carry."""
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "-w", "built"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *flags, "."], cwd=tree, check=True, capture_output=True)
    [wheel] = (tree / "built").glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    package = {path.relative_to(tree) for path in (tree / "kdkit").rglob("*") if path.is_file()}
    return sorted(name.as_posix() for name in package if name.as_posix() not in carried)


@pytest.fixture
def tree(tmp_path):
    """A copy of the package to build in: a build in the checkout would leave its folders there."""
    wanted = [path for path in FILES if path.is_relative_to(ROOT / "kdkit")]
    for path in [*wanted, *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE"))]:
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def test_the_wheel_carries_every_file_of_the_package_weights_included(tree):
    (tree / "kdkit" / "zoo" / "weights" / "made-up.safetensors").write_bytes(b"weights")
    (tree / "kdkit" / "course" / "widgets" / "made_up.js").write_text("// a view")
    assert missing_from_wheel(tree) == []


def test_a_file_left_out_of_the_wheel_is_found(tree):
    (tree / "kdkit" / "course" / "widgets" / "made_up.mjs").write_text("// a view of another kind")
    assert missing_from_wheel(tree) == ["kdkit/course/widgets/made_up.mjs"]


# ------------------------------------------------------------------------------------------- light import


MEASURE = "import sys, time; t = time.perf_counter(); {}; print(time.perf_counter() - t, 'torch' in sys.modules)"


def import_cost(statement, times):
    """(seconds, whether torch came along) of an import in a fresh process; the best of so many times."""
    command = [sys.executable, "-c", MEASURE.format(statement)]
    lines = [subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout for _ in range(times)]
    seconds, heavy = zip(*(line.split() for line in lines), strict=True)
    return min(map(float, seconds)), b"True" in heavy


def test_importing_kdkit_is_quick_and_brings_no_torch():
    seconds, torch_came_along = import_cost("import kdkit", times=3)
    assert seconds <= 0.3 and not torch_came_along


def test_a_heavy_import_is_found():
    assert import_cost("import kdkit; kdkit.losses", times=1)[1]


# -------------------------------------------------------------------------------- what has no place here

WORDS = re.compile(r"/(?:root|work)/|\bfile:///")


def words_out_of_place(path):
    """Paths of somebody's machine, in a file that is text."""
    lines = path.read_bytes().decode("utf-8", errors="ignore").splitlines()
    return [f"{path.name}:{number}: {line.strip()[:80]}" for number, line in enumerate(lines, 1) if WORDS.search(line)]


def test_no_file_names_a_folder_of_somebodys_machine():
    binary = {".png", ".jpg", ".safetensors", ".npz", ".gz", ".xz"}
    assert [found for path in FILES if path.suffix not in binary for found in words_out_of_place(path)] == []


def test_a_folder_of_somebodys_machine_is_found(tmp_path):
    (tmp_path / "note.md").write_text("fine: /workshop/x, root/x\nread it from {}data".format("/root" + "/"))
    assert words_out_of_place(tmp_path / "note.md") == ["note.md:2: read it from {}data".format("/root" + "/")]


# -------------------------------------------------------------------------- the Makefile and the citation


def make(folder, *arguments):
    """A make of its own: under `make test` it would otherwise take itself for a part of that one, and say more."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def makefile(tmp_path):
    """A folder with what the set-up reads, set up a moment ago."""
    for name in ("Makefile", *floors.LISTS, "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)  # the times are now
    (tmp_path / ".venv").mkdir()
    for name in ("installed", "installed-dev"):
        (tmp_path / ".venv" / name).touch()
    return tmp_path


def test_make_alone_lists_every_target_in_words():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert [line.split()[1] for line in make(ROOT).stdout.splitlines()] == targets


def installed(makefile, target):
    """The lists of requirements that ``make target`` would hand to pip now."""
    return re.findall(r"pip install -r (\S+)", make(makefile, "-n", target).stdout)


def test_a_second_call_installs_nothing_and_changed_requirements_do(makefile):
    readers, developers = floors.LISTS
    assert installed(makefile, "lab") == installed(makefile, "test") == []
    changes = {readers: ([readers], [*floors.LISTS]), "pyproject.toml": ([readers], [*floors.LISTS])}
    for name, lists in (changes | {developers: ([], [developers])}).items():
        before = (makefile / name).stat()
        os.utime(makefile / name, (before.st_atime + 60, before.st_mtime + 60))
        assert (installed(makefile, "lab"), installed(makefile, "test")) == lists
        os.utime(makefile / name, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a float it may be later


def test_readers_install_no_test_tools_and_developers_all(makefile):
    shutil.rmtree(makefile / ".venv")
    assert installed(makefile, "lab") == installed(makefile, "student") == ["requirements.txt"]
    for target in "test", "quick", "lint", "unit", "notebooks", "site", "solutions", "bundle", "colab", "setup":
        assert installed(makefile, target) == [*floors.LISTS], target
    readers, developers = ((ROOT / name).read_text() for name in floors.LISTS)
    assert not re.search(r"pytest|nbval|playwright|hypothesis|ruff|mypy|sphinx|site", readers)
    assert developers.splitlines()[1] == "-r requirements.txt"


def test_make_student_hands_its_depth_to_the_tool(makefile):
    assert "tools.versions student --depth all" in make(makefile, "-n", "student").stdout
    assert "tools.versions student --depth short" in make(makefile, "-n", "student", "DEPTH=short").stdout


def test_make_lab_hands_its_flags_to_jupyterlab(makefile):
    said = make(makefile, "-n", "lab", "LAB_FLAGS=--no-browser --allow-root").stdout
    assert "default_url=/lab/tree/notebooks/00_start_here.ipynb --no-browser --allow-root\n" in said


def test_an_old_python_is_refused_in_a_sentence(makefile):
    old = makefile / "old-python"
    pretend = "import sys; sys.version_info = (3, 9, 2); sys.version = '3.9.2 (old)'; exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$2"\n')
    old.chmod(0o755)
    (makefile / ".venv" / "installed").unlink()
    result = make(makefile, "lab", "PYTHON=./old-python")
    assert result.returncode != 0 and "pip install" not in result.stdout
    assert "kdkit needs Python 3.11.4 or newer, and ./old-python is 3.9.2. Name a newer one" in result.stderr


def test_citation_and_licence_agree_with_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {project['version']}\n" in citation and citation.startswith("cff-version: 1.2.0\n")
    licences = project["license"].split(" AND ")
    assert [f"  - {name}" in citation for name in licences] == [True, True]
    licence = (ROOT / "LICENSE").read_text()
    assert "MIT License" in licence and "https://creativecommons.org/licenses/by/4.0/legalcode" in licence


def test_no_two_test_files_have_one_name():
    """pytest imports them by name: the second would not be collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
