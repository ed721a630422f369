"""``python -m kdkit doctor --workshop``: what participants run at home, and a code that tells the lecturer of it.

As the doctor, this must speak where packages are missing, so nothing that needs a package is imported at the top.
What it cannot see is a browser: the slider is moved as JupyterLab moves it, through a kernel, and nothing is drawn.
"""

import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kdkit.course import codes


class Line(NamedTuple):
    """What a check found: True, False (needs attention) or None (for information); in words; for the code."""

    good: bool | None
    text: str
    numbers: Mapping[str, int] = {}


Check = Callable[[], Iterable[tuple]]  # each tuple a ``Line``, or the first two parts of one

JUPYTERLAB = "4.2"  # the lowest, as requirements.txt has it
FRONT_ENDS = {"@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets", "anywidget": "anywidget"}
ROOM = 1.0  # GB: decoded images, teachers' answers, checkpoints
MARKS = {True: "ok", False: "ATTENTION", None: "note"}
USUAL_STEP = 25.0  # milliseconds, about, on the two cores on which the notebooks' minutes were measured
SYSTEMS = ("another system", "Linux", "Windows", "Darwin")
SLOW = 4  # times as long: worth a word
PATIENCE = 180  # seconds: a first import of torch on a slow disk
ANEW = "Delete the folder .venv and run make lab again, or run install again from the stick."
UNKNOWN = "a check that this version does not know: take the newest kdkit"
IN_THE_KERNEL = """\
from kdkit import metrics, zoo
from kdkit.course.widgets import TemperaturePanel
from kdkit.data import things
fresh = things.make(per_class=1, seed=2026)
logits = metrics.predict(zoo.load("things-teacher"), fresh.images[:1])
panel = TemperaturePanel(logits, things.CLASSES, labels=fresh.labels[:1], images=fresh.images[:1])
print(panel.slider.model_id, panel.slider.options.index(("4", 4.0)), sep="\\n")
"""


def run(known: Mapping[str, Check]) -> int:
    """Make all checks, say what to do and print the code; 1 if something needs attention, else 0.

    ``known``: the checks that the doctor makes of any machine, by name, "packages" and "memory" among them.
    """
    checks = {**known, **CHECKS}
    print(f"{len(checks)} checks; they take about a minute.\n", flush=True)
    found = {name: list(_lines(name, check)) for name, check in checks.items()}
    failed = [name for name, lines in found.items() if any(line.good is False for line in lines)]
    numbers = about_machine() | {"failed": codes.packed(name in failed for name in NAMES)}
    for lines in found.values():
        for line in lines:
            numbers |= line.numbers
    if failed:
        need = "One of these checks needs" if len(failed) == 1 else f"{len(failed)} of these checks need"
        print(f"\n{need} attention. Do what is said above, and run this again. Send the code in any case.")
    else:
        print("\nAll is well: this machine is ready for the workshop.")
    code = codes.encode("workshop", numbers)
    said = "; ".join(f"{name}: {value}" for name, value in row(codes.decode(code)[1]).items())
    print(f"\nA code for your lecturer: {code}\nIt holds no name, and says only: {said}.")
    return 1 if failed else 0


def row(numbers: Mapping[str, int]) -> dict[str, str]:
    """What a workshop code says, in words: ``numbers`` as ``kdkit.course.codes.decode`` gives them."""
    failed = [name for name, bad in zip(NAMES, codes.unpacked(numbers["failed"], len(NAMES)), strict=True) if bad]
    newer = [UNKNOWN] if numbers["failed"] >> len(NAMES) else []
    system = SYSTEMS[numbers["system"] if numbers["system"] < len(SYSTEMS) else 0]
    return {
        "needs attention": " and ".join(failed + newer) or "nothing",
        "system": "macOS" if system == "Darwin" else system,
        "Python": f"3.{numbers['python']}",
        "cores": str(numbers["cores"]),
        "memory": f"{numbers['gigabytes']} GB" if numbers["gigabytes"] else "unknown",
        "a training step": f"{numbers['milliseconds']} ms" if numbers["milliseconds"] else "not measured",
        "CIFAR-10": "there" if numbers["cifar10"] else "not there",
    }


