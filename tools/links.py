"""Move every link of this repository to another address: badges, set-up cells, the citation.

    make links REPO=owner/name [REF=main]

The address stands in pyproject.toml, [project.urls] Repository; all others are copies of that one, rewritten here.
"""

import os
import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
TEXT_FILES = (".cff", ".ipynb", ".md", ".py", ".toml")
OWNER_AND_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?/[\w.-]+")
REF = re.compile(r"[\w][\w./-]*")

BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/{ref}/{path})"
)
COPIES = "student"  # the branch with the students' copies, which .github/workflows/student.yml publishes
FIRST = "notebooks/00_start_here.ipynb"
# Where the README offers to open the first notebook. A notebook itself has the badge of Colab alone.
ELSEWHERE = (
    BADGE,
    "[![Open in Binder](https://mybinder.org/badge_logo.svg)]"
    "(https://mybinder.org/v2/gh/{repository}/{quoted}?urlpath=lab/tree/{path})",
    "[![Open in GitHub Codespaces](https://github.com/codespaces/badge.svg)]"
    "(https://codespaces.new/{repository}/tree/{ref})",
    "[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
    "(https://kaggle.com/kernels/welcome?src=https://github.com/{repository}/blob/{ref}/{path})",
)
SETUP_CELL = """\
import sys

if "google.colab" in sys.modules or "/kaggle/lib" in sys.path:  # does nothing anywhere else
    %pip install -q "git+https://github.com/{repository}@{ref}"\
"""


def repository(root=ROOT):
    """``owner/name``, as pyproject.toml has it."""
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return urls["Repository"].removeprefix("https://github.com/").removesuffix(".git").strip("/")


def rewritten(text, old, new, ref):
    """``text`` with the addresses of ``old`` moved to ``new``; other projects' addresses stay."""
    hosts = r"(https://(?:github\.com|colab\.research\.google\.com/github|mybinder\.org/v2/gh|codespaces\.new)/)"
    text = re.sub(hosts + re.escape(old) + r"(?![\w-])", lambda found: found[1] + new, text)
    moved = re.escape(new)
    for before, name, after in (
        (rf"colab\.research\.google\.com/github/{moved}/blob/", ref, r"(?=/notebooks/)"),
        (rf"kernels/welcome\?src=https://github\.com/{moved}/blob/", ref, r"(?=/notebooks/)"),
        (rf"mybinder\.org/v2/gh/{moved}/", quote(ref, safe=""), r"(?=\?)"),
        (rf"codespaces\.new/{moved}/tree/", ref, r"(?=\))"),
        (rf"git\+https://github\.com/{moved}(?:\.git)?@", ref, r"(?![\w./-])"),
    ):
        text = re.sub(rf"({before})[\w./%-]+?{after}", lambda found, name=name: found[1] + name, text)
    return text


def files(root=ROOT):
    """The text files of the project, without folders that hold no source (.git, .venv, build)."""
    found = []
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".") and name not in ("build", "dist", "runs")]
        found += [Path(folder, name) for name in names if name.endswith(TEXT_FILES)]
    return sorted(found)


def move(root, new, ref="main"):
    """Rewrite all files under ``root``; the list of those that changed."""
    old = repository(root)
    changed = []
    for path in files(root):
        before = path.read_bytes().decode()  # bytes, so that line ends stay as they are
        after = rewritten(before, old, new, ref)
        if after != before:
            path.write_bytes(after.encode())
            changed.append(path.relative_to(root))
    return changed


def main(new, ref):
    if not OWNER_AND_NAME.fullmatch(new):
        return f"REPO is owner/name as on GitHub, and {new!r} is not. For instance: make links REPO=ada/kdkit"
    if not REF.fullmatch(ref):
        return f"REF is a branch or a tag, and {ref!r} is neither. For instance: make links REPO={new} REF=main"
    for path in move(ROOT, new, ref) or ["nothing: every link points there already"]:
        print("changed", path)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
