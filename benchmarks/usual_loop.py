"""Distillation as tutorials write it, against kdkit's loop: the same networks, images, size of batch and epochs.

    python benchmarks/usual_loop.py --data cifar10 --json kdkit/course/measured/usual-loop.json

- ``usual``: a data set of PIL images, torchvision's transforms, a DataLoader with two workers, Adam, and the teacher's
  forward at each step;
- ``online``: kdkit's loop with the teacher's forward at each step;
- ``first student``: kdkit's loop, filling a cache in a file; ``second student``: another seed, from that cache.

The layers have the sizes of PyTorch's tutorial on distillation, and as there images are neither mirrored nor shifted:
one view an image, the best case for a cache. (Whoever writes the usual loop and keeps the teacher's logits beside it
gets that part of the gain, too: the table tells apart what the loop gives and what the cache gives.) First the
contenders take turns, one epoch each, validation included.

Then they train to the end, for several seeds: how long until a student is as good on validation images as the usual
loop's is after its last epoch? That compares recipes, not loops: kdkit trains with SGD and a rate that rises and falls,
whose peak is tried out beforehand on seeds of its own; the usual loop with Adam at the tutorial's constant 0.001. Last,
the peak memory of each, in a process of its own (the usual loop's workers left out).
"""

import argparse
import copy
import json
import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import kdkit
from kdkit import data
from kdkit.data import files
from kdkit.data.views import Views
from kdkit.measure import machine, metrics, profiling
from kdkit.training.cache import ViewCache

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

BATCH, TEMPERATURE, SOFT_WEIGHT = 128, 4.0, 0.9
RATES, TUNING_SEEDS = (0.01, 0.02, 0.03, 0.05), (1000, 1001)  # of kdkit's SGD, for networks without normalisation
TEACHER_EPOCHS, TEACHER_RATE = 2, 0.05
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CONTENDERS = ("usual", "online", "first student", "second student")


class Normalize(nn.Module):
    """As torchvision's transform of this name, inside a network."""

    def __init__(self):
        super().__init__()
        for name, values in {"mean": MEAN, "deviation": DEVIATION}.items():
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1))

    def forward(self, images):
        return (images - self.mean).div_(self.deviation)


def tutorial_teacher():
    layers = [*_conv(3, 128), *_conv(128, 64), nn.MaxPool2d(2), *_conv(64, 64), *_conv(64, 32), nn.MaxPool2d(2)]
    return _network(0, *layers, nn.Flatten(), *_head(2048, 512))


def tutorial_student(seed):
    layers = [*_conv(3, 16), nn.MaxPool2d(2), *_conv(16, 16), nn.MaxPool2d(2)]
    return _network(seed, *layers, nn.Flatten(), *_head(1024, 256))


def _conv(before, after):
    return nn.Conv2d(before, after, 3, padding=1), nn.ReLU()


def _head(features, hidden):
    return nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 10)


def _network(seed, *layers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in layers:
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return nn.Sequential(Normalize(), *layers)


# ------------------------------------------------------------------------------------------ the usual loop


class Pictures(Dataset):
    """As torchvision's CIFAR10: arrays in memory, a PIL image and its transforms for each item."""

    def __init__(self, images):
        self.arrays, self.labels = images.images.permute(0, 2, 3, 1).numpy(), images.labels.tolist()
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def usual(splits, teacher, seed, epochs):
    """Train a student; validation accuracy and seconds so far after each epoch."""
    teacher, student = copy.deepcopy(teacher)[1:], tutorial_student(seed)[1:]  # the transform normalises
    teacher.to(memory_format=torch.contiguous_format)
    loader = DataLoader(Pictures(splits.train), BATCH, shuffle=True, num_workers=2)
    val_loader = DataLoader(Pictures(splits.val), BATCH, num_workers=2)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.001)
    began, history = perf_counter(), []
    torch.manual_seed(seed)
    for _ in range(epochs):
        student.train()
        teacher.eval()
        for inputs, labels in loader:
            optimizer.zero_grad()
            with torch.no_grad():
                teacher_logits = teacher(inputs)
            logits = student(inputs)
            soft = F.kl_div(
                F.log_softmax(logits / TEMPERATURE, dim=1),
                F.softmax(teacher_logits / TEMPERATURE, dim=1),
                reduction="batchmean",
            )
            loss = SOFT_WEIGHT * TEMPERATURE**2 * soft + (1 - SOFT_WEIGHT) * F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
        student.eval()
        with torch.no_grad():
            right = sum((student(inputs).argmax(1) == labels).sum().item() for inputs, labels in val_loader)
        history.append((right / len(splits.val), perf_counter() - began))
    return history