def python() -> str:
    """How to call this very Python in a terminal, where an environment may not be activated."""
    return f'"{sys.executable}"' if " " in sys.executable else sys.executable


def pip(arguments: str) -> str:
    """The command that installs ``arguments`` for this very Python."""
    return f"{python()} -m pip install {arguments}"


def about_machine() -> dict[str, int]:
    """The numbers of a code that no check can fail on."""
    system, memory = platform.system(), total_memory()
    return {
        "system": SYSTEMS.index(system) if system in SYSTEMS else 0,
        "python": sys.version_info.minor,
        "cores": os.cpu_count() or 0,
        "gigabytes": round(memory / 1e9) if memory else 0,
    }


def total_memory() -> int | None:
    """The memory of this machine in bytes; None where the system does not say (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _lines(name, check):
    """The lines of a check, each said when it is there. What breaks a check is a line, too, and needs attention."""
    try:
        for found in check():
            yield _told(Line(*found))
    except Exception as error:  # whatever is wrong with this machine, the other checks go on
        yield _told(Line(False, f"{name}: this check broke off, {type(error).__name__} ({_last_line(str(error))})"))


def _told(line):
    print(f"{MARKS[line.good]:10}{line.text}", flush=True)
    return line


# ------------------------------------------------------------------------------------------------ the checks


def _jupyterlab() -> Iterator[tuple]:
    """The program that the notebooks are read in: is it there, and does it start?"""
    from packaging.version import InvalidVersion, Version

    command = [sys.executable, "-m", "jupyterlab", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    advice = pip(f'--upgrade "jupyterlab>={JUPYTERLAB}"')
    try:
        version = Version(done.stdout.strip())
    except InvalidVersion:
        yield False, f"JupyterLab does not start ({_last_line(done.stderr) or done.stdout}): {advice}"
        return
    new = version >= Version(JUPYTERLAB)
    yield new, f"JupyterLab {version}" + ("" if new else f" is too old, {JUPYTERLAB} is needed: {advice}")


def _widgets() -> Iterator[tuple]:
    """What draws sliders in JupyterLab: is it there, and of the version that the packages brought?"""
    folders = [Path(folder) for folder in importlib.import_module("jupyter_core.paths").jupyter_path("labextensions")]
    for name, package in FRONT_ENDS.items():
        mend = pip(f"--force-reinstall --no-deps {package}")
        files = [folder / name / "package.json" for folder in folders]
        used = next((file for file in files if file.is_file()), None)
        end = f"labextensions/{name}/package.json"
        own = [file for file in importlib.metadata.files(package) or [] if file.as_posix().endswith(end)]
        if used is None:
            yield False, f"JupyterLab lacks {name}, and would show no slider: {mend}"
        elif own and _version(used) != _version(own[0].locate()):
            found, wanted = _version(used), _version(own[0].locate())
            yield False, f"JupyterLab takes {name} {found} from {used.parent}, {wanted} is wanted: remove that folder"
        else:
            yield True, f"JupyterLab's {name} {_version(used)}"


def _disk() -> Iterator[tuple]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    more = "" if free >= ROOM else f"; {ROOM:g} GB are wanted, so make room"
    yield free >= ROOM, f"disk: {free:.1f} GB free in {Path.cwd()}{more}"


def _writing() -> Iterator[tuple]:
    """Notebooks, and the file with the reader's progress, are written where this is started."""
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()) as file:
            file.write(b"kdkit")
    except OSError as error:
        yield False, f"{Path.cwd()} cannot be written ({error.strerror}): copy the notebooks to a folder of your own"
        return
    yield True, f"{Path.cwd()} can be written"


def _weights() -> Iterator[tuple]:
    """Each network that ships is as its card says, to the bit: reading one compares the SHA-256."""
    from kdkit import zoo

    damaged = []
    for name in zoo.names():
        try:
            zoo.load(name)
        except (ValueError, OSError) as error:
            damaged.append(name)
            yield False, f"{error} {ANEW}"
    if not damaged:
        yield True, f"{len(zoo.names())} trained networks are as their cards say"


