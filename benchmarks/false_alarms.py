"""Twenty healthy distillations of other data, shapes, temperatures and weights: does ``kdkit.diagnose`` raise a hand?

    python benchmarks/false_alarms.py --only things

It prints a row a run: what was distilled, how often the student and its teacher are right about the validation data,
the seconds of one core that the diagnosis took, and its findings, of which there should be none. CIFAR-10 and MNIST are
read from KDKIT_DATA.
"""

import argparse
import functools
import re
import time
from collections.abc import Callable

import kdkit
from kdkit import data, models, zoo
from kdkit.data import text, things, tokens
from kdkit.models import bert
from kdkit.training import masked_lm
from kdkit.training.cache import ViewCache

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

RUNS: dict[str, Callable] = {}


def healthy(name, function, **settings):
    RUNS[name] = functools.partial(function, **settings)


def images(splits, teacher, shape, epochs=20, batch_size=32, seed=0, kept=False, **taught):
    """A student of the course's recipe: what ``diagnose`` takes."""
    splits, teacher = splits(), teacher()
    student = models.student(*shape, channels=splits.train.images.shape[1], seed=seed)
    cache = ViewCache(teacher, splits) if kept else None
    settings = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "progress": False, **taught}
    run = kdkit.train(student, splits, teacher=teacher, cache=cache, **settings)
    return student, teacher, splits, {"run": run, "cache": cache}


def loaders(per_class, temperature):
    """A student of another make, distilled in a loop of its user's own, from loaders."""
    splits, teacher = things.splits(per_class), zoo.load("things-teacher")
    train, val = (
        DataLoader(
            TensorDataset(models.as_input(part.images), part.labels), batch_size=50, shuffle=part is splits.train
        )
        for part in (splits.train, splits.val)
    )
    with models.seeded(0):
        layers = [nn.Conv2d(3, 16, 5, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 5, 2), nn.BatchNorm2d(32)]
        student = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(800, 10))
        optimizer = torch.optim.AdamW(student.parameters(), 2e-3)
        for _ in range(20):
            for inputs, labels in train:
                kdkit.kd_step(teacher, student, temperature, inputs, optimizer, labels)
    return student, teacher, (train, val), {"temperature": temperature}


def texts(steps):
    """Half of the BERT that ships with the kit, from its first layers, on Python's docstrings."""
    reader, tokenizer = zoo.load("python-teacher"), zoo.tokenizer("python-teacher")
    corpus = tokens.corpus(text.python(), tokenizer, max_length=32)
    batches = [masked_lm.as_batch(batch) for batch in _masked(corpus, tokenizer, steps)]
    student = bert.student(reader, 2)
    optimizer = torch.optim.AdamW(student.parameters(), 5e-4)
    for batch in batches:
        kdkit.kd_step(reader, student, 2.0, batch.inputs, optimizer, batch.labels, mask=batch.mask)
    return student, reader, (batches[:30], batches[30:60]), {"temperature": 2.0}


def _masked(corpus, tokenizer, count):
    generator = torch.Generator().manual_seed(0)
    for index in torch.randint(len(corpus.train.input_ids), (count, 32), generator=generator):
        yield tokens.mask_tokens(corpus.train.at(index), tokenizer, generator)


@functools.cache
def own_teacher(per_class, width, seed):
    """A teacher of Things from labels alone, on few images."""
    network = models.teacher(width, seed=seed)
    kdkit.train(network, things.splits(per_class), epochs=20, batch_size=32, seed=seed, progress=False)
    return network


def drawn(per_class, seed=0):
    return lambda: things.splits(per_class, seed)


def shipped(name):
    return lambda: zoo.load(f"{name}-teacher")


def learnt(*how):
    return lambda: own_teacher(*how)


SOFT, EVEN = {"soft_weight": 1.0, "hard_weight": 0.0}, {"soft_weight": 0.5, "hard_weight": 0.5}
healthy("things 4x3", images, splits=drawn(60), teacher=shipped("things"), shape=(4, 3), epochs=30)
healthy("things 8x3", images, splits=drawn(30), teacher=shipped("things"), shape=(8, 3))
healthy("things 8x3, T = 1", images, splits=drawn(60), teacher=shipped("things"), shape=(8, 3), temperature=1.0)
healthy("things 8x3, T = 2", images, splits=drawn(30), teacher=shipped("things"), shape=(8, 3), temperature=2.0, **EVEN)
healthy("things 8x3, T = 8", images, splits=drawn(30), teacher=shipped("things"), shape=(8, 3), temperature=8.0)
healthy("things 8x3, T = 16", images, splits=drawn(60), teacher=shipped("things"), shape=(8, 3), temperature=16.0)
healthy("things 8x3, soft", images, splits=drawn(30, 1), teacher=shipped("things"), shape=(8, 3), **SOFT, seed=1)
healthy("things 8x6", images, splits=drawn(60), teacher=shipped("things"), shape=(8, 6), epochs=12)
healthy("things 16x3, kept", images, splits=drawn(60), teacher=shipped("things"), shape=(16, 3), epochs=10, kept=True)
healthy("things 8x3, 100 a class", images, splits=drawn(100), teacher=shipped("things"), shape=(8, 3), epochs=12)
healthy("things, teacher of 30 a class", images, splits=drawn(30), teacher=learnt(30, 12, 5), shape=(8, 3))
healthy("things, teacher of 100", images, splits=drawn(60, 2), teacher=learnt(100, 8, 6), shape=(8, 3), **EVEN)
healthy("things, loaders, T = 2", loaders, per_class=60, temperature=2.0)
healthy("things, loaders, T = 4", loaders, per_class=60, temperature=4.0)
for T in 2.0, 8.0:
    few = functools.partial(lambda: data.mnist().first(1000))
    healthy(f"mnist, T = {T:g}", images, splits=few, teacher=shipped("mnist"), shape=(4, 3), epochs=8, temperature=T)
for shape, count, how in ((8, 3), 2000, {}), ((8, 3), 2000, SOFT), ((8, 6), 3000, EVEN):
    few = functools.partial(lambda count: data.cifar10().first(count), count)
    name = "cifar {}x{}, {} images, {}".format(*shape, count, "defaults" if not how else f"{how['hard_weight']} hard")
    healthy(name, images, splits=few, teacher=shipped("cifar10"), shape=shape, epochs=10, batch_size=50, **how)
healthy("python, half a BERT", texts, steps=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="runs whose name begins so")
    print("| run | student | teacher | seconds | findings |\n|---|---|---|---|---|")
    alarms, count, only = 0, 0, parser.parse_args().only
    for name, train in RUNS.items():
        if name.startswith(only):
            student, teacher, splits, more = train()
            began = time.process_time()
            report = kdkit.diagnose(student, teacher, splits, **more)
            seconds, figure = time.process_time() - began, report.checks["ignorant teacher"].figure
            first, second = re.findall(r"[\d.]+%", figure)
            print(
                f"| {name} | {second} | {first} | {seconds:.1f} | {', '.join(report.findings) or 'none'} |", flush=True
            )
            if report.findings:
                print(report)
            alarms, count = alarms + bool(report.findings), count + 1
    print(f"\n{alarms} of {count} healthy runs raise a hand.")


if __name__ == "__main__":
    main()
