"""What runs out or stands in the way is said in a sentence, and nothing is lost. (The table: ``faults.py``.)"""

import errno
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import faults
import pytest
import torch

from kdkit import models
from kdkit.data import files
from kdkit.data.seeds import epoch_seed
from kdkit.measure import machine, profiling
from kdkit.training import rows


@pytest.fixture(scope="module")
def small_disk():
    """What the faults of a full disk said."""
    try:
        return {name: about for name, *about in faults.on_a_small_disk()}
    except OSError as error:
        pytest.skip(f"no small disk could be made: {error}")


@pytest.mark.parametrize("name", faults.FULL_DISK)
def test_a_full_disk_is_said_in_a_sentence_and_nothing_is_lost(small_disk, name):
    said, right, _ = small_disk[name]
    assert right, said


@pytest.mark.parametrize("name", faults.FAULTS)
def test_what_stands_in_the_way_is_said_in_a_sentence_and_nothing_is_lost(tmp_path, name):
    ((_, said, right, _),) = faults.provoke({name: faults.FAULTS[name]}, tmp_path)
    assert right, said


# ------------------------------------------------------------------------------------------ sentences


def test_an_error_keeps_its_class_and_number_and_is_explained_once(tmp_path):
    with pytest.raises(PermissionError) as caught, files.explained("a", "written"), files.explained("b", "read"):
        raise PermissionError(errno.EACCES, "Permission denied", "b")
    assert caught.value.errno == errno.EACCES
    assert str(caught.value).startswith("b could not be read: permission denied. Choose a place where you may write")


def test_an_error_that_is_not_the_disks_passes_as_it_is():
    with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\] none: 'x'$"), files.explained("a", "written"):
        raise FileNotFoundError(errno.ENOENT, "none", "x")


def test_a_quota_says_what_is_needed_and_nothing_of_what_is_free_for_others(tmp_path):
    said = r"quota exceeded \(2\.0 MB are needed\)\. Free some space"
    with pytest.raises(OSError, match=said), files.explained(tmp_path / "c", "written", 2_000_000):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


# ---------------------------------------------------------------------------------------------- locks


def test_whoever_may_wait_for_a_lock_gets_it_when_the_other_is_done(tmp_path):
    order = []

    def wait():
        with files.alone(tmp_path / "c"):
            order.append("second")

    with files.alone(tmp_path / "c"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_the_lock_of_a_program_that_was_killed_is_in_nobodys_way(tmp_path):
    program = "import os, sys; from kdkit.data import files\n"
    program += "with files.alone(sys.argv[1], 'busy'):\n    os.kill(os.getpid(), 9)"
    root = Path(files.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path / "c")], cwd=root).returncode == -9
    assert (tmp_path / ".c.lock").exists()
    with files.alone(tmp_path / "c", "busy"), pytest.raises(ValueError, match="another works"):
        files.alone(tmp_path / "c", "another works").__enter__()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from kdkit.data import files
real = os.replace
def replace(*names):
    real(*names)
    os._exit(9)
files.os.replace = replace
with files.replacing_folder(sys.argv[1]) as temporary:
    (temporary / "new").touch()
