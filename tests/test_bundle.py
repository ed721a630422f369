"""The folder for a USB stick: what may be asked for, what lies in it, and that no half of it is taken for the whole."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import bundle, folders
from tools.links import ROOT

HERE = f"3.{sys.version_info.minor}"


def test_without_lists_it_is_for_this_machine(monkeypatch):
    for system, name in bundle.NAMES.items():
        monkeypatch.setattr(bundle.platform, "system", lambda system=system: system)
        assert bundle.chosen("", "") == ([name], [HERE])
    assert bundle.chosen("linux mac", "3.12 3.13") == (["linux", "mac"], ["3.12", "3.13"])


@pytest.mark.parametrize(
    ("platforms", "pythons", "said"),
    [
        ("linux beos", "", "PLATFORMS: some of linux, windows, mac; got beos"),
        ("mac-intel", "", "got mac-intel .torch has had no wheels for Macs with an Intel processor"),
        ("linux", "3.10", "from 3.11 on; got 3.10"),
        ("linux", "3", "PYTHONS: versions such as"),
        ("linux", "3.x", "PYTHONS: versions such as"),
    ],
)
def test_what_cannot_be_had_is_refused(platforms, pythons, said):
    with pytest.raises(ValueError, match=said):
        bundle.chosen(platforms, pythons)


def test_the_command_refuses_in_a_sentence(capsys):
    assert bundle.main(["--platforms", "amiga"]) == 1
    assert capsys.readouterr().err.startswith("make bundle: PLATFORMS: some of linux")


# ----------------------------------------------------------------------------------------- the whole folder


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Builds a bundle whose wheels, copies and site are made up; ``made.trouble``: what is raised instead of wheels."""
    made = SimpleNamespace(trouble=None, to=tmp_path / "build" / "bundle", wheels={"a-1-py3-none-any.whl"})

    def own_wheel(wheels):
        (wheels / "kdkit-1-py3-none-any.whl").write_text("kdkit")
        return wheels / "kdkit-1-py3-none-any.whl"

    def fetched(wanted, wheels, name, python):
        for wheel in made.wheels:
            (wheels / wheel).write_text(f"{wheel}{name}")
        if made.trouble:
            raise made.trouble
        return {*made.wheels, "kdkit-1-py3-none-any.whl"}

    def copies(arguments):
        folder = tmp_path / arguments[-1]
        folder.mkdir()
        (folder / "00_start_here.ipynb").write_text(" ".join(arguments[:3]))

    def site(folder):
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text("<html></html>")
        return 0

    monkeypatch.setattr(bundle, "own_wheel", own_wheel)
    monkeypatch.setattr(bundle, "fetched", fetched)
    monkeypatch.setattr(bundle.versions, "main", copies)
    monkeypatch.setattr(bundle.site, "build", site)
    monkeypatch.setattr(bundle, "SITE", tmp_path / "site")
    made.build = lambda *names: bundle.build(made.to, list(names) or ["linux"], ["3.11", "3.12"])
    return made


def test_all_parts_are_there_with_their_sizes(made, capsys):
    assert made.build("windows", "mac") == 0
    assert {path.name for path in made.to.iterdir() if path.is_dir()} == {
        *("wheels", "notebooks", "notebooks-short", "site", "data", "jupyter"),
    }
    assert (made.to / "notebooks" / "00_start_here.ipynb").read_text() == "student --depth all"
    assert (made.to / "notebooks-short" / "00_start_here.ipynb").read_text() == "student --depth short"
    assert (made.to / "jupyter" / "jupyter_server_config.py").is_file()
    said = capsys.readouterr().out
    assert "2 wheels for windows, Python 3.11" in said and "2 wheels for mac, Python 3.12" in said
    assert "MB  site/" in said and "MB  in all, in" in said
    assert not made.to.with_name("bundle.part").exists()


def test_no_photographs_come_along(made):
    made.build()
    assert [path.name for path in (made.to / "data").iterdir()] == ["README.txt"]


def test_scripts_name_these_pythons_and_suit_their_systems(made):
    made.build("windows", "linux")
    names = {path.name for path in made.to.iterdir() if path.is_file()}
    assert names == {
        *("README.txt", "SHA256SUMS", "install.sh", "install.command", "install.bat", "open.sh", "open.bat"),
    }
    for name in names:
        content = (made.to / name).read_bytes()
        assert content.isascii() and not re.search(rb"@[A-Z]+@", content), name
        assert (b"\r\n" in content) == name.endswith(".bat"), name
        assert content.count(b"\n") < 60 and max(map(len, content.split(b"\n"))) <= 130, name
    for name in "install.sh", "install.bat", "README.txt":
        assert b"3.11 3.12" in (made.to / name).read_bytes(), name
    for name in "install.sh", "install.command", "open.sh":
        assert (made.to / name).stat().st_mode & 0o111
        assert subprocess.run(["sh", "-n", made.to / name]).returncode == 0
    assert "for: Windows (x86-64); Linux (x86-64, glibc" in (made.to / "README.txt").read_text()


