"""What it costs to leave images on disk: memory over 100,000 images, and images a second beside two other loops.

    python benchmarks/streaming.py --json kdkit/course/measured/streaming.json --folder runs/streaming

Memory: one epoch of ``kdkit.training.fit`` over 100,000 images of 224x224 (200 drawn JPEG files, each listed 500
times), two reading processes, a teacher and a cache of two classes in a file; after every 10,000 images the
memory of the training process and of its readers is read from the system. In memory these images are 15 GB.

Speed: the same student, files, size of batch and rule of learning, one epoch each in turns, the images no more than
memory holds. *in memory*: decoded before the clock starts. *streamed*: decoded in every epoch. *plain*: torchvision's
ImageFolder, v2 transforms on uint8 tensors, a DataLoader. Two reading processes for each. Ratios are taken round by
round: machines are noisy, but what slows one contender slows its neighbours too. What stands in the JSON file is not
measured again.
"""

import argparse
import multiprocessing
import os
import re
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter

from kdkit import models, studies, training
from kdkit.data import ImageSet, Splits, StreamedImages, Views
from kdkit.data.seeds import generator
from kdkit.measure import machine, profiling
from kdkit.training import images as recipe

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

COMMAND = "python benchmarks/streaming.py --json kdkit/course/measured/streaming.json --folder runs/streaming"
CLASSES, WORKERS, BATCH, RATE = 10, 2, 100, 0.1
VIEWS = Views(flip=True, shift=0)
STREAMED, FILES, EVERY = 100_000, 200, 10_000
GRAIN = 0.04  # 18 kB a file of 224x224, about a photograph's
SIZES = {224: 1000, 32: 5000}  # images of so many pixels a side, each in a file of its own
CONTENDERS = ("in memory", "streamed", "plain")


def draw(folder, side, count, grain):
    """JPEG files of smooth colours with ``grain``, a folder a class; a listing of (path, label)."""
    listing, source = [], generator(side)
    for number in range(count):
        label = number % CLASSES
        path = folder / f"class{label}" / f"{number}.jpg"
        colours = torch.rand(1, 3, 7, 7, generator=source) * 0.7 + label * 0.03
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            smooth = F.interpolate(colours, size=(side, side), mode="bicubic")
            noise = torch.randn(1, 3, side, side, generator=source)
            picture = (smooth + grain * noise).clamp(0, 1)[0].mul(255).byte()
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path, quality=90)
        listing.append((str(path), label))
    return sorted(listing)


def splits(folder, listing, side):
    """All of ``listing`` to learn from, streamed; the first few stand for the other parts."""
    labels = torch.tensor([label for _, label in listing])
    images = StreamedImages(folder, listing, side, workers=WORKERS)
    whole = ImageSet(images, labels, tuple(f"class{label}" for label in range(CLASSES)), "drawn")
    few = whole.subset(slice(0, BATCH))
    return Splits(whole, few, few, VIEWS)