"""


@pytest.mark.parametrize("way", ["alone", "replacing_folder"])
def test_a_folder_comes_back_whose_writer_was_killed_between_two_renames(tmp_path, way):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine").write_text("a year's work")
    root = Path(files.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", KILLED, str(kept)], cwd=root).returncode == 9
    assert not kept.exists() and len(list(tmp_path.iterdir())) == 2
    if way == "replacing_folder":
        with files.replacing_folder(kept) as temporary:
            (temporary / "newer").touch()
    with files.alone(kept, "busy"):
        assert (kept / "mine").read_text() == "a year's work" and not (kept / "new").exists()
    assert list(tmp_path.iterdir()) == [kept]


def test_what_was_moved_aside_goes_where_its_successor_stands_and_a_stranger_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / f".kept.{'0' * 32}.old" / "below").mkdir(parents=True)
    (tmp_path / ".kept.my.old").mkdir()
    with files.alone(tmp_path / "kept", "busy"):
        pass
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".kept.my.old", "kept"]


def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path):
    real, link = tmp_path / "disk" / "real", tmp_path / "link"
    real.mkdir(parents=True)
    (real / "mine").touch()
    link.symlink_to(real)
    (real.parent / ".real.0.part").symlink_to(real)  # a link where others leave half a folder
    for name in "first", "second":
        with files.alone(link, "busy"), files.replacing_folder(link) as temporary:
            (temporary / name).touch()
    assert link.is_symlink() and {file.name for file in real.iterdir()} == {"mine", "first", "second"}
    assert list(real.parent.iterdir()) == [real] and list(tmp_path.iterdir()) == [real.parent, link]


def test_one_process_alone_is_welcome_and_one_of_several_is_not(monkeypatch):
    for told in "", "1", "many":
        monkeypatch.setenv("WORLD_SIZE", told)
        files.refuse_several_processes("a study")
    distributed = torch.distributed
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="one of 2 processes"):
        files.refuse_several_processes("a study")


# ----------------------------------------------------------------------------------------------- rows


def table(path):
    rows.create(path, b"start", 100, 50, 3)
    return rows.InFile(path, 100, 50, 3)


@pytest.mark.parametrize("positional", [True, False], ids=["by position", "as on Windows"])
def test_rows_come_back_as_they_were_written_in_whatever_order(tmp_path, monkeypatch, positional):
    if not positional:
        monkeypatch.delattr(os, "pread")
        monkeypatch.delattr(os, "pwrite")
    generator, in_file, in_memory = torch.Generator().manual_seed(0), table(tmp_path / "t"), rows.InMemory(50, 3)
    for chosen in torch.randperm(50, generator=generator)[:20], torch.arange(30, 50), torch.arange(0):
        content = torch.randint(-(2**31), 2**31, (len(chosen), 3), generator=generator).int()
        for each in in_file, in_memory:
            each.write(chosen, content, chosen.int() + 1)
            assert torch.equal(each.read(chosen), content)
    everything = torch.arange(50)
    assert torch.equal(in_file.read(everything), in_memory.read(everything))
    assert torch.equal(in_file.checks(), in_memory.checks()) and in_file.checks().count_nonzero() > 30
    assert torch.equal(in_file.checks(everything[5:9]), in_memory.checks()[5:9])
    assert in_file.bytes == (tmp_path / "t").stat().st_size
    assert (tmp_path / "t").read_bytes()[:100] == b"start" + bytes(95)
    in_file.close()


def test_a_files_space_is_claimed_when_it_is_made(tmp_path):
    rows.create(tmp_path / "t", b"start", 4096, 100_000, 10)
    about = (tmp_path / "t").stat()
    assert about.st_size == 4096 + 100_000 * 44 and about.st_blocks * 512 >= about.st_size


def test_where_no_space_can_be_claimed_there_must_be_room_all_the_same(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)  # as on macOS and Windows
    rows.create(tmp_path / "t", b"start", 100, 50, 3)
    assert (tmp_path / "t").stat().st_size == 100 + 50 * 16
    monkeypatch.setattr(files, "free", lambda path: 800)
    with pytest.raises(OSError, match=r"u could not be written: no space .* \(1 kB are needed, 1 kB are free\)"):
        rows.create(tmp_path / "u", b"start", 100, 50, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["t"]


# -------------------------------------------------------------------------------------------- machine


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system's allocator is another one")
def test_memory_that_was_kept_is_given_back_when_asked_and_from_then_on():
    program = """
        import torch
        from kdkit.measure import machine
        def held():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096 / 1e6
        def use_and_free(blocks=5, size=10_000_000):
            blocks = [torch.ones(size) for _ in range(blocks)]
        use_and_free()
        began = held()
        assert machine.keep_freed()
        use_and_free()
        kept = held()
        assert machine.give_back()
        given = held()
        use_and_free(blocks=1, size=60_000_000)  # more than any gap that the others have left
        print(kept - began, given - began, held() - began)
    """
    root = Path(files.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=root, capture_output=True, text=True)
    kept, given, later = map(float, done.stdout.split())
    assert kept > 150 and given < 20 and later < 20, done.stderr


@pytest.mark.parametrize("change", [machine.keep_freed, machine.give_back])
def test_elsewhere_than_on_linux_memory_is_left_alone(monkeypatch, change):
    monkeypatch.setattr(machine.sys, "platform", "win32")
    assert change() is False


def test_how_busy_the_machine_is_or_that_nobody_knows(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1.26, 0, 0), raising=False)
    assert profiling.load() == "1.3"
    monkeypatch.delattr(os, "getloadavg")
    assert profiling.load() == "unknown"


@pytest.mark.parametrize("seed", [-1, -(2**70), 2**63, 2**64 + 5, 10**30])
def test_seeds_of_any_size_give_a_run_that_can_be_resumed(tmp_path, seed):
    first = faults.train(tmp_path, seed=seed, epochs=2)
    again = faults.train(tmp_path, seed=seed, epochs=2)
    other = faults.train(tmp_path, seed=seed + 1, epochs=2, checkpoint=None)
    assert again.history == first.history != other.history
    assert models.fingerprint(again.student) == models.fingerprint(first.student)


def test_seeds_of_usual_size_mean_what_they_always_did():
    assert [epoch_seed(*each) for each in ((0, 0), (0, 5), (3, 7))] == [0, 5, 3 * 1_000_003 + 7]
