"""What runs out, is forbidden or is changed under a program's feet: provoked here, one by one.

    python tests/faults.py          the table: what happened, the sentence that was said, what survived
    python tests/faults.py FOLDER   in a folder on a small disk of its own: the faults of a full disk, as JSON

Each fault is a function of an empty folder; it gives the sentence, and asserts that what should survive did.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tiny
import torch
import torch._dynamo  # an optimiser needs it, and without permissions it could not be read any more

import kdkit
from kdkit import models
from kdkit.data import files
from kdkit.studies import Ledger
from kdkit.training import state
from kdkit.training.cache import ViewCache

FAULTS, FULL_DISK = {}, {}  # name: (function, pattern of the sentence, what survives)
DISK = 1_000_000  # bytes of the small disk
FREE = r"could not be written: no space left on device \([\d.]+ .B are needed, [\d.]+ .B are free\)\. Free some space"
NOBODY = 65534


def fault(name, said, survives, table=FAULTS):
    def keep(function):
        table[name] = function, said, survives
        return function

    return keep


def sentence(function, *arguments, **keywords):
    """What ``function`` says when it is stopped."""
    try:
        function(*arguments, **keywords)
    except (ValueError, OSError) as error:
        return str(error)
    return "not a word"


def teacher():
    return tiny.net(seed=7, width=4).eval()


def train(folder, **more):
    settings = {"epochs": 3, "batch_size": 32, "checkpoint": folder / "run.checkpoint", "progress": False} | more
    return kdkit.train(tiny.net(width=8), tiny.splits(), **settings)


def fill(cache):
    data = cache.data
    padded, views = data.views.pad(data.train.images), range(data.views.count)
    for index in torch.arange(len(data.train)).split(96):
        for view in (torch.full_like(index, number) for number in views):
            cache.outputs(index, view, data.views.take(padded, index, view))


@contextlib.contextmanager
def ballast(folder):
    """No room for anything else within."""
    with open(folder / "ballast", "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        try:
            yield
        finally:
            os.unlink(file.name)


# ----------------------------------------------------------------------------------------- the disk is full


@fault("the disk is full when a cache is made", FREE, "other files; nothing half-made is left", FULL_DISK)
def _(folder):
    (folder / "other").write_text("other")
    said = sentence(ViewCache, teacher(), tiny.splits(train=20_000), folder / "c")
    assert {file.name for file in folder.iterdir()} == {"other", ".c.lock"}
    return said


@fault("the disk is full while a cache is filled", "^not a word$", "all: its space was claimed", FULL_DISK)
def _(folder):
    with ViewCache(teacher(), tiny.splits(), folder / "c") as cache:
        with ballast(folder):
            said = sentence(fill, cache)
        assert cache.check(10**6) < 1e-5 and cache.filled == cache._training
    return said


@fault("the same where space cannot be claimed", FREE, "each entry that had been written", FULL_DISK)
def _(folder):
    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    claim, os.posix_fallocate = os.posix_fallocate, refuse
    try:
        with ViewCache(teacher(), tiny.splits(train=2000), folder / "c") as cache, ballast(folder):
            (folder / "ballast").open("r+b").truncate(DISK - 100_000)
            said = sentence(fill, cache)
            assert 0 < cache.filled < cache._training
            assert cache.check(10**6) < 1e-5
    finally:
        os.posix_fallocate = claim
    return said


@fault("the disk is full when a checkpoint is written", FREE, "the last whole checkpoint: the run goes on", FULL_DISK)
def _(folder):
    def fill_up(run):
        nonlocal full
        full = ballast(folder)
        full.__enter__()

    full = contextlib.nullcontext()
    whole = train(folder, checkpoint=None)
    said = sentence(train, folder, progress=fill_up)
    full.__exit__(None, None, None)
    assert len(state.read(folder / "run.checkpoint")["history"]) == 1
    resumed = train(folder)
    assert resumed.history == whole.history
    assert models.fingerprint(resumed.student) == models.fingerprint(whole.student)
    assert [file.name for file in folder.iterdir()] == ["run.checkpoint"]
    return said


@fault("the disk is full when a study adds a row", FREE.split(" \\(")[0], "the rows before it", FULL_DISK)
def _(folder):
    ledger = Ledger({}, folder / "rows.json", say=lambda row: None)
    ledger.add({"seed": 0})
    with ballast(folder):
        said = sentence(ledger.add, {"seed": 1, "long": "x" * 100_000})
    assert Ledger({}, folder / "rows.json").rows == [{"seed": 0}]
    return said


@fault(
    "a read-only disk", "could not be written: read-only file system. Choose a place where you may", "all", FULL_DISK
)
def _(folder):
    subprocess.run(["mount", "-o", "remount,ro", folder.parent], check=True)
    try:
        return sentence(train, folder)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", folder.parent], check=True)


@fault("a limit on the size of files, or a quota", r"could not be written: file too large \(", "nothing is left")
def _(folder):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        said = sentence(ViewCache, teacher(), tiny.splits(), folder / "c")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {file.name for file in folder.iterdir()} == {".c.lock"}
    return said


# ------------------------------------------------------------------------- forbidden, locked, in the way


@contextlib.contextmanager
def no_permission(folder):
    root = os.geteuid() == 0  # whom no permission stops
    folder.chmod(0o500)
    try:
        if root:
            os.seteuid(NOBODY)
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


@fault(
    "no permission to write, a checkpoint", "run.checkpoint could not be written: permission denied.* may write", "all"
)
def _(folder):
    with no_permission(folder):
        return sentence(train, folder)


@fault("no permission to write, a cache", "c could not be .*: permission denied. Choose a place where you may", "all")
def _(folder):
    with no_permission(folder):
        return sentence(ViewCache, teacher(), tiny.splits(), folder / "c")


@fault(
    "a file where a folder is wanted", r"could not be written: (not a directory|file exists)\. Choose another", "all"
)
def _(folder):
    (folder / "runs").write_text("mine")
    said = sentence(train, folder / "runs")
    assert (folder / "runs").read_text() == "mine"
    return said


@fault("a disk that knows no locks (NFS)", "could not be locked .*network disks.* of this machine", "all")
def _(folder):
    def none(*arguments, **keywords):
        raise NotImplementedError("FileSystem does not appear to support flock")

    acquire, files.FileLock.acquire = files.FileLock.acquire, none
    try:
        return sentence(train, folder)
    finally:
        files.FileLock.acquire = acquire


@fault("two programs train with one checkpoint", "another program is training with .* give another", "the first's work")
def _(folder):
    def second(run):
        said.append(sentence(train, folder))

    said = []
    run = train(folder, progress=second)
    assert len(run.history) == 3 and len(set(said)) == 1
    assert [file.name for file in folder.iterdir()] == ["run.checkpoint"]
    return said[0]


@fault("several processes that cannot meet", "WORLD_SIZE=4 .* RANK is missing. Start.*torchrun", "nothing was written")
def _(folder):
    os.environ["WORLD_SIZE"] = "4"
    try:
        return sentence(train, folder)
    finally:
        del os.environ["WORLD_SIZE"]
        assert not list(folder.iterdir())


# --------------------------------------------------------------------------- changed by somebody else


@fault("a cache is cut short while it is used", "ends too early: another program has changed it", "the program")
def _(folder):
    with ViewCache(teacher(), tiny.splits(), folder / "c") as cache:
        fill(cache)
        os.truncate(folder / "c", 5000)
        return sentence(fill, cache)


@fault("a cache is overwritten while it is used", "^not a word$", "right answers: what is damaged is asked again")
def _(folder):
    with ViewCache(teacher(), tiny.splits(), folder / "c") as cache:
        fill(cache)
        with open(folder / "c", "r+b") as file:
            file.seek(20_000)
            file.write(bytes(1000))
        said, asked = sentence(fill, cache), cache.teacher_images
        assert asked > len(cache.data.train) and cache.check(10**6) < 1e-5 and cache.filled == cache._training
    return said


@fault("a cache is removed while it is used", "^not a word$", "the training; the next one fills a new file")
def _(folder):
    with ViewCache(teacher(), tiny.splits(), folder / "c") as cache:
        os.unlink(folder / "c")
        said = sentence(fill, cache)
    with ViewCache(teacher(), tiny.splits(), folder / "c") as again:
        assert again.filled == 0
    return said


@fault("a cache of an older version", "of an older kdkit, which this one does not read. Delete it", "the old file")
def _(folder):
    (folder / "c").write_bytes(b"kdkit view cache 1\n" + bytes(9000))
    said = sentence(ViewCache, teacher(), tiny.splits(), folder / "c")
    assert (folder / "c").stat().st_size == 9019
    return said


@fault("a study's results are damaged", "rows.json is damaged, or no result of experiments: give another", "the file")
def _(folder):
    (folder / "rows.json").write_text('{"rows": [{"seed"')
    said = sentence(Ledger, {}, folder / "rows.json")
    for content in "[]", '{"rows": [3]}', "{}", '{"rows": 3}':
        (folder / "rows.json").write_text(content)
        assert sentence(Ledger, {}, folder / "rows.json") == said
    (folder / "rows.json").write_bytes(b"\xff\xfe")
    assert sentence(Ledger, {}, folder / "rows.json") == said
    return said


@fault("killed runs left half-written files", "^not a word$", "all; the rubbish is swept away")
def _(folder):
    for name in ".run.checkpoint.0a.part", ".c.0a.part", ".other.0a.part":
        (folder / name).write_bytes(bytes(100))
    ViewCache(teacher(), tiny.splits(), folder / "c").close()
    said = sentence(train, folder)
    assert {file.name for file in folder.iterdir()} == {"c", ".c.lock", "run.checkpoint", ".other.0a.part"}
    return said


# ------------------------------------------------------------------------------------------- the table


def provoke(table, place):
    """One line for each fault of ``table``: its name, what was said, whether it is what should be, what survived."""
    for number, (name, (function, expected, survives)) in enumerate(table.items()):
        folder = Path(place) / str(number)
        folder.mkdir()
        said = function(folder)
        shutil.rmtree(folder)
        yield name, said.replace(f"{folder}/", ""), bool(re.search(expected, said)), survives


def on_a_small_disk():
    """The faults of a full disk, on a disk of 1 MB in memory. ``OSError`` where only root may make one."""
    with tempfile.TemporaryDirectory() as place:
        mount = f"mount -t tmpfs -o size={DISK} tmpfs {place} && exec {sys.executable} {__file__} {place}"
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        try:
            done = subprocess.run(
                ["unshare", *user, "--mount", "sh", "-c", mount],
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONPATH": str(Path(kdkit.__file__).parents[1])},
            )
        except FileNotFoundError as error:
            raise OSError("there is no unshare here") from error
    if done.returncode == 1 and "unshare" in done.stderr:
        raise OSError(done.stderr.strip())
    if done.returncode:
        raise AssertionError(f"exit status {done.returncode}: {done.stderr[-3000:]}")
    return [tuple(line) for line in json.loads(done.stdout)]


def main(arguments):
    if arguments:
        print(json.dumps([*provoke(FULL_DISK, arguments[0])]))
        return
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        for name, said, right, survives in [*on_a_small_disk(), *provoke(FAULTS, place)]:
            print(f"| {name} | {said}{'' if right else ' (WRONG)'} | {survives} |")


if __name__ == "__main__":
    main(sys.argv[1:])
