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
    """What a run gives that is left alone, and how long it takes."""
    folder = tmp_path_factory.mktemp("unharmed")
    finish(process, tmp_path_factory.mktemp("warm-up"))
    began = time.perf_counter()
    return finish(process, folder), time.perf_counter() - began


@pytest.mark.parametrize("place", victim.PLACES)
def test_killed_at_a_delicate_place(process, unharmed, tmp_path, place):
    doomed = process(tmp_path, place)
    doomed.start()
    doomed.join(60)
    assert doomed.exitcode == -signal.SIGKILL and not (tmp_path / "result.json").exists()
    assert finish(process, tmp_path) == unharmed[0]


@pytest.mark.parametrize("number", range(12))
def test_killed_at_a_random_moment(process, unharmed, tmp_path, number):
    doomed = process(tmp_path, None, True)
    doomed.start()
    while not (tmp_path / "started").exists():
        time.sleep(0.001)
    time.sleep(random.Random(number).uniform(0, unharmed[1]))
    doomed.kill()
    doomed.join(60)
    assert doomed.exitcode == -signal.SIGKILL
    (tmp_path / "result.json").unlink(missing_ok=True)
    assert finish(process, tmp_path) == unharmed[0]
