"""Work killed with SIGKILL at any moment, and started again, ends as if it had never been killed: 20 of 20.

``KDKIT_KILLS=100 pytest tests/test_kill.py`` kills more often at random moments, each kind of work in turn.
"""

import functools
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import victim

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


KILLS = int(os.environ.get("KDKIT_KILLS", "12"))


@pytest.fixture(scope="module")
def process():
    context = multiprocessing.get_context("forkserver")
    # torch's optimisers import torch._dynamo on first use: two seconds, saved for each of forty processes
    context.set_forkserver_preload(["kdkit.training", "torch._dynamo", "victim", "tiny", "reading", "writing"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        context.Process(target=print).start()  # starts the server, with this path
    return lambda *arguments: context.Process(target=victim.live, args=arguments)


def finish(process, folder, kind):
    last = process(folder, kind)
    last.start()
    last.join(60)
    assert last.exitcode == 0
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def unharmed(process, tmp_path_factory):
    """What a kind of work gives that is left alone, and how long it takes."""

    @functools.cache
    def of(kind):
        finish(process, tmp_path_factory.mktemp("warm-up"), kind)
        folder = tmp_path_factory.mktemp("unharmed")
        return finish(process, folder, kind), float((folder / "seconds").read_text())

    return of


@pytest.mark.parametrize("place", victim.PLACES)
def test_killed_at_a_delicate_place(process, unharmed, tmp_path, place):
    doomed = process(tmp_path, "training", place)
    doomed.start()
    doomed.join(60)
    assert doomed.exitcode == -signal.SIGKILL and not (tmp_path / "result.json").exists()
    assert finish(process, tmp_path, "training") == unharmed("training")[0]


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_a_random_moment(process, unharmed, tmp_path, number):
    kind = list(victim.KINDS)[number % len(victim.KINDS)]
    whole, seconds = unharmed(kind)
    share = random.Random(number).uniform(0, 0.9)  # of the work: a process that has finished proves nothing
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        doomed = process(folder, kind, None, True)
        doomed.start()
        while not (folder / "started").exists():
            time.sleep(0.001)
        time.sleep(share * seconds * 0.8**attempt)  # the machine may be less busy now than when it was timed
        doomed.kill()
        doomed.join(60)
        assert doomed.exitcode == -signal.SIGKILL
        if not (folder / "result.json").exists():
            break
    else:
        pytest.fail("ten times the work had finished before it was killed")
    assert finish(process, folder, kind) == whole
    assert not list(folder.glob(".c*.part")), "what a killed one left half-written is swept away"
