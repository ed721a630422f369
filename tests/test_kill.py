"""A run killed with SIGKILL at any moment, and started again, ends as one that was never killed: 20 of 20."""

import json
import multiprocessing
import random
import signal
import time
from pathlib import Path

import pytest
import victim

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


@pytest.fixture(scope="module")
def process():
    context = multiprocessing.get_context("forkserver")
    # torch's optimisers import this on first use: two seconds, saved for each of forty processes
    context.set_forkserver_preload(["kdkit.training", "torch._dynamo", "victim", "tiny"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        context.Process(target=print).start()  # starts the server, with this path
    return lambda *arguments: context.Process(target=victim.live, args=arguments)


def finish(process, folder):
    last = process(folder)
    last.start()
    last.join(60)
    assert last.exitcode == 0
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def unharmed(process, tmp_path_factory):
    """What a run gives that is left alone, and how long its training takes."""
    finish(process, tmp_path_factory.mktemp("warm-up"))
    folder = tmp_path_factory.mktemp("unharmed")
    return finish(process, folder), float((folder / "seconds").read_text())


@pytest.mark.parametrize("place", victim.PLACES)
def test_killed_at_a_delicate_place(process, unharmed, tmp_path, place):
    doomed = process(tmp_path, place)
    doomed.start()
    doomed.join(60)
    assert doomed.exitcode == -signal.SIGKILL and not (tmp_path / "result.json").exists()
    assert finish(process, tmp_path) == unharmed[0]


@pytest.mark.parametrize("number", range(12))
def test_killed_at_a_random_moment(process, unharmed, tmp_path, number):
    share = random.Random(number).uniform(0, 0.9)  # of the training: a process that has finished proves nothing
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        doomed = process(folder, None, True)
        doomed.start()
        while not (folder / "started").exists():
            time.sleep(0.001)
        time.sleep(share * unharmed[1])
        doomed.kill()
        doomed.join(60)
        assert doomed.exitcode == -signal.SIGKILL
        if not (folder / "result.json").exists():
            break
    else:
        pytest.fail("ten times the training had finished before it was killed")
    assert finish(process, folder) == unharmed[0]
