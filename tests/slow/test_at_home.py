"""``doctor --workshop`` as a participant runs it, with a kernel for notebooks; and where that kernel is broken."""

import json
import re
import subprocess
import sys

from kdkit.cli import workshop
from kdkit.course import codes


def test_this_machine_is_ready_and_a_slider_moves_in_a_kernel(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "kdkit", "doctor", "--workshop"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a kernel started, a slider moved, the panel followed" in done.stdout
    assert "All is well: this machine is ready for the workshop." in done.stdout
    numbers = codes.decode(re.search(r"KW-\S+", done.stdout)[0])[1]
    assert numbers["failed"] == 0 and numbers["python"] == sys.version_info.minor and numbers["milliseconds"] > 0
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def test_a_kernel_that_ends_at_once_is_found(tmp_path, monkeypatch):
    spec = {"argv": [sys.executable, "-c", "1"], "display_name": "Python 3", "language": "python"}
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    [(good, text)] = list(workshop._slider())
    assert good is False and text.startswith("no kernel for notebooks works (Kernel died before replying")


def test_a_kernel_without_the_kit_is_found(tmp_path, monkeypatch):
    code = "import sys; sys.modules['kdkit'] = None; from ipykernel import kernelapp; kernelapp.launch_new_instance()"
    spec = {"argv": [sys.executable, "-c", code, "-f", "{connection_file}"]}
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(
        json.dumps(spec | {"display_name": "Python 3", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    [(good, text)] = list(workshop._slider())
    assert good is False and "in the kernel, ModuleNotFoundError: import of kdkit halted" in text
