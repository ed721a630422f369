"""What kdkit finds on a machine: threads that spin, packages that are missing, too old or broken."""

import importlib.metadata
import os
import re
import subprocess
import sys

import pytest

from kdkit.cli import doctor
from kdkit.measure import machine
from tools.links import ROOT

# ----------------------------------------------------------------------------------------------- threads


def started(*command, **environment):
    """A fresh Python without settings for threads but those given: what it said, and how long its threads spin."""
    clean = {name: value for name, value in os.environ.items() if name not in machine.YOURS}
    environment = clean | {"OMP_DISPLAY_ENV": "verbose"} | environment
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    found = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)  # what the OpenMP library itself says that it has read
    return done, int(found[1]) if found else None


needs_libgomp = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, where torch computes with libgomp")


@needs_libgomp
@pytest.mark.parametrize(
    ("code", "environment", "spins"),
    [
        ("import kdkit, torch", {}, 0),
        ("from kdkit import losses", {}, 0),
        ("import kdkit, torch", {"GOMP_SPINCOUNT": "5000"}, 5000),
        ("import kdkit, torch", {"OMP_WAIT_POLICY": "ACTIVE"}, 30_000_000_000),
    ],
)
def test_threads_sleep_where_kdkit_comes_before_torch_unless_you_have_set_it(code, environment, spins):
    done, found = started("-c", code, **environment)
    assert found == spins and "kdkit" not in done.stderr


@needs_libgomp
def test_after_torch_it_is_too_late_and_said_once():
    done, spins = started("-W", "error", "-c", "import torch, kdkit; from kdkit import losses; print('went on')")
    assert spins > 0 and done.stderr.count(machine.TOO_LATE) == 1 and done.stdout == "went on\n"


@needs_libgomp
def test_the_command_line_sets_it_and_doctor_says_so():
    done, spins = started("-m", "kdkit", "doctor")
    assert spins == 0 and "threads sleep while they wait for each other (OMP_WAIT_POLICY=PASSIVE)" in done.stdout


def test_what_kdkit_starts_has_the_setting_as_well():
    ask = f"import os; print(os.environ[{machine.SETTING!r}])"
    done, _ = started("-c", f"import kdkit, subprocess, sys; subprocess.run([sys.executable, '-c', {ask!r}])")
    assert done.stdout == "PASSIVE\n"


def test_doctor_says_where_it_was_too_late(monkeypatch):
    monkeypatch.setattr(machine, "_missed", True)
    assert (False, machine.TOO_LATE) in list(doctor.report())


def test_doctor_leaves_your_own_setting_uncommented(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert (None, "threads wait for each other as you have set it: OMP_WAIT_POLICY=ACTIVE") in list(doctor.report())


# ---------------------------------------------------------------------------------------------- packages

NEEDED = [line for line in importlib.metadata.requires("kdkit") if "extra ==" not in line]  # without extras


def names(requirements):
    return [re.match(r"[\w-]+", line)[0] for line in requirements]


def complaints():
    return [text for good, text in doctor.report() if good is False]


@pytest.mark.parametrize("requirement", NEEDED, ids=names(NEEDED))
def test_doctor_names_each_package_that_is_missing_or_does_not_load(requirement, monkeypatch):
    [name] = names([requirement])
    monkeypatch.setitem(sys.modules, doctor.MODULES.get(name, name), None)
    assert any(text.startswith(f"{name} ") and "installed but does not load" in text for text in complaints())
    version = importlib.metadata.version

    def without(asked):
        if asked == name:
            raise importlib.metadata.PackageNotFoundError(asked)
        return version(asked)

    monkeypatch.setattr(importlib.metadata, "version", without)
    assert f'{name} is not installed: {sys.executable} -m pip install "{requirement}"' in complaints()


def test_doctor_names_a_package_that_is_older_than_its_floor(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.10.1" if name == "scipy" else "99")
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy>=1.26", "scipy>=1.11.1"])
    [said] = complaints()
    advice = f'{sys.executable} -m pip install --upgrade "scipy>=1.11.1"'
    assert said == f"scipy 1.10.1 is too old, scipy>=1.11.1 is needed: {advice}"


def test_doctor_knows_that_a_hyphen_is_an_underscore_in_python(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["typing-extensions>=4"])
    assert complaints() == []


def test_doctor_says_that_kdkit_is_not_installed(monkeypatch):
    def unknown(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    assert any("kdkit itself is not installed" in said for said in complaints())


BARE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {"kdkit", *sys.stdlib_module_names}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
from kdkit.cli.main import main
sys.exit(main(["doctor"]))
"""


def test_doctor_speaks_where_nothing_but_python_is_left():
    done, _ = started("-c", BARE)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert all(f"ATTENTION {name} " in done.stdout for name in names(NEEDED))
