"""``python -m kdkit doctor``: what is on this machine, and what to do about what is missing.

Versions, threads, device, memory, data; with ``--workshop`` also all that a participant's machine has to do. It must
speak where packages are missing or broken, so nothing that needs a package is imported at the top.
"""

import argparse
import importlib
import importlib.metadata
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kdkit.cli import workshop
from kdkit.cli.options import Commands, add_command
from kdkit.measure import machine

MODULES = {"ipython": "IPython", "pillow": "PIL"}  # where a package is imported by another name
OPTIONAL = ("jupyterlab",)  # Colab and a copied training loop do without


def add(commands: Commands) -> None:
    """Declare the command and its option."""
    parser = add_command(commands, "doctor", run, "what is on this machine, and what to do about what is missing")
    more = "also start a kernel, move a slider, time a training step; ends with a code to send to the lecturer"
    parser.add_argument("--workshop", action="store_true", help=more)


def run(options: argparse.Namespace) -> int:
    """Say what is on this machine, and what to do about what is missing."""
    if options.workshop:
        return workshop.run({"packages": _all_packages, "memory": _memory})
    lines = list(report())
    for good, text in lines:
        print(f"{workshop.MARKS[good]:10}{text}")
    troubles = sum(good is False for good, _ in lines)
    print("\nAll is well." if not troubles else f"\n{troubles} of these need attention.")
    return 1 if troubles else 0


def report() -> Iterator[tuple[bool | None, str]]:
    """Lines ``(ok, text)`` for people: ok is True, False (needs attention), or None (for information)."""
    yield _python()
    yield from _packages()
    yield from _torch()
    yield from _memory()
    yield _cache_folder()
    yield from _data()


def _python():
    return True, f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"


def _packages():
    """What kdkit says that it needs, each with the lowest version that will do: pyproject.toml has the list."""
    try:
        needed = importlib.metadata.requires("kdkit")
    except importlib.metadata.PackageNotFoundError:
        mend = workshop.pip("-r requirements.txt")
        yield False, f"kdkit itself is not installed, so what it needs is not known: {mend}"
        needed = ["torch", "torchvision"]
    for line in needed:
        requirement, _, condition = line.partition(";")
        extra = re.search(r"extra == .(\w+)", condition)
        good, said = _package(requirement.strip())
        yield (None, f"{said} (only {extra[1]} needs it)") if extra and not good else (good, said)
    for name in OPTIONAL:
        version = _version(name)
        yield (True, f"{name} {version}") if version else (None, f"{name} is not installed: {workshop.pip(name)}")


def _all_packages():
    """The same in a line, where none of them needs attention."""
    lines = list(_packages())
    bad = [(good, text) for good, text in lines if good is False]
    count = sum(good is True for good, _ in lines)
    return bad or [(True, f"Python {platform.python_version()}, and {count} packages that load")]


def _package(requirement):
    """About one line of the list, such as "numpy>=1.26": is it there, new enough, and does it load?"""
    name = re.match(r"[\w.-]+", requirement)[0]
    version, mend = _version(name), workshop.pip(f'"{requirement}"')
    if not version:
        return False, f"{name} is not installed: {mend}"
    if not _new_enough(version, requirement):
        mend = workshop.pip(f'--upgrade "{requirement}"')
        return False, f"{name} {version} is too old, {requirement} is needed: {mend}"
    try:
        importlib.import_module(MODULES.get(name, name.replace("-", "_")))
    except Exception as error:  # a package that is broken, or does not fit another, fails in many ways
        does_not_load = f"{name} {version} is installed but does not load ({_first_line(error)})"
        if name in ("torch", "torchvision"):
            does_not_load += ". torch and torchvision must fit each other"
            name = "torch torchvision"
        return False, f"{does_not_load}: {workshop.pip(f'--upgrade --force-reinstall {name}')}"
    return True, f"{name} {version}"


def _version(name):
    """Which version of a package is installed; None if it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _new_enough(version, requirement):
    try:
        from packaging.requirements import Requirement
    except ImportError:  # it is one of the list, and a line of its own says that it is missing
        return True
    return Requirement(requirement).specifier.contains(version, prereleases=True)


def _torch():
    try:
        import torch

        yield True, f"{torch.get_num_threads()} threads for computing, of {os.cpu_count()} processors"
        yield machine.waiting()
        yield None, _device(torch)
    except Exception:  # the line about the package has said so
        yield False, "without torch there is nothing more to find out about threads and devices."


def _device(torch):
    if torch.cuda.is_available():
        return f"device: {torch.cuda.get_device_name()} (CUDA); add --device cpu to do without"
    if torch.backends.mps.is_available():
        return "device: Apple GPU (MPS); add --device cpu to do without"
    return "device: CPU. All the course's lessons are made for it."


def _memory():
    total = workshop.total_memory()
    if total is None:
        yield None, "memory: this system does not say. 4 GB are enough."
        return
    enough = total > 3.5e9
    yield enough, f"memory: {total / 1e9:.0f} GB" + ("" if enough else "; 4 GB are wanted, so close other programs.")


def _cache_folder():
    try:
        import platformdirs
    except ImportError:
        return None, "the cache folder cannot be found without platformdirs."
    folder = Path(platformdirs.user_cache_dir("kdkit"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return False, (
            f"the cache folder {folder} cannot be written ({_first_line(error)}). All works without it, but images "
            "are decoded anew each time. Make it writable, or set XDG_CACHE_HOME to a folder that is."
        )
    return True, f"cache folder {folder}"


def _data():
    yield True, "Things: drawn by the kit, always there"
    for name, title in ("cifar10", "CIFAR-10"), ("mnist", "MNIST"):
        try:
            from kdkit.data import sources

            found = sources.find(name)
        except Exception as error:  # torch that does not load, a folder that may not be read
            yield False, f"{title} could not be looked for ({_first_line(error)})."
            continue
        way = f"train on it with --data {name} --download, or set KDKIT_DATA to the folder where you have it."
        yield (True if found else None), f"{title}: {found}" if found else f"{title}: not found; {way}"


def _first_line(error):
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
