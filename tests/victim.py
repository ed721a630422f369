"""Work that gets killed: run in a process of its own by test_kill.py."""

import json
import os
import signal
import time
from pathlib import Path

import tiny
import torch

import kdkit
from kdkit import models, studies
from kdkit.data import files
from kdkit.measure import metrics
from kdkit.training import masked_lm
from kdkit.training.cache import ViewCache


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


def half_a_checkpoint(path, content):
    with open(path, "wb") as file:
        file.write(content[:1000])
    die()


def half_an_entry(cache, entries, answer):
    """Logits of some entries without a check value, and of one more only the first number."""
    file, bits = cache._rows, answer.contiguous().view(torch.int32)
    file._write(file._rows_begin, entries[:5], bits[:5])
    file._put(bits[5, :1].numpy().data.cast("B"), file._rows_begin + 4 * bits.shape[1] * int(entries[5]))
    die()


def gone(*arguments, **keywords):
    die()


PLACES = {
    "before the first checkpoint": (torch, "save", 1, gone),
    "half-way through a checkpoint's write": (Path, "write_bytes", 3, half_a_checkpoint),
    "between a checkpoint's write and its rename": (files.os, "replace", 4, gone),
    "while the cache file is created": (ViewCache, "_create", 1, gone),
    "between the writing and the renaming of the cache file": (files.os, "replace", 1, gone),
    "half-way through a cache fill": (ViewCache, "_store", 6, half_an_entry),
    "in the teacher's forward": (ViewCache, "_packed", 5, gone),
    "in an evaluation": (metrics, "predict", 3, gone),
}


def training(folder):
    """A student that learns from a teacher, with cache and checkpoint."""
    data, teacher = tiny.splits(), tiny.net(seed=7, width=4).eval()
    with ViewCache(teacher, data, folder / "cache") as cache:
        schedule = {"epochs": 6, "batch_size": 16, "seed": 1, "checkpoint": folder / "checkpoint", "progress": False}
        run = kdkit.train(tiny.net(seed=1), data, teacher=teacher, cache=cache, **schedule)
        cache.check(sample=10**6)
    return outcome(run)


def outcome(run):
    return {"history": run.history, "weights": models.fingerprint(run.student)}


def cache_fill(folder, **kept):
    """A cache that is filled; the file is the same to the byte."""
    data = tiny.splits()
    padded = data.views.pad(data.train.images)
    with ViewCache(tiny.net(seed=7, width=4).eval(), data, folder / "cache", **kept) as cache:
        for epoch in range(12):
            view = data.views.schedule(len(data.train), epoch)
            for index in torch.arange(len(data.train)).split(16):
                cache.outputs(index, view[index], data.views.take(padded, index, view[index]))
        cache.val_logits()
    return {"sha256": files.sha256(folder / "cache")}


def top_k_fill(folder):
    """The same with one class of three."""
    return cache_fill(folder, k=1, temperature=4.0)


def study(folder):
    """A fair comparison with few students; the seconds that each took are not compared."""
    studies.RATES, studies.FIRST_RATE = (0.2, 0.4), 1
    studies.SETTINGS["things"] = {"small": studies.Setting(96, 1, ((2, 3),), (1.0,), 1, 32)}
    teacher = tiny.net(seed=7, width=4).eval()
    path, keywords = folder / "rows.json", {"seeds": 2, "folder": folder, "say": lambda row: None}
    ledger = studies.run("things", tiny.splits(), teacher, path=path, **keywords)
    return {"rows": [{name: value for name, value in row.items() if name != "seconds"} for row in ledger.rows]}


def bert(folder):
    """A DistilBERT that learns from a BERT."""
    import reading

    from kdkit.models import bert

    teacher = reading.teacher(depth=2)
    schedule = {"epochs": 3, "batch_size": 32, "seed": 1, "checkpoint": folder / "checkpoint", "progress": False}
    return outcome(masked_lm.train(bert.student(teacher), reading.corpus(), teacher=teacher, **schedule))


def writer(folder):
    """A GPT that learns on its own texts, and now and then on those of the data."""
    import writing

    from kdkit.training import generators

    schedule = {"epochs": 8, "batch_size": 2, "seed": 1, "checkpoint": folder / "checkpoint", "progress": False}
    taught = {"teacher": writing.network(7), "divergence": "reverse", "own_share": 0.7}
    return outcome(generators.train(writing.network(1), writing.sentences(), **taught, **schedule))


KINDS = {
    "training": training,
    "cache fill": cache_fill,
    "top-k fill": top_k_fill,
    "study": study,
    "BERT": bert,
    "writer": writer,
}


def live(folder, kind="training", place=None, linger=False):
    """Do the work to its end and write down what came out; die at ``place``, or wait at the end to be killed."""
    torch.set_num_threads(1)
    if place is not None:
        on_call(*PLACES[place])
    (folder / "started").touch()
    began = time.perf_counter()
    result = KINDS[kind](folder)
    with files.replacing(folder / "result.json") as temporary:
        temporary.write_text(json.dumps(result))
    (folder / "seconds").write_text(str(time.perf_counter() - began))
    if linger:
        time.sleep(600)
