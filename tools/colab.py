"""Run the short paths as on Colab: kdkit from a wheel, an older IPython and ipywidgets, an empty folder, no checkout.

    python -m tools.colab [FILE ...]

In a virtual environment of its own, deleted afterwards, which borrows all other packages from the one that runs this.
Colab's Python, its torch, its GPU and its page are not imitated. Without files: all of ``notebooks/``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

import nbformat

from tools.links import ROOT
from tools.notebooks import executed, failure
from tools.versions import short_copy

AS_THERE = ["ipywidgets==7.7.1", "ipykernel==6.17.1", "ipython==7.34.0", "jupyter-client==6.1.12", "traitlets==5.7.1"]
WHO = "import kdkit, IPython, ipywidgets as w; print(kdkit.__file__, IPython.__version__, w.__version__)"


def environment(folder):
    """A Python that has Colab's versions and kdkit's wheel, and finds all else among the packages of this one."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = ["-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([python, *pip, "install", *AS_THERE], check=True)
    source = folder / "source"  # built in the checkout it would leave its folders there
    shutil.copytree(ROOT / "kdkit", source / "kdkit")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run([sys.executable, *built], check=True)
    subprocess.run([python, *pip, "install", "--no-deps", *folder.glob("kdkit-*.whl")], check=True)
    own = sysconfig.get_path("purelib", vars={"base": str(folder)})
    Path(own, "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: all of notebooks/")
    options = parser.parse_args(arguments)
    os.environ.pop("PYTHONPATH", None)  # else a kernel could find the checkout
    broken = []
    with tempfile.TemporaryDirectory(prefix="colab-") as scratch:
        python, empty = environment(Path(scratch, "environment")), Path(scratch, "content")
        empty.mkdir()
        subprocess.run([python, "-c", WHO], cwd=empty, check=True)
        for path in options.files or sorted((ROOT / "notebooks").glob("*.ipynb")):
            copy, began = empty / path.name, time.monotonic()
            nbformat.write(short_copy(nbformat.read(path, as_version=4)), copy)
            broken += failure(copy, lambda copy: executed(copy, python))
            print(f"{time.monotonic() - began:.0f} s", flush=True)
    print("\n".join(broken) or "every short path runs")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