def test_every_file_has_its_sum_and_a_changed_one_is_found(made):
    made.build()
    lines = (made.to / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    there = {path.relative_to(made.to).as_posix() for path in made.to.rglob("*") if path.is_file()}
    assert sums.keys() == there - {"SHA256SUMS"}
    assert all(hashlib.sha256((made.to / name).read_bytes()).hexdigest() == value for name, value in sums.items())
    if shutil.which("sha256sum"):
        check = ["sha256sum", "-c", "--quiet", "SHA256SUMS"]
        assert subprocess.run(check, cwd=made.to).returncode == 0
        (made.to / "site" / "index.html").write_text("<HTML></HTML>")
        assert subprocess.run(check, cwd=made.to, capture_output=True).returncode == 1


def test_what_breaks_off_leaves_the_old_folder_and_goes_on_later(made):
    made.build()
    before = (made.to / "SHA256SUMS").read_text()
    made.trouble, made.wheels = ValueError("pip download failed"), {"b-1-py3-none-any.whl"}
    with pytest.raises(ValueError):
        made.build()
    assert (made.to / "SHA256SUMS").read_text() == before and (made.to / "wheels" / "a-1-py3-none-any.whl").exists()
    part = made.to.with_name("bundle.part")
    assert (part / "wheels" / "b-1-py3-none-any.whl").exists()
    (part / "notebooks").mkdir()
    (part / "notebooks" / "half.ipynb").write_text("an earlier try")
    made.trouble, made.wheels = None, {"c-1-py3-none-any.whl"}
    assert made.build() == 0 and not part.exists()
    wheels = {path.name for path in (made.to / "wheels").glob("*.whl")}
    assert wheels == {"c-1-py3-none-any.whl", "kdkit-1-py3-none-any.whl"}
    assert [path.name for path in (made.to / "notebooks").iterdir()] == ["00_start_here.ipynb"]


def test_a_folder_of_other_files_is_refused_and_untouched(made, capsys):
    made.to.mkdir(parents=True)
    (made.to / "SHA256SUMS").write_text("of a download")
    assert bundle.main(["--to", str(made.to)]) == 1
    assert "holds other files, and would be replaced" in capsys.readouterr().err
    made.to.rename(made.to.with_name("bundle.part"))
    with pytest.raises(ValueError, match=r"bundle\.part holds other files"):
        made.build()
    assert [path.name for path in made.to.parent.rglob("*")] == ["bundle.part", "SHA256SUMS"]


def test_a_mount_point_and_a_file_are_refused(tmp_path):
    (tmp_path / "file").touch()
    for to, said in (Path("/"), "a stick as a whole"), (tmp_path / "file", "is a file"):
        with pytest.raises(ValueError, match=said):
            folders.check(to, [])


def test_the_old_folder_comes_back_if_the_new_one_cannot_be_put_there(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(FileNotFoundError):
        folders.replace(tmp_path / "old", tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    (tmp_path / "new").mkdir()
    folders.replace(tmp_path / "old", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("script", ["install.sh", "install.bat"])
def test_a_python_older_than_kdkit_allows_does_not_fit(made, script):
    made.build()
    text = (made.to / script).read_text()
    code = ";".join(re.findall(r"import ensurepip, sys; v = sys.version_info|sys\.exit\(.*split\(\)\)", text))
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    least = tuple(map(int, required.removeprefix(">=").split(".")))
    for version, fits in (least, True), ((3, 12, 0), True), ((3, 11, 2), False), ((3, 13, 1), False):
        done = subprocess.run([sys.executable, "-c", f"import sys; sys.version_info = {version}; {code}"])
        assert (done.returncode == 0) == fits, version
    assert "is for Python 3.11 3.12, from " + ".".join(map(str, least)) in text


def test_what_fails_on_windows_ends_the_script():
    """Read, not run: there is no Windows here."""
    lines = (bundle.STICK / "install.bat").read_text().splitlines()
    steps = [
        line for line in lines if re.match(r" *(xcopy|copy|move|cd|if not exist .* \(mkdir|%INSTALL%|%PYTHON%) ", line)
    ]
    assert len(steps) == 8 and all(line.rstrip(")").endswith(" || goto failed") for line in steps)
    assert 'set "TARGET=%~f1"' in "\n".join(lines)
    assert all('"%TARGET%' in line for line in lines if line.startswith("echo") and "TARGET" in line)


def test_the_cpu_build_of_torch_takes_little_room(monkeypatch):
    for name in "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL":
        monkeypatch.delenv(name, raising=False)
    assert bundle.gigabytes("linux") > 3
    for name in "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL":
        with monkeypatch.context() as patch:
            patch.setenv(name, "https://download.pytorch.org/whl/cpu")
            assert bundle.gigabytes("linux") == bundle.gigabytes("mac")


def test_a_full_disk_is_found_before_anything_is_fetched(made, monkeypatch):
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setattr(bundle.shutil, "disk_usage", lambda path: SimpleNamespace(free=5e9))
    made.build("windows", "mac")
    with pytest.raises(ValueError, match=r"about 7\.1 GB are needed in .*, and 5\.0 GB are free"):
        made.build("linux")
    assert not made.to.with_name("bundle.part").exists()


def test_what_is_fetched_is_what_readers_install(tmp_path):
    wheel = tmp_path / "kdkit-9-py3-none-any.whl"
    asked = bundle.requirements(wheel, tmp_path)
    listed = (tmp_path / "requirements.txt").read_text().splitlines()
    assert listed[0] == "kdkit[export]" and asked == [f"kdkit[export] @ {wheel.as_uri()}", *listed[1:]]
    readers = (ROOT / "requirements.txt").read_text().splitlines()
    assert set(listed[1:]) == {line for line in readers if line and line[0] not in "#-"}
