"""A class that the student never saw: what soft targets tell of it, and what a bias without labels brings to light.

    python benchmarks/unseen_class.py --data mnist --without 3 --json kdkit/course/measured/unseen-mnist.json

Two students of each seed learn from the same images, none of them of that class: one from labels alone, one from the
teacher's soft targets alone. Both are tested on all classes, before and after a correction: the bias of the missing
class is set so that its mean probability over the validation images (all classes, labels not used) is what one expects
of one class among many. Nothing is chosen on the test images.
"""

import argparse
import json
from pathlib import Path

import kdkit
from kdkit import data, models, zoo
from kdkit.data import files
from kdkit.measure import machine, metrics
from kdkit.training.cache import ViewCache


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="things", choices=["things", "mnist"])
    parser.add_argument("--without", default="mushroom", help="the class that no student sees")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=4.0)
    parser.add_argument("--train-images", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    everything = data.load(options.data)
    if options.train_images:
        everything = everything.first(options.train_images)
    teacher = zoo.load(f"{options.data}-teacher")
    label = everything.train.number(options.without)
    cache = ViewCache(teacher, everything.without(options.without))
    asked = metrics.predict(teacher, everything.test.images)
    result = {
        "data": everything.name,
        "source": everything.source,
        "without": options.without,
        "train_images": len(cache.data.train),
        "teacher": shares_right(asked, everything.test.labels, label),
        "runs": [both(options, everything, cache, label, seed) for seed in range(options.seeds)],
        "settings": {name: value for name, value in vars(options).items() if name != "json"},
        "versions": machine.versions(),
    }
    if options.json:
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def both(options, everything, cache, label, seed):
    """What the student alone and the distilled student of one seed make of the class that they never saw."""
    soft_targets_alone = dict(temperature=options.temperature, soft_weight=1.0, hard_weight=0.0)
    arms = {"alone": {}, "distilled": dict(teacher=cache.teacher, cache=cache, **soft_targets_alone)}
    row = {"seed": seed}
    for arm, extra in arms.items():
        channels = everything.train.images.shape[1]
        student = models.student(options.width, options.depth, channels=channels, seed=seed)
        kdkit.train(
            student,
            cache.data,
            epochs=options.epochs,
            batch_size=options.batch_size,
            lr=0.4 * options.batch_size / 512,
            max_grad_norm=None,
            seed=seed,
            progress=False,
            **extra,
        )
        row[arm] = before_and_after(student, everything, label)
        print(f"seed {seed}, {arm}: {row[arm]}", flush=True)
    return row


def before_and_after(student, everything, label):
    unlabelled = metrics.predict(student, everything.val.images)
    bias = metrics.bias_for_prior(unlabelled, label, prior=1 / len(everything.train.classes))
    logits = metrics.predict(student, everything.test.images)
    row = {"bias": bias, "before": shares_right(logits, everything.test.labels, label)}
    logits[:, label] += bias
    return row | {"after": shares_right(logits, everything.test.labels, label)}


def shares_right(logits, labels, label):
    """Accuracy on the class that was not seen, and on all."""
    unseen = labels == label
    return {"unseen": metrics.accuracy(logits[unseen], labels[unseen]), "all": metrics.accuracy(logits, labels)}


if __name__ == "__main__":
    main()
