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
