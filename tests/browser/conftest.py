import lab as browser_lab
import pytest


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """JupyterLab and Chromium, started once for all browser tests."""
    if browser_lab.find_browser() is None:
        pytest.skip("Chromium not found: install it to run the browser tests")
    with browser_lab.running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running
