"""Write a folder for a USB stick, from which the course is installed without a network.

    python -m tools.bundle [--platforms "linux windows mac"] [--pythons "3.11 3.12"] [--to FOLDER]

Without a list: for the platform and the Python that run this. In the folder: wheels, the students' copies, the web
site, a script for each system, and a list of SHA-256. Each platform's wheels are shown to be complete: pip finds all
that is needed among them alone. What is stopped goes on where it was; the folder is there when all is.
pip takes its settings from the environment, so PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu brings
Linux the CPU build of torch. An earlier bundle in FOLDER is replaced; a folder of anything else is left alone.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tools import folders, site, versions
from tools.links import ROOT

STICK = ROOT / "tools" / "stick"
SITE = ROOT / "build" / "site"  # as `make site` has it
GLIBC = range(28, 16, -1)  # 2.28, as Debian 10 has it, down to 2.17: wheels for these run on all newer ones


class Platform(NamedTuple):
    """What people and pip call a platform: in words, in wheels' names, in markers; the room that its wheels take."""

    words: str
    tags: tuple[str, ...]
    markers: Mapping[str, str]
    gigabytes: float


def _markers(sys_platform, platform_system, platform_machine):
    os_name = "nt" if sys_platform == "win32" else "posix"
    system = {"sys_platform": sys_platform, "platform_system": platform_system}
    return system | {"platform_machine": platform_machine, "os_name": os_name}


PLATFORMS = {
    "linux": Platform(
        "Linux (x86-64, glibc 2.28 or newer)",
        (*(f"manylinux_2_{minor}_x86_64" for minor in GLIBC), "manylinux2014_x86_64", "linux_x86_64"),
        _markers("linux", "Linux", "x86_64"),
        3.4,
    ),
    "windows": Platform("Windows (x86-64)", ("win_amd64",), _markers("win32", "Windows", "AMD64"), 0.4),
    "mac": Platform(
        "Macs with a chip of Apple's own (macOS 14 or newer)",
        ("macosx_14_0_arm64",),
        _markers("darwin", "Darwin", "arm64"),
        0.4,
    ),
}
NAMES = {"Linux": "linux", "Windows": "windows", "Darwin": "mac"}
NO_WHEELS = {"mac-intel": "torch has had no wheels for Macs with an Intel processor since 2.2, and kdkit needs 2.6"}
SUMS = "SHA256SUMS"
MARKS = (SUMS, "install.sh", "wheels")  # what tells an earlier bundle from a folder of something else
REST = 0.3  # GB: site and notebooks
CPU = 0.4  # GB: what Linux takes as well, if pip is shown the CPU build of torch
REPLACED = "default: build/bundle; an earlier bundle there is replaced"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--platforms", default="", help=f"of {', '.join(PLATFORMS)} (default: this one)")
    parser.add_argument("--pythons", default="", help="versions of Python, such as 3.12 (default: this one)")
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "bundle", help=REPLACED)
    options = parser.parse_args(arguments)
    try:
        names, pythons = chosen(options.platforms, options.pythons)
        return build(options.to.resolve(), names, pythons)
    except (ValueError, OSError) as error:
        print(f"make bundle: {error}", file=sys.stderr)
        return 1


def chosen(platforms, pythons):
    """The names of platforms and the versions of Python that two texts list. ``ValueError`` for what cannot be had."""
    names = platforms.split() or [NAMES.get(platform.system(), platform.system())]
    for name in names:
        if name not in PLATFORMS:
            reason = f" ({NO_WHEELS[name]})" if name in NO_WHEELS else ""
            raise ValueError(f"PLATFORMS: some of {', '.join(PLATFORMS)}; got {name}{reason}.")
    numbers = pythons.split() or [".".join(platform.python_version_tuple()[:2])]
    for number in numbers:
        if not number.startswith("3.") or not number[2:].isdigit() or int(number[2:]) < 11:
            raise ValueError(f'PYTHONS: versions such as "3.11 3.12", from 3.11 on; got {number}.')
    return names, numbers


def build(to, names, pythons):
    """Write the folder ``to``, by way of one beside it; what stood there is replaced at the end."""
    part = to.with_name(f"{to.name}.part")
    folders.check(to, MARKS)
    folders.check(part, ["wheels"])
    check_room(part, names, pythons)
    wheels = part / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    wanted = requirements(own_wheel(wheels), wheels)
    used = {}
    for name in names:
        for python in pythons:
            print(f"wheels for {name}, Python {python}", flush=True)
            used[name, python] = fetched(wanted, wheels, name, python)
    keep(wheels, set().union(*used.values()))
    for path in set(part.iterdir()) - {wheels}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder, depth in ("notebooks", "all"), ("notebooks-short", "short"):
        if versions.main(["student", "--depth", depth, "--to", str(part / folder)]):
            return 1
    if site.build(SITE):
        return 1
    shutil.copytree(SITE, part / "site")
    write_scripts(part, names, pythons, max(total(part, chosen) for chosen in used.values()))
    write_sums(part)
    folders.replace(to, part)
    print(*sizes(to, used), sep="\n")
    return 0


