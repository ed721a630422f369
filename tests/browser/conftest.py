import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import lab as browser_lab
import pytest
import saved


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Run each notebook once: in JupyterLab, or where there is no browser by nbval."""
    twice = set(saved.run_twice(items))
    config.hook.pytest_deselected(items=list(twice))
    items[:] = [item for item in items if item not in twice]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """JupyterLab and Chromium, started once for all browser tests."""
    if browser_lab.find_browser() is None:
        pytest.skip("Chromium not found: install it to run the browser tests")
    with browser_lab.running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder that ``make site`` makes."""
    missing = [name for name in ("sphinx", "myst_nb", "latex2mathml") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the site's packages are not installed ({', '.join(missing)}): pip install -e '.[site]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "tools.site", "--to", folder]
    result = subprocess.run(command, cwd=browser_lab.ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture
def visit(lab, site):
    """``visit(page, width, scheme, fragment)``: a page of the site, offline; what goes wrong in it fails the test."""
    contexts, wrong = [], []

    def open_one(name, width=1280, scheme="light", fragment="", height=900, **more):
        context = lab.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"{name}: {error}"))
        if more.get("java_script_enabled", True):  # else scripts count as failed
            page.on("requestfailed", lambda request: wrong.append(f"{name}: {request.url}"))
        page.on(
            "console", lambda said: wrong.append(f"{name}: {said.text}") if said.type in ("error", "warning") else None
        )
        page.goto((site / f"{name}.html").as_uri() + fragment)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def packages():
    """npm packages that the tests use themselves."""
    folder = Path(os.environ.get("KDKIT_NPM", "no-such-folder"), "node_modules")
    if not (folder / "axe-core").is_dir():
        pytest.skip("axe-core and qrcode-generator not found: npm install them and set KDKIT_NPM")
    return folder