# ---------------------------------------------------------------------------------------------- kdkit's loop


def ours(splits, teacher, cache, seed, epochs, rate):
    """The same with kdkit; ``cache`` None: the teacher is asked at each step."""
    student, seen = tutorial_student(seed).to(memory_format=torch.channels_last), []
    began = perf_counter()
    kdkit.train(
        student,
        splits,
        teacher=teacher,
        cache=cache,
        temperature=TEMPERATURE,
        soft_weight=SOFT_WEIGHT,
        hard_weight=1 - SOFT_WEIGHT,
        epochs=epochs,
        batch_size=BATCH,
        lr=rate,
        max_grad_norm=None,  # the rate was tried out without
        seed=seed,
        progress=lambda run: seen.append((run.val_accuracy, perf_counter() - began)),
    )
    return seen


def contend(name, splits, teacher, cache, seed, epochs, rate):
    if name == "usual":
        return usual(splits, teacher, seed, epochs)
    return ours(splits, teacher, None if name == "online" else cache, seed, epochs, rate)


# --------------------------------------------------------------------------------------------- measurements


def tuning(splits, teacher, epochs, folder):
    """Mean accuracy on validation images, over seeds that take no part afterwards, for each rate."""
    cache = ViewCache(teacher, splits, folder / "tuning")
    return {
        rate: statistics.mean(ours(splits, teacher, cache, seed, epochs, rate)[-1][0] for seed in TUNING_SEEDS)
        for rate in RATES
    }


def in_turns(splits, teacher, rounds, folder, rate):
    """Seconds of one epoch of each contender in each round; the first round warms up and does not count."""
    seconds = {name: [] for name in CONTENDERS}
    for number in range(rounds + 1):
        cache = ViewCache(teacher, splits, folder / f"turns{number}")
        first = number % len(CONTENDERS)  # who comes first changes; the second student comes when the cache is full
        order = sorted(CONTENDERS[first:] + CONTENDERS[:first], key=lambda name: name == "second student")
        for seed, name in enumerate(order):
            taken = contend(name, splits, teacher, cache, seed, 1, rate)[-1][1]
            if number > 0:
                seconds[name].append(taken)
    return seconds


def to_the_end(splits, teacher, epochs, seeds, folder, rate):
    """For each seed and contender: (validation accuracy, seconds so far) after each epoch. (Who asks online learns what
    the first student learns, to the bit.)"""
    histories = {name: [] for name in CONTENDERS if name != "online"}
    for seed in range(seeds):
        cache = ViewCache(teacher, splits, folder / f"end{seed}")
        for name in histories:
            if name == "second student":
                seed += seeds  # a student of its own, with the cache that the first has filled
            histories[name].append(contend(name, splits, teacher, cache, seed, epochs, rate))
    return histories


def until(history, accuracy):
    """Seconds after which ``accuracy`` was reached, or None."""
    return next((seconds for reached, seconds in history if reached >= accuracy), None)


