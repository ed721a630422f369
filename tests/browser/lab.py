"""A real JupyterLab in a real browser, for tests: open a notebook, run it, move its sliders, see what broke."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]

# What the console may say although nothing is wrong; each with its reason. Everything else fails the test.
HARMLESS = (
    "(https://colab.research.google.com/assets/colab-badge.svg)",  # the badge lies on Colab's site; tests run offline
)

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # else cells out of sight are not in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def find_browser():
    """Path of Chromium or Chrome: $CHROMIUM, or what the machine has; None without one."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_server(process, url, log, seconds=120):
    """Until ``url`` answers; an error with the server's own words if it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/status", timeout=5):
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


def stop(process, seconds=20):
    """End a process that a test started in a group of its own, with what it started itself, and nothing else."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, way)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def private_environment(folder):
    """Settings, workspaces and kernels of their own: nothing of the person's Jupyter is read or written.

    Without real data, as for most readers; where it is there, nbval runs the notebooks that ask for it.
    """
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    names += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    private = {name: str(folder / name.lower()) for name in names}
    for name, setting in SETTINGS.items():
        path = Path(private["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{name}.jupyterlab-settings")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(setting))
    return {name: value for name, value in os.environ.items() if name != "KDKIT_DATA"} | private


def server_flags(port):
    flags = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    flags += ["--IdentityProvider.token=", "--ServerApp.password="]  # reachable from this machine only
    return flags + (["--allow-root"] if os.geteuid() == 0 else [])


@contextlib.contextmanager
def started(command, folder, url, log, **environment):
    """Run a server until the block ends, whatever happens in it; its process group is its own, and all that ends."""
    environment = private_environment(folder) | environment
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder / "files", env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_for_server(process, url, log)
        yield
    finally:
        stop(process)


@contextlib.contextmanager
def lab_server(folder, *flags, config=ROOT / "tools" / "jupyter"):
    """JupyterLab over ``folder/files``; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--expose-app-in-browser", *server_flags(port), *flags]
    url = f"http://127.0.0.1:{port}"
    with started(command, folder, url, folder / "server.log", JUPYTER_CONFIG_PATH=str(config)):
        yield url


@contextlib.contextmanager
def chromium():
    """The machine's own browser, driven by playwright (which never downloads one here)."""
    from playwright.sync_api import sync_playwright

    flags = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    flags += ["--disable-component-update"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=flags)
        try:
            yield browser
        finally:
            browser.close()


class Lab:
    """A running JupyterLab and a browser; ``files`` is a copy of the course, so the checkout is not written."""

    def __init__(self, url, browser, files):
        self.url, self.browser, self.files = url, browser, files

    def open(self, name):
        """Open a fresh copy of ``notebooks/name`` in a fresh page and wait until its kernel is ready."""
        if (ROOT / "notebooks" / name).exists():  # JupyterLab may have saved what an earlier test left in the last copy
            shutil.copy(ROOT / "notebooks" / name, self.files / name)
        page = self.browser.new_page(viewport={"width": 1280, "height": 900})
        notebook = Notebook(page, name)
        page.goto(f"{self.url}/doc/tree/notebooks/{name}?reset")
        page.wait_for_function(WATCH_KERNEL, timeout=120_000)
        return notebook

    def write(self, name, *sources):
        """Write a notebook of these code cells and open it."""
        cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        cells = [cell | {"id": f"cell-{n}", "source": source.strip()} for n, source in enumerate(sources)]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        (self.files / name).write_text(json.dumps(notebook))  # without a kernel's name JupyterLab asks which
        return self.open(name)


@contextlib.contextmanager
def running_lab(folder):
    """A ``Lab`` over a copy of notebooks/; server and browser end with the block, whatever happens in it."""
    shutil.copytree(ROOT / "notebooks", folder / "files" / "notebooks")
    with lab_server(folder) as url, chromium() as browser:
        yield Lab(url, browser, folder / "files" / "notebooks")


# ---------------------------------------------------------------------------- what runs inside the page

PANEL = "window.jupyterapp?.shell.currentWidget"

# True once the kernel is idle. From then on every error that the kernel sends is kept: what a callback raises goes
# into a widget, or nowhere in the page at all.
WATCH_KERNEL = (
    "() => { const panel = "
    + PANEL
    + """;
    const kernel = panel?.sessionContext?.session?.kernel;
    if (!kernel || kernel.status !== 'idle' || !panel.content.model?.cells.length) return false;
    window.kernelErrors = [];
    kernel.iopubMessage.connect((_, { header, content }) => {
        if (header.msg_type === 'error') window.kernelErrors.push(`${content.ename}: ${content.evalue}`);
    });
    return true;
}"""
)

START_RUN = """async () => {
    const commands = window.jupyterapp.commands;
    await commands.execute('notebook:clear-all-cell-outputs');  // else the counts in the file look like a run
    window.runEnded = false;
    commands.execute('notebook:run-all-cells').finally(() => { window.runEnded = true; });
}"""

# All cells are done, no message is under way, and no widget still says that it is loading.
RUN_ENDED = (
    "() => window.runEnded && "
    + PANEL
    + """.sessionContext.session.kernel.status === 'idle'
    && ![...document.querySelectorAll('.jp-OutputArea-output')].some(o => o.innerText === 'Loading widget...')"""
)

