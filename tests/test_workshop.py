"""The check that participants run at home: each of its parts made to fail once, and what the code says of it."""

import errno
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdkit import training, zoo
from kdkit.cli import doctor, workshop
from kdkit.cli import main as cli
from kdkit.course import codes
from kdkit.data import sources
from tools.links import ROOT


def fine():
    yield True, "fine"


@pytest.fixture
def outcome(monkeypatch, capsys):
    """Runs the check ``name`` for real, among others that pass: (lines about it, names of what the code says fails)."""

    def run(name):
        known = {"packages": doctor._all_packages, "memory": doctor._memory}
        known = {each: known[each] if each == name else fine for each in known}
        checks = {each: real if each == name else fine for each, real in workshop.CHECKS.items()}
        monkeypatch.setattr(workshop, "CHECKS", checks)
        code = workshop.run(known)
        said = capsys.readouterr().out
        kind, numbers = codes.decode(re.search(r"A code for your lecturer: (KW-.*)", said)[1])
        failed = [name for name, bad in zip(workshop.NAMES, codes.unpacked(numbers["failed"], 10), strict=True) if bad]
        assert kind == "workshop" and code == bool(failed)
        assert ("All is well: this machine is ready for the workshop." in said) == (not failed)
        assert ("One of these checks needs attention." in said) == (len(failed) == 1)
        return [line for line in said.splitlines() if line[:10].strip() in workshop.MARKS.values()], failed

    return run


def attention(lines):
    return [line[10:] for line in lines if line.startswith("ATTENTION ")]


# ------------------------------------------------------------------------------------------ each fails once


def test_a_package_that_is_missing(outcome, monkeypatch):
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: ["numpy>=1", "no-such-package>=3"])
    lines, failed = outcome("packages")
    assert failed == ["packages"]
    advice = f'{sys.executable} -m pip install "no-such-package>=3"'
    assert attention(lines) == [f"no-such-package is not installed: {advice}"]


def test_packages_that_load_take_one_line(outcome, monkeypatch):
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: ["numpy>=1", 'x>=1; extra == "site"'])
    lines, failed = outcome("packages")
    assert not failed and re.fullmatch(r"ok        Python 3\.\d+\.\d+\S*, and 2 packages that load", lines[0])


def test_little_memory(outcome, monkeypatch):
    monkeypatch.setattr(workshop, "total_memory", lambda: 2_000_000_000)
    lines, failed = outcome("memory")
    assert failed == ["memory"] and "4 GB are wanted" in attention(lines)[0]


def test_a_system_that_does_not_say_its_memory(outcome, monkeypatch):
    monkeypatch.setattr(workshop, "total_memory", lambda: None)
    lines, failed = outcome("memory")
    assert not failed and lines[1].startswith("note      memory: this system does not say")


@pytest.mark.parametrize(
    ("printed", "error", "words"),
    [
        (
            "",
            "Traceback ...\nNo module named jupyterlab\n",
            "does not start (No module named jupyterlab): /a/venv/bin/python -m pip i",
        ),
        ("4.1.8\n", "", "JupyterLab 4.1.8 is too old, 4.2 is needed: /a/venv/bin/python -m pip install --upgrade"),
    ],
)
def test_jupyterlab_that_is_missing_or_too_old(outcome, monkeypatch, printed, error, words):
    done = SimpleNamespace(stdout=printed, stderr=error)
    monkeypatch.setattr(workshop.subprocess, "run", lambda *command, **how: done)
    monkeypatch.setattr(sys, "executable", "/a/venv/bin/python")
    lines, failed = outcome("jupyterlab")
    assert failed == ["jupyterlab"] and words in attention(lines)[0]


def test_the_lowest_jupyterlab_is_that_of_the_requirements():
    assert f"jupyterlab>={workshop.JUPYTERLAB}" in (ROOT / "requirements.txt").read_text().splitlines()


def test_widgets_that_jupyterlab_finds(outcome):
    lines, failed = outcome("widgets")
    assert not failed and sum("JupyterLab's" in line for line in lines) == 2


def test_a_front_end_of_widgets_that_is_missing(outcome, monkeypatch, tmp_path):
    import jupyter_core.paths

    monkeypatch.setattr(jupyter_core.paths, "jupyter_path", lambda name: [str(tmp_path)])
    lines, failed = outcome("widgets")
    assert failed == ["widgets"] and [line.split()[2].strip(",") for line in attention(lines)] == [*workshop.FRONT_ENDS]
    assert attention(lines)[0].endswith(" -m pip install --force-reinstall --no-deps jupyterlab_widgets")