def check_room(part, names, pythons):
    """``ValueError`` unless the disk has room for what is still to come."""
    wanted = REST + len(pythons) * sum(map(gigabytes, names))
    part.parent.mkdir(parents=True, exist_ok=True)
    there, free = size(part) / 1e9, shutil.disk_usage(part.parent).free / 1e9
    if free < wanted - there:
        raise ValueError(f"about {wanted - there:.1f} GB are needed in {part.parent}, and {free:.1f} GB are free.")


def gigabytes(name):
    """The room that the wheels of a platform take, for one Python: with the build of torch that pip is told of."""
    indexes = os.environ.get("PIP_INDEX_URL", ""), os.environ.get("PIP_EXTRA_INDEX_URL", "")
    return CPU if any("/whl/cpu" in index for index in indexes) else PLATFORMS[name].gigabytes


# ------------------------------------------------------------------------------------------------- wheels


def own_wheel(wheels):
    """kdkit itself as a wheel, and nothing in it of an earlier one."""
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)
    for old in wheels.glob("kdkit-*.whl"):
        old.unlink()
    pip("wheel", "-qq", "--no-deps", "--wheel-dir", wheels, ROOT)
    [wheel] = wheels.glob("kdkit-*.whl")
    return wheel


def requirements(wheel, wheels):
    """What requirements.txt asks for, with kdkit from its ``wheel``; the list without a path is kept in ``wheels``."""
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()]
    lines = [line.replace("-e .", "kdkit") for line in lines if line]
    (wheels / "requirements.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [f"{line} @ {wheel.as_uri()}" if line.startswith("kdkit[") else line for line in lines]


def fetched(wanted, wheels, name, python):
    """Download the wheels of one platform, then let pip choose among these alone: the names of what it takes."""
    there = PLATFORMS[name]
    markers = {**there.markers, "python_version": python, "python_full_version": f"{python}.9"}
    choice = ["--only-binary=:all:", "--python-version", f"{python}.9"]
    choice += [word for tag in there.tags for word in ("--platform", tag)]
    choice += ["--dest", wheels]
    pip("download", "-qq", *choice, *wanted, markers=markers)
    offline = ["--no-index", "--find-links", wheels, "-r", wheels / "requirements.txt"]
    said = pip("download", *choice, *offline, markers=markers, environment=without_settings())
    return {Path(found).name for found in re.findall(r"File was already downloaded (.*\.whl)$", said, re.MULTILINE)}


def without_settings():
    """The environment without what tells pip of other places: a participant has none of it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return kept | {"PIP_CONFIG_FILE": os.devnull}


def pip(*arguments, markers=None, environment=None):
    """Run pip, as another platform would if there are ``markers``; what it printed. ``ValueError`` if it fails."""
    way = [ROOT / "tools" / "elsewhere.py", json.dumps(markers)] if markers else ["-m", "pip"]
    done = subprocess.run([sys.executable, *way, *arguments], stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise ValueError(f"pip {arguments[0]} failed; what it said stands above. The same command goes on from here.")
    return done.stdout


def keep(wheels, used):
    """Remove wheels that none of the platforms takes: they are of an earlier try."""
    for path in wheels.glob("*.whl"):
        if path.name not in used:
            path.unlink()


# ------------------------------------------------------------------------------------------ all the rest


def write_scripts(part, names, pythons, download):
    """What participants start and read, and the server's settings that ``make lab`` has as well."""
    room = round(1 + 2.2 * download / 1e9)  # wheels become twice as large
    words = {"PYTHONS": " ".join(pythons), "COMMANDS": " ".join(f"python{version}" for version in pythons)}
    words |= {"PLATFORMS": "; ".join(PLATFORMS[name].words for name in names), "ROOM": str(room)}
    words["LEAST"] = ", from 3.11.4 on" if "3.11" in pythons else ""
    for path in STICK.rglob("*.*"):
        text = path.read_text(encoding="ascii")
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        target = part / path.relative_to(STICK)
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="ascii", newline="\r\n" if path.suffix == ".bat" else "\n")
        target.chmod(0o755 if path.suffix in (".sh", ".command") else 0o644)
    shutil.copytree(ROOT / "tools" / "jupyter", part / "jupyter")


def write_sums(part):
    """SHA256SUMS of all files, as ``sha256sum -c`` reads it."""
    lines = [f"{sha256(path)}  {path.relative_to(part).as_posix()}\n" for path in files(part) if path.name != SUMS]
    (part / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def size(path):
    return sum(file.stat().st_size for file in files(path))


def total(folder, wheels):
    return sum((folder / "wheels" / wheel).stat().st_size for wheel in wheels)


def sizes(to, used):
    """How large each part of the folder is, and what each platform takes of the wheels, in lines for people."""
    for (name, python), wheels in used.items():
        largest = ", ".join(wheel.split("-")[0] for wheel in sorted(wheels, key=lambda one: -total(to, [one]))[:3])
        yield f"{total(to, wheels) / 1e6:8,.1f} MB  {len(wheels)} wheels for {name}, Python {python} (most: {largest})"
    for part in sorted(path for path in to.iterdir() if path.is_dir()):
        yield f"{size(part) / 1e6:8,.1f} MB  {part.name}/"
    yield f"{size(to) / 1e6:8,.1f} MB  in all, in {to}: begin with README.txt"


if __name__ == "__main__":
    sys.exit(main())
