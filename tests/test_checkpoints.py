"""Files are whole or not there, and a checkpoint that is damaged or foreign is refused and never run."""

import errno
import gc
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
import torch

from kdkit.data import files
from kdkit.training import state

STATE = {
    "settings": {"data": "tiny", "teacher": None, "temperature": 4.0, "epochs": 3},
    "history": [{"epoch": 1, "val_accuracy": 0.5, "val_agreement": None}],
    "student": {"weight": torch.arange(12.0).view(3, 4), "count": torch.tensor(7), "half": torch.ones(2).half()},
}


@pytest.fixture
def path(tmp_path):
    state.write(tmp_path / "run.checkpoint", STATE)
    return tmp_path / "run.checkpoint"


def equal(one, two):
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return isinstance(two, dict) and list(one) == list(two) and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return isinstance(two, list) and len(one) == len(two) and all(map(equal, one, two))
    return type(one) is type(two) and one == two


# --------------------------------------------------------------------------------------- there and back


def test_a_state_comes_back_as_it_was(path):
    assert equal(state.read(path), STATE)


def test_the_comparison_of_these_tests_sees_a_difference():
    for part, entry, value in ("student", "count", torch.tensor(8)), ("settings", "epochs", 3.0):
        assert not equal({**STATE, part: {**STATE[part], entry: value}}, STATE)


def test_writing_again_replaces_the_state(path):
    state.write(path, {"history": []})
    assert state.read(path) == {"history": []} and os.listdir(path.parent) == [path.name]


def test_a_state_that_cannot_be_written_leaves_the_old_one(path):
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        state.write(path, {"student": {"weight": torch.ones(3)}, "lock": threading.Lock()})
    assert equal(state.read(path), STATE) and os.listdir(path.parent) == [path.name]


# --------------------------------------------------------------------------------------- damage


def test_a_truncated_checkpoint_is_refused_at_whatever_length(path):
    whole = path.read_bytes()
    lengths = {*range(0, len(whole), max(1, len(whole) // 60)), 1, 2, len(whole) - 2, len(whole) - 1}
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"run\.checkpoint is damaged, or no checkpoint"):
            state.read(path)


def test_a_flipped_bit_is_refused_or_harmless(path):
    whole, generator, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(150):
        content = bytearray(whole)
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        try:
            assert equal(state.read(path), STATE)
        except ValueError as error:
            refused += 1
            assert "run.checkpoint is damaged, or no checkpoint" in str(error)
    assert refused > 20


def test_a_flipped_bit_in_any_byte_of_the_weights_is_refused(path):
    whole, weights = path.read_bytes(), STATE["student"]["weight"].numpy().tobytes()
    assert whole.count(weights) == 1
    for place in range(len(weights)):
        content = bytearray(whole)
        content[whole.index(weights) + place] ^= 4
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"run\.checkpoint is damaged"):
            state.read(path)


# --------------------------------------------------------------------------------------- foreign files


class Code:
    """What a malicious file does: run a command when it is read."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def zip_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


def test_a_failed_write_holds_no_view_into_a_buffer(path, monkeypatch):
    """The error's traceback holds what was to be written. Python 3.12.1 crashes when it collects such a view."""

    def views():
        return sum(type(thing).__name__ == "_BytesIOBuffer" for thing in gc.get_objects())

    def fail(temporary, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    gc.collect()
    before = views()
    with pytest.raises(OSError, match="no space left") as stopped:
        state.write(path, STATE)
    assert stopped.value.__cause__ is not None and views() <= before


def test_a_checkpoint_of_an_older_kdkit_is_refused_by_name(path):
    torch.save({**STATE, "format": "kdkit checkpoint 1"}, path)
    with pytest.raises(ValueError, match=r"is a checkpoint of an older kdkit, .* delete the file to start afresh"):
        state.read(path)


FOREIGN = {
    "text": lambda path: path.write_text("hello, this is a text\n" * 50),
    "nothing": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
    "another zip archive": zip_archive,
    "a state_dict": lambda path: torch.save({"weight": torch.ones(3)}, path),
    "a tensor": lambda path: torch.save(torch.ones(3), path),
    "a list": lambda path: torch.save(["format", state.FORMAT], path),
    "a later format": lambda path: torch.save({**STATE, "format": "kdkit checkpoint 3"}, path),
    "an old torch.save": lambda path: torch.save({"a": 1}, path, _use_new_zipfile_serialization=False),
    "a whole module": lambda path: torch.save({"format": state.FORMAT, "net": torch.nn.ReLU()}, path),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_file_is_refused_with_a_way_to_go_on_and_left_as_it_is(tmp_path, what):
    path = tmp_path / "run.checkpoint"
    FOREIGN[what](path)
    before = path.read_bytes()
    message = rf"{re.escape(str(path))} is damaged, or no checkpoint .*\. Nothing was changed\. .*delete the file"
    with pytest.raises(ValueError, match=message):
        state.read(path)
    assert path.read_bytes() == before


def _write_pickle(path, content):
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    "write", [torch.save, lambda content, path: _write_pickle(path, content)], ids=["torch", "pickle"]
)
def test_code_in_a_file_is_not_run(tmp_path, write):
    path, marker = tmp_path / "run.checkpoint", tmp_path / "the code was run"
    write({"format": state.FORMAT, **STATE, "settings": Code(marker)}, path)
    with pytest.raises(ValueError, match=r"run\.checkpoint is damaged, or no checkpoint at all"):
        state.read(path)
    assert not marker.exists()
    if write is torch.save:
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert marker.exists(), "the code in this test's file would not have run anyway"


def test_a_missing_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        state.read(tmp_path / "absent")


# --------------------------------------------------------------------------------------- files


def test_a_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folders" / "result.json"
    with files.replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole" and os.listdir(path.parent) == ["result.json"]


def test_until_then_a_reader_sees_the_old_content(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_block_leaves_the_old_content_and_no_rubbish(tmp_path, error):
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(error), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["result.json"]


def test_an_error_on_the_way_to_the_disk_leaves_the_old_content_and_no_rubbish(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("no space left on device")

    path = tmp_path / "result.json"
    path.write_text("old")
    for call in "fsync", "replace":
        with monkeypatch.context() as patch:
            patch.setattr(files.os, call, fail)
            with pytest.raises(OSError, match="no space left"), files.replacing(path) as temporary:
                temporary.write_text("new")
        assert path.read_text() == "old" and os.listdir(tmp_path) == ["result.json"]


def test_a_program_that_dies_in_the_block_leaves_the_old_content(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    program = (
        "import os, sys; from kdkit.data import files\n"
        "with files.replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os._exit(9)"
    )
    root = Path(files.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program, str(path)], cwd=root).returncode == 9
    assert path.read_text() == "old"
    with files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new", "what it left behind is in nobody's way"


def test_two_writers_at_once_do_not_mix(tmp_path):
    path = tmp_path / "result.json"
    with files.replacing(path) as first, files.replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["result.json"]


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(tmp_path / "abc") == expected
