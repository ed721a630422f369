"""What a fork on GitHub, Binder and Codespaces would do: read here, for nobody has run it there."""

import itertools
import json
import re
import tomllib

import pytest
import yaml

from tools.links import ROOT

CPU = "https://download.pytorch.org/whl/cpu"
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}
TARGETS = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
COMMANDS = {"mkdir", "mv", "cp", "git", "sudo", "python", "make"}


def combinations(job):
    """The variables of a job, for each time that it runs."""
    matrix = dict(job.get("strategy", {}).get("matrix", {}))
    more = matrix.pop("include", [])
    return [dict(zip(matrix, values, strict=True)) for values in itertools.product(*matrix.values())] + more


def lines(workflow):
    """Each line that a workflow runs, its variables filled in."""
    for job in workflow["jobs"].values():
        for script, values in itertools.product((step.get("run", "") for step in job["steps"]), combinations(job)):
            for line in script.replace("\\\n", " ").splitlines():
                yield re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda found, values=values: values[found[1]], line)


def broken(workflow):
    """Lines that name no target of the Makefile, or no file, or a command that is not known here."""
    for line in lines(workflow):
        command, *arguments = line.split()
        target = [word for word in arguments if "=" not in word] if command == "make" else []
        files = [word for word in arguments if re.match(r"(tests|requirements|\.ci)\b", word)]
        gone = [word for word in target if word not in TARGETS] + [word for word in files if not (ROOT / word).exists()]
        if command not in COMMANDS or gone:
            yield line


def test_there_is_a_workflow_for_tests_site_and_students_copies():
    assert set(WORKFLOWS) == {"tests", "site", "student"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_line_runs_something_that_is_there(name):
    assert list(lines(WORKFLOWS[name])) and list(broken(WORKFLOWS[name])) == []


@pytest.mark.parametrize(
    "run", ["make sites", "make ${{ matrix.target }}", "python -m pytest tests/test_gone.py", "mkae unit", ".ci/gone"]
)
def test_a_line_that_runs_nothing_is_found(run):
    job = {"strategy": {"matrix": {"target": ["unit", "gone"]}}, "steps": [{"run": run}]}
    assert list(broken({"jobs": {"job": job}}))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_workflow_takes_torch_for_machines_without_a_gpu_and_no_more_rights_than_it_names(name):
    assert WORKFLOWS[name]["env"]["PIP_EXTRA_INDEX_URL"] == CPU
    assert WORKFLOWS[name]["permissions"]["contents"] == ("write" if name == "student" else "read")
    assert "not run" in (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")


def pythons():
    """The versions of Python that pyproject.toml names, the oldest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in project["classifiers"]]
    named = [match[1] for match in found if match]
    assert project["requires-python"].startswith(f">={named[0]}")
    return named


def test_each_python_that_is_promised_is_tested_with_the_ends_of_the_dependencies_on_the_ends():
    jobs = combinations(WORKFLOWS["tests"]["jobs"]["unit"])
    on_linux = {(job["target"], job["python"]) for job in jobs if job["os"] == "ubuntu-latest"}
    oldest, *_, newest = pythons()
    assert on_linux == {("unit", version) for version in pythons()} | {("lowest", oldest), ("newest", newest)}
    assert f"Needs Python {oldest} to {newest} " in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_python_that_is_named_elsewhere_is_one_of_these():
    setups = [
        step["with"]["python-version"]
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    image = devcontainer()["image"].removeprefix("mcr.microsoft.com/devcontainers/python:")
    runtime = (ROOT / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert {*setups, image, runtime} - {"${{ matrix.python }}"} <= set(pythons())


def devcontainer():
    return json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))


def test_a_codespace_is_set_up_by_make_and_finds_that_python():
    settings = devcontainer()["customizations"]["vscode"]["settings"]
    make, target = devcontainer()["postCreateCommand"].split()
    assert make == "make" and target in TARGETS
    assert settings["python.defaultInterpreterPath"] == "${containerWorkspaceFolder}/.venv/bin/python"
    assert devcontainer()["containerEnv"] == {"PIP_EXTRA_INDEX_URL": CPU}


def test_binder_installs_what_reading_needs_and_nothing_else():
    listed = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in listed if not line.startswith("#")] == [
        f"--extra-index-url {CPU}",
        "-r ../requirements.txt",
    ]
    assert "pytest" not in (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_contributing_names_only_targets_and_files_that_are_there():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {name for name in re.findall(r"`make (\w+)", page) if name not in TARGETS} == set()
    files = re.findall(r"(?:`|pytest )((?:tests|tools|kdkit|benchmarks|\.binder|\.devcontainer)/[\w./]*)", page)
    assert len(files) > 8 and [name for name in files if not (ROOT / name).exists()] == []
