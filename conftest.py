"""What holds for every kind of test: their order, the seconds per notebook, and no silent skip in CI."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

import kdkit  # noqa: F401  before any test imports torch, so that its threads sleep while they wait

SECONDS = Counter()


def stage(path):
    """Fast tests first."""
    if path.suffix == ".ipynb":
        return 1
    return 3 if "browser" in path.parts else 2 if "slow" in path.parts else 0


def pytest_collection_modifyitems(config, items):
    """Of two at once (-n 2) one begins with the browser, whose tests take longest: then both end at the same time."""
    first = 3 if hasattr(config, "workerinput") else 0
    items.sort(key=lambda item: (stage(item.path) - first) % 4)


def pytest_runtest_logreport(report):
    path = Path(report.nodeid.split("::")[0])
    name = ("unit tests", path.name, "slow tests", "browser tests")[stage(path)]
    whole = re.search(r"_runs_in_jupyterlab.*\[(.*\.ipynb)\]", report.nodeid)
    name = f"{whole[1]} in JupyterLab" if whole else name
    SECONDS[name] += report.duration  # set-up and teardown are reports of their own


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("seconds by notebook and kind of test")
    for name, seconds in SECONDS.items():
        terminalreporter.write_line(f"{seconds:7.1f} s  {name}")


# ------------------------------------------------------------------------------- in CI a skip is a failure


def forbid_skip(report):
    """Only a missing GPU may skip a test in CI, or a package that the kit does not depend on (``make libraries``).

    And missing real data, where .ci/run found none to bring along.
    """
    if not (os.environ.get("CI") and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    without_data = "KDKIT_DATA" in reason and os.environ.get("KDKIT_REQUIRE_DATA") != "1"
    if not any(allowed in reason for allowed in ("GPU", "is no dependency of the kit")) and not without_data:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped in CI ({reason}): there everything is installed, so run it"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    report = yield
    forbid_skip(report)
    return report