def peak_memory(name, options, teacher_path, cache_path):
    """Peak memory in MB of one epoch in a process of its own (the two workers of the usual loop left out)."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_peak, name, options, teacher_path, cache_path).result()


def _peak(name, options, teacher_path, cache_path):
    splits, teacher = _splits(options), _read_teacher(teacher_path)
    contend(name, splits, teacher, ViewCache(teacher, splits, cache_path), 0, 1, RATES[0])
    return machine.peak_memory_mb()


def _splits(options):
    splits = data.load(options.data).first(options.train_images)
    return replace(splits, val=splits.val.subset(slice(0, 1000)), views=Views(flip=False, shift=0))


def _read_teacher(path):
    teacher = tutorial_teacher()
    teacher.load_state_dict(torch.load(path, weights_only=True))
    return teacher.to(memory_format=torch.channels_last)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="things")
    parser.add_argument("--train-images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    splits, load = _splits(options), profiling.load()
    print(f"{splits!r}, batches of {BATCH}, {torch.get_num_threads()} threads, load {load}", flush=True)
    teacher = tutorial_teacher().to(memory_format=torch.channels_last)
    kdkit.train(
        teacher, data.load(options.data), epochs=TEACHER_EPOCHS, batch_size=BATCH, lr=TEACHER_RATE, max_grad_norm=None
    )
    accuracy = metrics.accuracy(metrics.predict(teacher, splits.val.images), splits.val.labels)
    print(f"teacher: {accuracy:.1%} on validation images", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(teacher.state_dict(), folder / "teacher.pt")
        tried = tuning(splits, teacher, options.epochs, folder)
        rate = max(tried, key=tried.get)
        print({rate: f"{accuracy:.1%}" for rate, accuracy in tried.items()}, flush=True)
        result = {
            "data": splits.name,
            "pixels": "JPEG copies" if "not the original pixels" in splits.source else "original",
            "train_images": len(splits.train),
            "batch_size": BATCH,
            "teacher_val_accuracy": accuracy,
            "tuning": tried,
            "seconds": in_turns(splits, teacher, options.rounds, folder, rate),
            "histories": to_the_end(splits, teacher, options.epochs, options.seeds, folder, rate),
            "peak_memory_mb": {n: peak_memory(n, options, folder / "teacher.pt", folder / "peak") for n in CONTENDERS},
            "versions": machine.versions(),
            "load": load,
        }
    print("\n".join(table(result)))
    if options.json:
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def table(result):
    """What was measured, as lines of Markdown."""
    yield from _epochs(result)
    yield ""
    yield from _recipes(result["histories"])


def _epochs(result):
    medians = {name: statistics.median(seconds) for name, seconds in result["seconds"].items()}
    yield "| loop | images a second | time / usual, median | smallest to largest | peak MB |"
    yield "|---|---|---|---|---|"
    for name in CONTENDERS:
        ratio, low, high = _ratios(result, name, "usual")
        row = f"| {name} | {result['train_images'] / medians[name]:,.0f} | {ratio:.4f} | {low:.4f} to {high:.4f} | "
        yield row + f"{result['peak_memory_mb'][name]:,} |"
    yield ""
    whole, loop = (_said(result, "usual", other, ".1f") for other in ("second student", "online"))
    cache, filling = _said(result, "online", "second student", ".1f"), _said(result, "first student", "online", ".2f")
    yield f"- An epoch of the second student is {whole} times as fast as a usual one."
    yield f"- Of that the loop gives a factor of {loop}, and the cache one of {cache}."
    yield f"- An epoch that fills the cache takes {filling} times as long as one that asks the teacher at each step."
    for students in 1, 2, 5:
        mean = (medians["first student"] + (students - 1) * medians["second student"]) / students
        some = f"{students} student{'s' * (students > 1)}"
        yield f"- {some} from one cache, an epoch each: {medians['usual'] / mean:.1f} times as fast."


def _ratios(result, one, other):
    """Median, smallest and largest ratio of two contenders' seconds, round by round."""
    ratios = [a / b for a, b in zip(result["seconds"][one], result["seconds"][other], strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def _said(result, one, other, digits):
    ratio, low, high = (format(value, digits) for value in _ratios(result, one, other))
    return f"{ratio} ({low} to {high})"


def _recipes(histories):
    yield "| recipe | validation accuracy, last epoch | seconds | as good as usual, seconds | share of its time |"
    yield "|---|---|---|---|---|"
    for name, own in histories.items():
        pairs = list(zip(own, histories["usual"], strict=True))
        reached = [until(one, usual[-1][0]) for one, usual in pairs]
        shares = [seconds and seconds / usual[-1][1] for seconds, (_, usual) in zip(reached, pairs, strict=True)]
        accuracies, seconds = zip(*(one[-1] for one in own), strict=True)
        columns = (accuracies, ".1%"), (seconds, ".0f"), (reached, ".1f"), (shares, ".2f")
        yield f"| {name} | {' | '.join(_numbers(*column) for column in columns)} |"


def _numbers(values, digits):
    return ", ".join("not reached" if value is None else format(value, digits) for value in values)


if __name__ == "__main__":
    main()