def _slider() -> Iterator[tuple]:
    """A temperature panel in a kernel of its own, its slider moved as JupyterLab would; does the sentence follow?"""
    start = importlib.import_module("jupyter_client.manager").start_new_kernel
    try:
        manager, client = start(startup_timeout=PATIENCE, stderr=subprocess.DEVNULL)
        try:
            prefix, *moved = _moved(client)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    except (RuntimeError, OSError) as error:  # a TimeoutError is an OSError
        mend = f"{pip('--force-reinstall ipykernel')}; or does a firewall or virus scanner block 127.0.0.1?"
        yield False, f"no kernel for notebooks works ({_last_line(str(error))}): {mend}"
        return
    if Path(prefix) != Path(sys.prefix):
        mend = f"{python()} -m ipykernel install --sys-prefix"
        yield False, f"notebooks would run in {prefix}, and this is {sys.prefix}: {mend}"
    elif moved == ["T=4 image=0", "At T = 4"]:
        yield True, "a kernel started, a slider moved, the panel followed (how it looks, only a browser shows)"
    else:
        mend = pip("--upgrade ipywidgets")
        yield False, f"a slider was moved to T = 4, and the panel says {moved}: {mend}"


def _moved(client):
    """Where the kernel's Python lies; if here, also what the panel says after its slider was moved to T = 4."""
    [prefix] = _said(client, "import sys; print(sys.prefix)")
    if Path(prefix) != Path(sys.prefix):
        return [prefix]
    slider, stop = _said(client, IN_THE_KERNEL)
    change = {"method": "update", "state": {"index": int(stop)}, "buffer_paths": []}
    client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": slider, "data": change}))
    return [prefix, *_said(client, "print(panel.state, panel.sentence.split(':')[0], sep='\\n')")]


def _said(client, code):
    """The lines that ``code`` printed in the kernel. ``RuntimeError`` with what went wrong there."""
    said = []
    listen = {"timeout": PATIENCE, "output_hook": lambda message: said.append(message["content"].get("text", ""))}
    answer = client.execute_interactive(code, **listen)["content"]
    if answer["status"] != "ok":
        raise RuntimeError(f"in the kernel, {answer.get('ename')}: {answer.get('evalue')}")
    return "".join(said).splitlines()


def _step() -> Iterator[tuple]:
    """The median of nine steps of distillation on a hundred drawn images, after three that nobody times."""
    import torch

    from kdkit import models, zoo
    from kdkit.data import things
    from kdkit.training import kd_step

    images = things.make(per_class=10, seed=0)
    inputs, labels = images.images.float() / 255, images.labels
    teacher, student = zoo.load("things-teacher"), models.student(width=8, depth=3)
    optimizer, seconds = torch.optim.SGD(student.parameters(), lr=0.01), []
    for _ in range(12):
        begin = time.perf_counter()
        kd_step(teacher, student, 4.0, inputs, optimizer, labels)
        seconds.append(time.perf_counter() - begin)
    took = 1000 * statistics.median(seconds[3:])
    slow = took > SLOW * USUAL_STEP
    more = f": trainings take {took / USUAL_STEP:.0f} times as long as the notebooks say. Close other programs" * slow
    yield (None if slow else True), f"a training step took {took:.0f} ms{more}", {"milliseconds": max(1, round(took))}


def _cifar10() -> Iterator[tuple]:
    from kdkit.data import sources

    found = sources.find("cifar10")
    missing = "CIFAR-10 is not there: 04 then runs on drawn things and shows stored results. Nothing else needs it"
    yield (True, f"CIFAR-10: {found}", {"cifar10": 1}) if found else (None, missing)


CHECKS = {
    "jupyterlab": _jupyterlab,
    "widgets": _widgets,
    "disk": _disk,
    "writing": _writing,
    "weights": _weights,
    "slider": _slider,
    "step": _step,
    "cifar10": _cifar10,
}
NAMES = ("packages", "memory", *CHECKS)  # in the order of their bits in a code: add new ones at the end


def _version(file):
    return json.loads(Path(file).read_text(encoding="utf-8"))["version"]


def _last_line(text):
    return (text.strip().splitlines() or [""])[-1]