# One entry a cell, from the notebook's model: the page's "[*]" would not do, cells out of sight may not be in it.
CELLS = (
    "() => { const cells = "
    + PANEL
    + """.content.widgets; return cells.map(({ model, node }) => ({
        type: model.type,
        source: model.sharedModel.source,
        tags: model.getMetadata('tags') ?? [],
        count: model.executionCount ?? null,
        errors: (model.outputs?.toJSON() ?? [])
            .filter(output => output.output_type === 'error')
            .map(output => `${output.ename}: ${output.evalue}`),
        blank: [...node.querySelectorAll('.jupyter-widgets-error-widget, .jp-OutputArea-output')]
            .map(element => element.innerText)
            .filter(words => /^(Error displaying|Error creating|Failed to load)/.test(words)),
    })); }"""
)
OUTPUTS = (
    "() => "
    + PANEL
    + """.content.widgets.filter(({ model }) => model.type === 'code').map(({ model }) => model.outputs.toJSON())"""
)
RUN_CELL = (
    "async ([marker, source]) => { const { content } = "
    + PANEL
    + """;
    const index = content.widgets.findIndex(({ model }) => model.sharedModel.source.includes(marker));
    const { model } = content.widgets[index];
    if (source) model.sharedModel.setSource(source);
    content.activeCellIndex = index;
    await window.jupyterapp.commands.execute('notebook:run-cell');
    return model.outputs.toJSON().map(({ text, data }) => text ?? data['text/plain']).join('');
}"""
)
AXE = """async (part) => {
    const wanted = { preload: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] };
    const { violations } = await axe.run(part, wanted);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200)).join(' | ')}`);
}"""


def axe(page, packages, part="html"):
    """What axe-core holds against a part of a page, by WCAG 2.2 AA; ``packages``, the folder where npm put it."""
    page.add_script_tag(path=packages / "axe-core" / "axe.min.js")
    return page.evaluate(AXE, part)


SLIDERS = ".jp-Notebook [role=slider], .jp-Notebook input[type=range]"


class Notebook:
    """One notebook in one page."""

    def __init__(self, page, name):
        self.page, self.name = page, name
        self.complaints = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught in the page: {error}"))

    def _on_console(self, message):
        complaint = f"console.error: {message.text} ({message.location.get('url', '')})"
        if message.type == "error" and not any(text in complaint for text in HARMLESS):
            self.complaints.append(complaint)

    def run_all(self, timeout=1200):
        """Run every cell from the top and wait for the end; an ``AssertionError`` that lists all that broke."""
        self.page.evaluate(START_RUN)
        # Every half second: asked in each frame, as is usual, the browser takes a core from what it waits for.
        self.page.wait_for_function(RUN_ENDED, timeout=timeout * 1000, polling=500)
        self.check()

    def check(self):
        """Raise if a cell, a callback or the page itself reported an error since the notebook was opened."""
        broken = self.errors()
        assert not broken, f"{self.name}:\n" + "\n".join(broken)

    def errors(self):
        """All that went wrong so far, one line each."""
        cells = [cell for cell in self.cells() if cell["type"] == "code" and cell["source"].strip()]
        broken = [line for number, cell in enumerate(cells) for line in _errors_of_cell(number, cell)]
        elsewhere = Counter(self.page.evaluate("window.kernelErrors"))
        elsewhere -= Counter(error for cell in cells for error in cell["errors"])
        return broken + [f"in a widget's callback: {error}" for error in elsewhere] + self.complaints

    def cells(self):
        return self.page.evaluate(CELLS)

    def outputs(self):
        """What stands below each code cell, as nbformat's nodes."""
        cells = nbformat.from_dict({"outputs": self.page.evaluate(OUTPUTS)})["outputs"]
        for output in [output for outputs in cells for output in outputs if "text" in output]:
            output["text"] = "".join(output["text"])
        return cells

    def run_cell(self, marker, source=None):
        """Run the first cell with ``marker`` in its source, or with another ``source`` if given; its output as text."""
        return self.page.evaluate(RUN_CELL, [marker, source])

    def screenshot(self, path):
        self.page.screenshot(path=path)

    def close(self):
        """Stop the kernel and close the page."""
        self.page.evaluate(PANEL + ".sessionContext.shutdown()")
        self.page.close()

    def slider(self, number=0):
        """The ``number``-th slider of the notebook, from the top."""
        return Slider(self.page.locator(SLIDERS).nth(number))


def _errors_of_cell(number, cell):
    if cell["count"] is None:
        yield f"cell {number} was not run"
    if "raises-exception" not in cell["tags"]:
        yield from (f"cell {number}: {error}" for error in cell["errors"])
    yield from (f"cell {number}: {words}" for words in cell["blank"])


class Slider:
    """An ipywidgets slider or an ``<input type=range>``."""

    def __init__(self, handle):
        self.handle = handle
        handle.scroll_into_view_if_needed()

    @property
    def value(self):
        value = self.handle.get_attribute("aria-valuenow")
        return float(self.handle.input_value() if value is None else value)

    def press(self, key="ArrowRight", times=1):
        """Focus the slider and press a key as a person would."""
        self.handle.focus()
        for _ in range(times):
            self.handle.page.keyboard.press(key)

    def drag(self, pixels):
        """Take the handle with the mouse and move it ``pixels`` to the right (negative: to the left)."""
        x, y = self._handle_centre()
        mouse = self.handle.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + pixels, y, steps=5)
        mouse.up()

    def _handle_centre(self):
        """A range input is as wide as its track: its handle stands where its value is."""
        box = self.handle.bounding_box()
        part = self.handle.evaluate("e => e.type === 'range' ? (e.value - e.min) / (e.max - e.min) : 0.5")
        margin = min(box["height"], box["width"]) / 2
        return box["x"] + margin + part * (box["width"] - 2 * margin), box["y"] + box["height"] / 2
