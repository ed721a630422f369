"""What a teacher of JPEG copies loses on original pixels, and what learning from corrupted copies saves and costs.

    python benchmarks/original_pixels.py sample.npz --json kdkit/course/measured/original-pixels.json

``sample.npz`` holds some of CIFAR-10's training images as they were before compression (``images`` uint8
[N, H, W, C] and ``labels``); their copies are found in the data by likeness. Small teachers are trained without these
images and with equal numbers of steps: plain, and with corrupted copies (``kdkit.data.corruptions``). Then all are
measured on the sample, JPEG copies and originals, which they have never seen. The shipped teacher is measured too,
though it has learnt from nine tenths of the JPEG copies: what it loses there says little about images new to it.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import kdkit
from kdkit import data, models, zoo
from kdkit.data import files
from kdkit.data.corruptions import with_corrupted_copies
from kdkit.data.images import ImageSet
from kdkit.measure import machine, metrics

import numpy as np
import torch
import torch.nn.functional as F

EPOCHS = {"plain": 6, "worn": 2}  # with corrupted copies there are three times the images: as many steps
WORDS = {"plain": "plain", "worn": "with corrupted copies"}  # for the page; the stored results keep their first names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sample", type=Path)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    splits = data.cifar10()
    originals = read(options.sample, splits.train.classes)
    place = copies_of(originals, splits)
    images = torch.cat([splits.train.images, splits.val.images])
    copies = replace(originals, images=images[place])
    unseen = torch.ones(len(splits.train), dtype=torch.bool)
    unseen[place[place < len(unseen)]] = False
    without = replace(splits, train=splits.train.subset(unseen))
    result = {
        "pixels": "JPEG copies" if "not the original pixels" in splits.source else "original",
        "sample": len(originals),
        "sample_in_train": int((~unseen).sum()),
        "shipped": judge(zoo.load("cifar10-teacher"), splits.test, copies, originals),
        "settings": {"width": options.width, **{f"{kind}_epochs": epochs for kind, epochs in EPOCHS.items()}},
        "versions": machine.versions(),
        "rows": [],
    }
    splits_of = {"plain": without, "worn": with_corrupted_copies(without)}
    for seed in range(options.seeds):
        for kind, epochs in EPOCHS.items():
            network = models.teacher(options.width, seed=seed).to(options.device)
            kdkit.train(network, splits_of[kind], epochs=epochs, seed=seed, progress=False)
            row = {"kind": kind, "seed": seed, **judge(network, splits.test, copies, originals)}
            print(row, flush=True)
            result["rows"].append(row)
    print("\n".join(table(result)))
    if options.json:
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def read(path, classes):
    sample = np.load(path)
    images = torch.from_numpy(sample["images"]).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, torch.from_numpy(sample["labels"]).long(), classes, "originals")


def copies_of(originals, splits):
    """Where the copy of each original stands in train and val together: the image that is nearest at half the size."""
    images = torch.cat([splits.train.images, splits.val.images])
    labels = torch.cat([splits.train.labels, splits.val.labels])
    small, wanted = (F.avg_pool2d(part.float(), 2).flatten(1) for part in (images, originals.images))
    distance, place = torch.cdist(wanted, small).topk(2, largest=False)
    assert (distance[:, 0] < 0.6 * distance[:, 1]).all() and torch.equal(labels[place[:, 0]], originals.labels)
    return place[:, 0]


def judge(network, test, copies, originals):
    """Accuracy on the test images and on both versions of the sample."""
    parts = {"test": test, "copies": copies, "originals": originals}
    return {name: metrics.accuracy(metrics.predict(network, part.images), part.labels) for name, part in parts.items()}


def table(result):
    """What was measured, as lines of Markdown."""
    yield "| teacher | test, copies | sample, copies | sample, originals | loss in points |"
    yield "|---|---|---|---|---|"
    shipped = result["shipped"]
    yield _row("shipped (has learnt from nine tenths of these copies)", [shipped])
    rows = {kind: [row for row in result["rows"] if row["kind"] == kind] for kind in WORDS}
    for kind, words in WORDS.items():
        yield _row(f"small, {words}, mean of {len(rows[kind])} seeds", rows[kind])
    worn, plain = ([row["copies"] - row["originals"] for row in rows[kind]] for kind in ("worn", "plain"))
    yield ""
    saved = metrics.paired_interval(plain, baseline=worn).verdict
    yield f"- What corrupted copies save on originals (loss of plain minus loss with them): {saved}."
    worn, plain = ([row["test"] for row in rows[kind]] for kind in ("worn", "plain"))
    cost = metrics.paired_interval(worn, baseline=plain).verdict
    yield f"- What they do on JPEG copies (test accuracy with them, minus plain): {cost}."


def _row(name, rows):
    test, copies, originals = (sum(row[part] for row in rows) / len(rows) for part in ("test", "copies", "originals"))
    return f"| {name} | {test:.2%} | {copies:.2%} | {originals:.2%} | {100 * (copies - originals):.2f} |"


if __name__ == "__main__":
    main()