@pytest.mark.parametrize("name", workshop.FRONT_ENDS)
def test_a_front_end_of_another_version_in_the_way(outcome, monkeypatch, tmp_path, name):
    old = tmp_path / "labextensions" / name / "package.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"version": "0.1.0"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    lines, failed = outcome("widgets")
    assert failed == ["widgets"] and len(attention(lines)) == 1
    assert f"takes {name} 0.1.0 from {old.parent}" in attention(lines)[0]


def test_a_full_disk(outcome, monkeypatch):
    monkeypatch.setattr(workshop.shutil, "disk_usage", lambda path: SimpleNamespace(free=300_000_000))
    lines, failed = outcome("disk")
    assert failed == ["disk"] and "disk: 0.3 GB free in" in attention(lines)[0] and "make room" in attention(lines)[0]


def test_a_folder_that_cannot_be_written(outcome, monkeypatch):
    def refuse(**where):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(workshop.tempfile, "TemporaryFile", refuse)
    lines, failed = outcome("writing")
    assert failed == ["writing"] and "cannot be written (Permission denied): copy" in attention(lines)[0]


def test_weights_of_which_one_byte_is_wrong(outcome, monkeypatch, tmp_path):
    for path in zoo.SHIPPED.glob("mnist-teacher.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path)
    lines, failed = outcome("weights")
    assert not failed and "1 trained networks are as their cards say" in lines[6]
    content = bytearray((tmp_path / "mnist-teacher.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "mnist-teacher.safetensors").write_bytes(content)
    [(good, text)] = list(workshop._weights())
    assert good is False and "mnist-teacher.safetensors is damaged" in text and text.endswith(workshop.ANEW)


@pytest.fixture
def kernel(monkeypatch):
    """Lets a made-up kernel answer: with where its Python lies, what the panel says, or an error."""
    import jupyter_client.manager

    stopped = []
    manager = SimpleNamespace(shutdown_kernel=lambda now: stopped.append(now))
    client = SimpleNamespace(stop_channels=lambda: None)
    monkeypatch.setattr(jupyter_client.manager, "start_new_kernel", lambda **how: (manager, client))

    def answer(*said):
        def moved(client):
            if isinstance(said[0], Exception):
                raise said[0]
            return said

        monkeypatch.setattr(workshop, "_moved", moved)
        return stopped

    return answer


FOLLOWED = ["T=4 image=0", "At T = 4"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([TimeoutError("Timeout waiting for reply")], "no kernel for notebooks works (Timeout waiting for reply)"),
        ([RuntimeError("Kernel died before replying")], "no kernel for notebooks works (Kernel died before replying)"),
        (["/elsewhere"], "notebooks would run in /elsewhere, and this is"),
        ([sys.prefix, "T=1 image=0", "At T = 1"], "a slider was moved to T = 4, and the panel says ['T=1 image=0'"),
    ],
)
def test_a_slider_that_cannot_be_moved(outcome, kernel, said, words):
    stopped = kernel(*said)
    lines, failed = outcome("slider")
    assert failed == ["slider"] and words in attention(lines)[0] and stopped == [True]


def test_a_slider_that_moves(outcome, kernel):
    stopped = kernel(sys.prefix, *FOLLOWED)
    lines, failed = outcome("slider")
    assert not failed and "a slider moved, the panel followed" in lines[7] and stopped == [True]


def test_a_training_step_that_fails(outcome, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(training, "kd_step", broken)
    lines, failed = outcome("step")
    assert failed == ["step"]
    assert attention(lines) == ["step: this check broke off, RuntimeError (could not create a primitive)"]


def test_a_slow_machine_is_told_so_and_fails_nothing(outcome, monkeypatch):
    monkeypatch.setattr(workshop, "USUAL_STEP", 1e-3)
    lines, failed = outcome("step")
    assert not failed and re.match(r"note +a training step took \d+ ms: trainings take \d+ times as long", lines[8])


def test_a_quick_one_hears_the_time_alone(outcome, monkeypatch):
    monkeypatch.setattr(workshop, "USUAL_STEP", 1e6)
    lines, failed = outcome("step")
    assert not failed and re.fullmatch(r"ok +a training step took \d+ ms", lines[8])


@pytest.mark.parametrize(("found", "mark"), [(None, "note"), ("archive x.tar.gz", "ok")])
def test_photographs_that_are_missing_or_there_and_fail_nothing(outcome, monkeypatch, found, mark):
    monkeypatch.setattr(sources, "find", lambda name: found)
    lines, failed = outcome("cifar10")
    assert not failed and lines[9].split()[:2] == [mark, "CIFAR-10" + ":" * bool(found)]


def test_photographs_that_cannot_be_read(outcome, monkeypatch):
    def unreadable(name):
        raise PermissionError(errno.EACCES, "Permission denied", "data_batch_1")

    monkeypatch.setattr(sources, "find", unreadable)
    lines, failed = outcome("cifar10")
    assert failed == ["cifar10"] and "Permission denied" in attention(lines)[0]


# ------------------------------------------------------------------------------------------- code and words


def test_the_doctor_has_the_option_and_hands_its_own_checks_over(monkeypatch):
    handed = []
    monkeypatch.setattr(workshop, "run", lambda known: handed.extend(known) or 0)
    assert cli.main(["doctor", "--workshop"]) == 0
    assert (*handed, *workshop.CHECKS) == workshop.NAMES


def test_old_codes_keep_their_meaning():
    """A bit is a place in this list, so nothing may be put in before its end."""
    first = ("packages", "memory", "jupyterlab", "widgets", "disk", "writing", "weights", "slider", "step", "cifar10")
    assert workshop.NAMES[:10] == first


def test_a_code_in_words():
    numbers = {"failed": codes.packed(name in ("disk", "slider") for name in workshop.NAMES), "system": 3, "python": 12}
    _, read = codes.decode(codes.encode("workshop", {**numbers, "cores": 8, "milliseconds": 40, "cifar10": 1}))
    assert workshop.row(read) == {
        "needs attention": "disk and slider",
        "system": "macOS",
        "Python": "3.12",
        "cores": "8",
        "memory": "unknown",
        "a training step": "40 ms",
        "CIFAR-10": "there",
    }
    read |= {"failed": 0, "system": 99, "milliseconds": 0, "gigabytes": 16, "cifar10": 0}
    assert [workshop.row(read)[name] for name in ("needs attention", "system", "memory", "a training step")] == [
        "nothing",
        "another system",
        "16 GB",
        "not measured",
    ]


def test_a_check_that_only_a_newer_kit_makes_is_not_nothing():
    numbers = codes.decode(codes.encode("workshop", {"failed": 1 << len(workshop.NAMES)}))[1]
    assert workshop.row(numbers)["needs attention"].startswith("a check that this version does not know: take the new")
    numbers["failed"] |= 1
    assert workshop.row(numbers)["needs attention"].startswith("packages and a check that this version does not know")


def test_what_is_to_be_installed_goes_to_the_python_that_was_checked(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/a/venv/bin/python")
    assert workshop.pip("x") == "/a/venv/bin/python -m pip install x"
    monkeypatch.setattr(sys, "executable", "/my course/bin/python")
    assert workshop.pip("x") == '"/my course/bin/python" -m pip install x'


@pytest.mark.parametrize("module", [doctor, workshop])
def test_no_advice_takes_the_kit_from_an_index_which_has_none_or_goes_past_this_python(module):
    text = Path(module.__file__).read_text(encoding="utf-8")
    assert not re.search(r"pip( install|\()[^\n]*\bkdkit\b", text)
    assert text.count("pip install") == (module is workshop) and "pip(" in text  # in the function ``pip`` alone


def test_all_that_is_said_can_be_shown_by_any_console():
    texts = [Path(module.__file__).read_text(encoding="utf-8") for module in (workshop, codes)]
    printed = [part for text in texts for part in re.findall(r'"[^"\n]*"', text)]
    assert len(printed) > 50 and all(part.isascii() for part in printed)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from kdkit.cli import workshop
from kdkit.cli.main import main
workshop.CHECKS = {name: workshop.CHECKS[name] for name in ("disk", "weights", "step", "cifar10")}
sys.exit(main(["doctor", "--workshop"]))
"""


def test_where_torch_does_not_load_all_checks_speak_and_there_is_a_code():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert (
        done.returncode == 1
        and f"torch and torchvision must fit each other: {sys.executable} -m pip install" in done.stdout
    )
    numbers = codes.decode(re.search(r"KW-\S+", done.stdout)[0])[1]
    failed = dict(zip(workshop.NAMES, codes.unpacked(numbers["failed"], 10), strict=True))
    assert [name for name, bad in failed.items() if bad] == ["packages", "weights", "step", "cifar10"]
    assert numbers["python"] == sys.version_info.minor and "not measured" in done.stdout
