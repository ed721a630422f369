"""``make lab``, started for real: it opens the first notebook, and kernel messages are sent without delay."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import urllib.request

import lab
import pytest
import websocket

# A user's own settings, which still have to apply: they note for each message whether TCP_NODELAY is on.
USERS_CONFIG = """
import socket
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

take = KernelWebsocketHandler.on_message

def on_message(self, message):
    on = self.ws_connection.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with open({note!r}, "w") as note:
        note.write("nodelay" if on else "delay")
    take(self, message)

KernelWebsocketHandler.on_message = on_message
"""


@pytest.fixture
def folder(tmp_path):
    """Where a server of its own finds a copy of the project (``files``) and the user's settings."""
    settings = tmp_path / "jupyter_config_dir"
    settings.mkdir()
    (settings / "jupyter_server_config.py").write_text(USERS_CONFIG.format(note=str(tmp_path / "note")))
    for name in ("notebooks", "tools"):
        shutil.copytree(lab.ROOT / name, tmp_path / "files" / name)
    for name in ("Makefile", "pyproject.toml", "requirements.txt"):
        shutil.copy(lab.ROOT / name, tmp_path / "files")
    return tmp_path


def say_something_to_a_kernel(url):
    """Start a kernel, send it one message over the websocket as a browser does, and wait for an answer."""
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/kernels", method="POST")) as answer:
        kernel = json.load(answer)["id"]
    header = {"msg_id": "1", "msg_type": "kernel_info_request", "session": "1", "username": "", "version": "5.3"}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": {}, "channel": "shell"}
    channel = websocket.create_connection(f"{url.replace('http', 'ws')}/api/kernels/{kernel}/channels", timeout=60)
    channel.send(json.dumps(message))
    assert channel.recv()
    channel.close()


WITHOUT_BROWSER = "--ServerApp.disable_check_xsrf=True"  # a browser would send back a cookie; these requests have none


def test_make_lab_opens_the_first_notebook_and_sends_without_delay(folder):
    """The set-up is taken as done, with the Python that runs this."""
    python = folder / "files" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (folder / "files" / ".venv" / "installed").touch()
    port = lab.free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "make.log"
    command = ["make", "lab", "LAB_FLAGS=" + " ".join([*lab.server_flags(port), WITHOUT_BROWSER])]
    with lab.started(command, folder, url, log):
        say_something_to_a_kernel(url)
    assert (folder / "note").read_text() == "nodelay"
    assert f"127.0.0.1:{port}/lab/tree/notebooks/00_start_here.ipynb" in log.read_text()


def test_without_the_settings_of_make_lab_messages_wait(folder):
    """So the test above can fail; and once this one does, the server does it by itself and the settings may go."""
    with lab.lab_server(folder, WITHOUT_BROWSER, config="") as url:
        say_something_to_a_kernel(url)
    assert (folder / "note").read_text() == "delay"


CONFIG = str(lab.ROOT / "tools" / "jupyter" / "jupyter_server_config.py")


def test_a_server_that_is_built_otherwise_still_starts(monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyter_server.services.kernels.websocket", None)  # importing it fails
    runpy.run_path(CONFIG)


def test_a_websocket_that_cannot_do_it_still_opens():
    opened = runpy.run_path(CONFIG)["without_delay"](lambda handler, kernel_id: f"opened {kernel_id}")
    assert opened(object(), "k") == "opened k"  # object() has no set_nodelay


def test_a_server_that_does_not_start_says_why_and_nothing_is_left_running(folder, monkeypatch):
    started = []
    wait = lab.wait_for_server
    monkeypatch.setattr(lab, "wait_for_server", lambda process, *rest: started.append(process) or wait(process, *rest))
    with pytest.raises(RuntimeError, match=r"did not start.*\n(.*\n)*.*no-such"), lab.lab_server(folder, "--no-such=1"):
        pass
    assert started[0].poll() is not None


def test_an_error_in_a_test_stops_the_server_too(folder):
    with pytest.raises(ZeroDivisionError), lab.lab_server(folder) as url:
        1 / 0  # noqa: B018
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/api/status", timeout=5)


def test_without_chromium_the_browser_tests_skip_by_name(tmp_path):
    tests = lab.ROOT / "tests" / "browser"
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "CHROMIUM")}
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(tests / "test_notebooks.py")]
    result = subprocess.run(
        command, cwd=lab.ROOT, env=environment | {"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert result.returncode == 0
    assert "Chromium not found: install it to run the browser tests" in result.stdout
