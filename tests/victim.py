"""A training that gets killed: run in a process of its own by test_kill.py."""

import json
import os
import signal
import time

import torch

import kdkit
from kdkit import files, metrics, models
from kdkit.cache import ViewCache


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(owner, name, number, before):
    """Let ``owner.name`` call ``before`` with its arguments the ``number``-th time that it is called."""
    original, calls = getattr(owner, name), []

    def counted(*arguments, **keywords):
        calls.append(1)
        if len(calls) == number:
            before(*arguments, **keywords)
        return original(*arguments, **keywords)

    setattr(owner, name, counted)


def half_a_checkpoint(state, path):
    path.write_bytes(b"PK half a checkpoint")
    die()


def half_an_entry(cache, rows, answer):
    """Logits of some rows without a check value, and of one row only the first number."""
    bits = answer.contiguous().view(torch.int32)
    cache._bits[rows[:5]] = bits[:5]
    cache._bits[rows[5], 0] = bits[5, 0]
    die()


def gone(*arguments, **keywords):
    die()


PLACES = {
    "before the first checkpoint": (torch, "save", 1, gone),
    "half-way through a checkpoint's write": (torch, "save", 3, half_a_checkpoint),
    "between a checkpoint's write and its rename": (files.os, "replace", 4, gone),
    "while the cache file is created": (ViewCache, "_create", 1, gone),
    "between the writing and the renaming of the cache file": (files.os, "replace", 1, gone),
    "half-way through a cache fill": (ViewCache, "_store", 6, half_an_entry),
    "in the teacher's forward": (ViewCache, "_ask", 5, gone),
    "in an evaluation": (metrics, "predict", 3, gone),
}


def live(folder, place=None, linger=False):
    """Train to the end and write down what came out; die at ``place``, or wait at the end to be killed."""
    torch.set_num_threads(1)
    import tiny

    if place is not None:
        on_call(*PLACES[place])
    data, teacher = tiny.splits(), tiny.net(seed=7, width=4).eval()
    cache = ViewCache(teacher, data, folder / "cache")
    (folder / "started").touch()
    began = time.perf_counter()
    run = kdkit.train(
        tiny.net(seed=1),
        data,
        teacher=teacher,
        cache=cache,
        epochs=6,
        batch_size=16,
        seed=1,
        checkpoint=folder / "checkpoint",
        progress=False,
    )
    cache.check(sample=10**6)
    with files.replacing(folder / "result.json") as temporary:
        temporary.write_text(json.dumps({"history": run.history, "weights": models.fingerprint(run.student)}))
    (folder / "seconds").write_text(str(time.perf_counter() - began))
    if linger:
        time.sleep(600)
