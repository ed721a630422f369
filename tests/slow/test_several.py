"""Two processes train as one: the same losses, one writer; one that is killed ends all, and the run goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import several

TESTS = Path(several.__file__).parent


def torchrun(*arguments, **environment):
    """Run ``several.py`` in two processes of this machine."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    known = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    known |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}", **environment}
    command = [*launch, str(TESTS / "several.py"), *map(str, arguments)]
    return subprocess.run(command, env=known, capture_output=True, text=True, timeout=120)


def close(one, other, tolerance=1e-4):
    """Whether two histories, or lists of numbers, are the same but for ``tolerance``."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name], tolerance) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(close(a, b, tolerance) for a, b in zip(one, other, strict=True))
    return one == pytest.approx(other, rel=tolerance, abs=tolerance)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process finds, and what each of two finds."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    done = torchrun("everything", together)
    assert done.returncode == 0, done.stderr[-3000:]
    each = [json.loads((together / f"rank{rank}.json").read_text()) for rank in range(2)]
    return json.loads(json.dumps(several.everything(alone))), each


@pytest.mark.parametrize("what", ["cached 0", "cached 1", "in parts", "loader", "projector", "validated student"])
def test_two_processes_have_the_losses_of_one(found, what):
    one, (first, second) = found
    assert close(first[what], one[what]) and second[what] == first[what]


def test_with_batchnorm_each_normalises_its_own_part_and_all_return_the_firsts_statistics(found):
    one, (first, second) = found
    losses = [[entry["loss"] for entry in run["batchnorm"]] for run in (one, first)]
    assert not close(*losses) and close(*losses, tolerance=0.2)
    assert second["batchnorm"] == first["batchnorm"] and second["statistics"] == first["statistics"]


def test_the_teacher_is_asked_by_each_about_its_part_and_by_the_second_student_not_at_all(found):
    one, each = found
    parts = [run["asked"][0] for run in each]
    assert sum(parts) == one["asked"][0] and max(parts) < 0.6 * sum(parts)
    assert all(run["asked"][1] == run["asked"][0] for run in (one, *each))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("doomed", ["0", "1"])
def test_a_killed_process_ends_all_with_a_sentence_and_the_run_goes_on_with_one_or_two(tmp_path, doomed):
    killed = tmp_path / "killed"
    killed.mkdir()
    done = torchrun("resumable", killed, DOOMED=doomed)
    assert done.returncode != 0 and "done" not in done.stdout and not (killed / "history.json").exists()
    said = "another of 2 processes has ended.* Run the same again|Stopped in epoch 2 of 12"
    assert re.search(said, done.stderr), done.stderr
    for pid in killed.glob("pid*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
    kept = several.training.state.read(killed / "c")["history"]
    assert 1 <= len(kept) < 12
    whole = several.images(several.plain(1), epochs=12, batch_size=10).history
    shutil.copytree(killed, tmp_path / "alone")
    alone = several.images(several.plain(1), epochs=12, batch_size=10, checkpoint=tmp_path / "alone" / "c").history
    assert close(alone, whole) and alone[: len(kept)] == kept
    if doomed == "1":
        again = torchrun("resumable", killed)
        assert again.returncode == 0 and again.stdout.count("done") == 1, again.stderr[-3000:]
        both = json.loads((killed / "history.json").read_text())
        assert close(both, whole) and both[: len(kept)] == kept
