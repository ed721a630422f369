"""The folder for a USB stick, with wheels of nothing: pip chooses, and the script installs as for a participant."""

import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from wheels import wheel

from tools import bundle

NEEDS = [
    'winpty; sys_platform == "win32"',
    'cuda; platform_system == "Linux" and platform_machine == "x86_64"',
    'appnope; platform_system == "Darwin"',
    'backport; python_version < "3.12"',
    "compiled",
]
DOCTOR = """
import os, sys
print("doctor:", *sys.argv[1:], os.environ["KDKIT_DATA"], os.getcwd())
"""
CHOSEN = {
    ("windows", "3.12"): {"winpty-1.0-py3-none-any", "compiled-1.0-cp312-cp312-win_amd64"},
    ("linux", "3.11"): {
        *("cuda-1.0-py3-none-any", "backport-1.0-py3-none-any", "compiled-1.0-cp311-cp311-manylinux_2_27_x86_64"),
    },
    ("mac", "3.13"): {"appnope-1.0-py3-none-any", "compiled-1.0-cp313-cp313-macosx_11_0_arm64"},
}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """All that pip can get: wheels of nothing in a folder."""
    index = tmp_path / "index"
    index.mkdir()
    for names in CHOSEN.values():
        for name in names:
            name, version, tag = name.split("-", 2)
            wheel(index, name, version, tag)
    wheel(index, "jupyterlab", "4.9")
    wheel(index, "jupyterlab", "4.1")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(index), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return index


@pytest.fixture
def wheels(tmp_path):
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


@pytest.mark.parametrize(("name", "python"), CHOSEN)
def test_each_platform_gets_what_it_needs_and_nothing_of_another(index, wheels, name, python):
    own = wheel(wheels, "kdkit", "0.1", needs=NEEDS, extra="export")
    used = bundle.fetched(bundle.requirements(own, wheels), wheels, name, python)
    names = {f"{each}.whl" for each in CHOSEN[name, python]}
    assert used == {"kdkit-0.1-py3-none-any.whl", "jupyterlab-4.9-py3-none-any.whl", *names}
    assert used == {path.name for path in wheels.glob("*.whl")}


def test_what_pip_cannot_get_is_said(index, wheels):
    own = wheel(wheels, "kdkit", "0.1", needs=["compiled"], extra="export")
    with pytest.raises(ValueError, match="pip download failed; what it said stands above"):
        bundle.fetched(bundle.requirements(own, wheels), wheels, "windows", "3.13")  # there is one for 3.12


# --------------------------------------------------------------------------------------------- installed


@pytest.fixture
def stick(index, tmp_path, monkeypatch):
    """A bundle of nothing for this machine, and the environment of a participant whose home is new."""

    def own_wheel(wheels):
        return wheel(wheels, "kdkit", "0.1", code=DOCTOR, extra="export")

    def copies(arguments):
        folder = tmp_path / arguments[-1]
        folder.mkdir()
        (folder / "00_start_here.ipynb").write_text("a notebook")

    (tmp_path / "site").mkdir()
    monkeypatch.setattr(bundle, "own_wheel", own_wheel)
    monkeypatch.setattr(bundle, "SITE", tmp_path / "site")
    monkeypatch.setattr(bundle.site, "build", lambda folder: 0)
    monkeypatch.setattr(bundle.versions, "main", copies)
    wheel(index, "jupyterlab", "4.9", code="import sys; print('lab:', *sys.argv[1:])")
    assert bundle.build(tmp_path / "bundle", *bundle.chosen("", "")) == 0
    shutil.rmtree(index)
    home = tmp_path / "home of two words"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    environment |= {"PIP_INDEX_URL": "http://127.0.0.1:9/none"}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / f"python3.{sys.version_info.minor}").symlink_to(sys._base_executable)

    def install(answer, *folder, **more):
        command = ["sh", tmp_path / "bundle" / "install.sh", *folder]
        how = {"input": answer, "capture_output": True, "text": True, "env": environment | more}
        return subprocess.run(command, cwd=tmp_path, **how)

    return SimpleNamespace(install=install, target=home / "kdkit-course", bundle=tmp_path / "bundle")


def test_the_script_installs_checks_and_opens_and_a_second_time_leaves_ones_work(stick):
    done = stick.install("n\n")
    assert done.returncode == 0, done.stderr
    target = stick.target
    assert f"doctor: doctor --workshop {target / 'data'} {target}" in done.stdout and "Later: sh" in done.stdout
    [later] = re.findall("Later: (.*)", done.stdout)
    opened = subprocess.run(later, shell=True, cwd=target.parent, capture_output=True, text=True)
    assert "lab: notebooks/00_start_here.ipynb" in opened.stdout, opened.stderr
    assert {path.name for path in target.iterdir()} == {
        *(".venv", "notebooks", "notebooks-short", "data", "jupyter", "open.sh", "open.command"),
    }
    (target / "notebooks" / "00_start_here.ipynb").write_text("my answers")
    again = stick.install("y\n")
    assert again.returncode == 0 and "lab: notebooks/00_start_here.ipynb" in again.stdout
    assert (target / "notebooks" / "00_start_here.ipynb").read_text() == "my answers"
    assert stick.install("").returncode == 0  # nobody there to answer


def test_a_relative_folder_a_half_copy_and_a_newer_kit_of_the_same_version(stick, tmp_path):
    half = tmp_path / "my course" / "notebooks.part"
    half.mkdir(parents=True)
    (half / "half.ipynb").touch()
    done = stick.install("n\n", "my course", CDPATH=str(tmp_path))
    target = half.parent
    assert done.returncode == 0, done.stderr
    assert f"doctor: doctor --workshop {target / 'data'} {target}" in done.stdout
    assert not half.exists() and [path.name for path in (target / "notebooks").iterdir()] == ["00_start_here.ipynb"]
    wheel(stick.bundle / "wheels", "kdkit", "0.1", code="print('a newer doctor')", extra="export")
    assert "a newer doctor" in stick.install("n\n", "my course").stdout


def test_a_copy_that_breaks_off_is_not_kept(stick, tmp_path):
    copy = tmp_path / "bin" / "cp"
    copy.write_text('#!/bin/sh\nmkdir "$3" && exit 1\n')
    copy.chmod(0o755)
    assert stick.install("n\n").returncode == 1
    assert [path.name for path in stick.target.iterdir()] == ["notebooks.part"]
    copy.unlink()
    assert stick.install("n\n").returncode == 0 and (stick.target / "notebooks" / "00_start_here.ipynb").exists()


def test_another_folder_and_a_python_that_does_not_fit(stick, tmp_path):
    done = stick.install("n\n", tmp_path / "elsewhere")
    assert done.returncode == 0 and (tmp_path / "elsewhere" / ".venv").is_dir() and not stick.target.exists()
    script = stick.bundle / "install.sh"
    script.write_text(script.read_text().replace(f"3.{sys.version_info.minor}", "3.99"))
    done = stick.install("n\n")
    assert done.returncode == 1 and "for Python 3.99" in done.stdout
    assert not stick.target.exists()
    done = stick.install("n\n", PYTHON=sys._base_executable)
    assert done.returncode == 1 and "and none was found" in done.stdout


def test_wheels_that_are_missing_end_it_before_the_check(stick):
    [path] = (stick.bundle / "wheels").glob("jupyterlab-*.whl")
    path.unlink()
    done = stick.install("n\n")
    assert done.returncode != 0 and "jupyterlab" in done.stderr and "doctor:" not in done.stdout