def student(side, seed=0, width=8):
    """A student 8x3 of 32x32 pixels, to which larger images are averaged: what costs is to get them."""
    return nn.Sequential(nn.AvgPool2d(side // 32), models.student(width, 3, seed=seed))


def sgd(network):
    return torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, nesterov=True)


# ---------------------------------------------------------------------------------------------------- memory


class Watched:
    """Batches of images; ``seen`` gets the memory in MB after every ``EVERY`` of them."""

    def __init__(self, batches):
        self.batches, self.seen = batches, []

    def __len__(self):
        return len(self.batches)

    def epoch(self, number):
        count, began = 0, perf_counter()
        for batch in self.batches.epoch(number):
            yield batch
            count += len(batch.image)
            if count % EVERY == 0:
                row = {"images": count, "seconds": round(perf_counter() - began, 1), **memory()}
                self.seen.append(row)
                print(row, flush=True)


def memory():
    """Megabytes of this process now and at most, and of its readers together at most."""
    found = [_status(child) for child in multiprocessing.active_children()]
    now, peak = _status("self")
    return {"now": now, "peak": peak, "readers_peak": sum(most for _, most in found)}


def _status(process):
    text = Path(f"/proc/{getattr(process, 'pid', process)}/status").read_text()
    return [round(int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024 / 1e6) for name in ("VmRSS", "VmHWM")]


def stream(folder, count):
    """One epoch over ``count`` images of 224x224: what ``Watched`` saw. For a process of its own."""
    torch.set_num_threads(1)
    listing = draw(folder / "smooth", 224, FILES, grain=0.0)  # quicker to decode, and as large in memory
    data, network = splits(folder, listing * (count // len(listing)), 224), student(224, width=2)
    teacher = student(224, seed=1, width=4).eval()
    path = folder / "answers.cache"
    path.unlink(missing_ok=True)
    with training.ViewCache(teacher, data, path, k=2, temperature=4.0) as cache:
        batches = Watched(recipe.ImageBatches(data, BATCH, 0, torch.device("cpu"), cache))
        print(memory(), cache, flush=True)
        training.fit(
            network, batches, training.Distillation(), sgd(network), epochs=1, teacher=teacher, cache=cache,
            progress=False,
        )  # fmt: skip
        return {"every": batches.seen, "filled": cache.filled, "cache": path.stat().st_size}


# ----------------------------------------------------------------------------------------------------- speed


class Speed:
    """Images a second of each contender for images of one size."""

    def __init__(self, folder, side):
        self.side, self.path = side, folder / str(side)
        self.streamed = splits(folder, draw(self.path, side, SIZES[side], GRAIN), side)
        train = self.streamed.train
        self.kept = Splits(*[ImageSet(train.images.read(), train.labels, train.classes)] * 3, VIEWS)

    def round(self, number):
        """Seconds of an epoch of each contender; who comes first changes from round to round."""
        first = number % len(CONTENDERS)
        return {name: self.seconds(name) for name in CONTENDERS[first:] + CONTENDERS[:first]}

    def seconds(self, name):
        network = student(self.side)
        if name == "plain":
            return self.plain(network)
        batches = recipe.ImageBatches(
            self.kept if name == "in memory" else self.streamed, BATCH, 0, torch.device("cpu")
        )
        run = training.fit(network, batches, training.Distillation(), sgd(network), epochs=1, progress=False)
        return run.seconds

    def plain(self, network):
        """As tutorials write it."""
        transform = v2.Compose([v2.PILToTensor(), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])
        loader = DataLoader(ImageFolder(self.path, transform), BATCH, shuffle=True, num_workers=WORKERS)
        optimizer, began = sgd(network), perf_counter()
        network.train()
        for inputs, labels in loader:
            loss = F.cross_entropy(network(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return perf_counter() - began


# ------------------------------------------------------------------------------------------------------ table


def page(result):
    """The section of the page of measured results, as lines of Markdown."""
    (kept,) = (row for row in result["rows"] if row["part"] == "memory")
    first, last = kept["every"][0], kept["every"][-1]
    yield from ("## Images that stay on disk", "", f"    {COMMAND}", "")
    yield (
        f"One epoch over {last['images']:,} images of 224x224, which decoded would be "
        f"{last['images'] * 3 * 224**2 / 1e9:.0f} GB: {FILES} drawn JPEG files, each listed "
        f"{last['images'] // FILES} times; a teacher, a cache of two classes in a file, {WORKERS} reading processes. "
        f"From the first {first['images']:,} to the last the training process went from {first['peak']:,} to "
        f"{last['peak']:,} MB, the readers together from {first['readers_peak']:,} to {last['readers_peak']:,}: peaks, "
        "and what a reader shares with the process that it was forked from is counted in each."
    )
    yield from ("", *_memory_table(kept["every"]), "")
    rounds = len(_rounds(result, 224))
    yield (
        f"Speed: the same student 8x3, files and batches of {BATCH}, an epoch each in turns, {rounds} rounds, load "
        f"{' to '.join(_loads(result))}. *In memory*: decoded before the clock starts. *Plain*: torchvision's "
        f"ImageFolder, v2 transforms, a DataLoader. {WORKERS} reading processes for *streamed* and *plain*, no "
        "teacher, one thread."
    )
    yield from ("", *_speed_table(result), "")
    for side in SIZES:
        plain, memory = (_said(result, side, other) for other in ("plain", "in memory"))
        yield f"- {side}x{side}: an epoch streamed takes {plain} times as long as plain, {memory} times as from memory."


def _memory_table(every):
    yield "| images streamed | training process, MB | its peak | readers, peak | seconds |"
    yield "|---|---|---|---|---|"
    for row in every:
        yield (
            f"| {row['images']:,} | {row['now']:,} | {row['peak']:,} | {row['readers_peak']:,} | {row['seconds']:.0f} |"
        )


def _speed_table(result):
    yield "| pixels | images | loop | images a second | times as many as plain | smallest to largest |"
    yield "|---|---|---|---|---|---|"
    for side, count in SIZES.items():
        for name in CONTENDERS:
            speed = count / statistics.median(each[name] for each in _rounds(result, side))
            ratios = _ratios(result, side, "plain", name)
            yield (
                f"| {side}x{side} | {count:,} | {name} | {speed:,.0f} | {statistics.median(ratios):.2f} | "
                f"{ratios[0]:.2f} to {ratios[-1]:.2f} |"
            )


def _rounds(result, side):
    return [row["seconds"] for row in result["rows"] if row.get("side") == side]


def _loads(result):
    loads = sorted(float(row["load"]) for row in result["rows"] if row["part"] == "speed")
    return f"{loads[0]:.0f}", f"{loads[-1]:.0f}"


def _ratios(result, side, one, other):
    """Seconds of ``one`` by those of ``other``, round by round, the smallest first."""
    return sorted(each[one] / each[other] for each in _rounds(result, side))


def _said(result, side, other):
    ratios = _ratios(result, side, "streamed", other)
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def about():
    """What all rows have in common: a dict."""
    settings = {"streamed": STREAMED, "sizes": {str(side): count for side, count in SIZES.items()}, "batch_size": BATCH}
    settings |= {"workers": WORKERS, "views": str(VIEWS), "cores": os.cpu_count()}
    return {"experiment": "streaming", "settings": settings, "device": "cpu", "versions": machine.versions()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/streaming"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ledger = studies.Ledger(about(), options.json, say=lambda row: print(row, flush=True))

    def measured():
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            return {"load": profiling.load(), **process.submit(stream, options.folder, STREAMED).result()}

    ledger.row({"part": "memory"}, measured)
    for side in SIZES:
        speed = Speed(options.folder, side)
        for number in range(options.rounds + 1):  # the first warms up, and does not count
            key = {"part": "speed" if number else "warm-up", "round": number, "side" if number else "warming": side}
            ledger.row(key, lambda s=speed, n=number: {"load": profiling.load(), "seconds": s.round(n)})
    print("\n".join(page({"rows": ledger.rows})))


if __name__ == "__main__":
    main()
