"""A student and a number of epochs for a wish in milliseconds and minutes, from what this machine takes for both."""

from __future__ import annotations

import argparse
import json
import math
import time
from typing import TYPE_CHECKING

import kdkit
from kdkit.cli import networks, reports

if TYPE_CHECKING:
    from torch.nn import Module

    from kdkit.data import Splits

STUDENTS = ((4, 3), (8, 3), (8, 6), (16, 6), (32, 6), (64, 6))  # width and depth, each slower than the one before
USUAL = (8, 6)
ROUNDS = 5  # of measuring them
TRIED_STEPS = 6  # of a training that is measured
KEPT_BACK = 0.8  # of the minutes: the rest is for what is measured at the end, and for busier times
MOST = 5  # times the usual epochs: more of them hardly teach more


def add_minutes(parser: argparse.ArgumentParser) -> None:
    """``--minutes``: how long it may take."""
    wish = "choose as many --epochs as this machine does in about so many minutes"
    parser.add_argument("--minutes", type=float, metavar="M", help=wish)


def add_student(parser: argparse.ArgumentParser) -> None:
    """``--width`` and ``--depth`` of a student, or ``--latency-ms`` to choose them."""
    parser.add_argument("--width", type=int, help=f"the students' first stage, in channels (default: {USUAL[0]})")
    parser.add_argument("--depth", type=int, help=f"the students' convolutions (default: {USUAL[1]})")
    wish = "choose the largest student that answers about one image in so many milliseconds on this machine"
    parser.add_argument("--latency-ms", type=float, metavar="MS", help=wish)


def check(options: argparse.Namespace) -> None:
    """``ValueError`` for wishes that are no numbers above 0, or beside what they are to choose."""
    for wish, chosen in ("latency_ms", ("width", "depth")), ("minutes", ("epochs",)):
        value, flag = getattr(options, wish, None), f"--{wish.replace('_', '-')}"
        if value is None:
            continue
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{flag} must be a finite number above 0; got {value}.")
        given = [f"--{name}" for name in chosen if getattr(options, name) is not None]
        if given:
            raise ValueError(f"{flag} chooses {' and '.join(f'--{name}' for name in chosen)}: leave out {given[0]}.")


def fill(options: argparse.Namespace, data: Splits, usual_epochs: int, teacher: Module | None, seen: Splits) -> None:
    """Set width, depth and epochs in ``options`` where a wish is to choose them, and print why.

    What was chosen is kept in RUNS: the same command chooses the same again, and goes on where it was stopped.
    ``teacher`` sees the images as in ``seen``; None where a teacher itself is trained. Raises ``ValueError`` for a wish
    that cannot be granted.
    """
    if getattr(options, "latency_ms", None) is None and options.minutes is None:
        chosen: dict = {}
    else:
        wish = f"{reports.digest(options)}-{getattr(options, 'seeds', 1)}"  # more seeds leave fewer epochs for each
        kept = options.runs / f"{data.name}-{data.train.fingerprint[:8]}-chosen-{wish}.json"
        if kept.exists():
            chosen = json.loads(kept.read_text(encoding="utf-8"))
        else:
            chosen = _chosen(options, data, usual_epochs, teacher, seen)
            with kdkit.data.files.replacing(kept) as temporary:
                temporary.write_text(json.dumps(chosen, indent=1), encoding="utf-8")
        print(*chosen["reasons"], sep="\n", flush=True)
    options.epochs = chosen.get("epochs", options.epochs)
    if teacher is not None:
        for name, usual in zip(("width", "depth"), USUAL, strict=True):
            setattr(
                options, name, chosen.get(name, usual if getattr(options, name) is None else getattr(options, name))
            )


def _chosen(options, data, usual_epochs, teacher, seen):
    chosen: dict = {"reasons": []}
    if getattr(options, "latency_ms", None) is not None:
        chosen["width"], chosen["depth"], reason = _student(options, data)
        chosen["reasons"].append(reason)
    if options.minutes is not None:
        width = chosen.get("width", options.width or USUAL[0])
        depth = chosen.get("depth", getattr(options, "depth", None) or USUAL[1])
        chosen["epochs"], reason = _epochs(options, data, usual_epochs, teacher, seen, (width, depth))
        chosen["reasons"].append(reason)
    return chosen


def _network(options, data, width, depth):
    """An untrained student (or teacher, which is one of depth 6) for these images, where it will be trained."""
    classes, channels = len(data.train.classes), data.train.images.shape[1]
    return kdkit.models.student(width, depth, classes, channels).to(networks.device(options.device))


def _student(options, data):
    """Width and depth of the largest student that is quick enough, and the reason in a sentence."""
    image, limit = data.val.images[:1], options.latency_ms
    calls = {shape: kdkit.profiling.predicting(_network(options, data, *shape), image) for shape in STUDENTS}
    taken = {shape: 1000 * found.median for shape, found in kdkit.profiling.latency(calls, ROUNDS).items()}
    return _largest(taken, limit, image.shape[-1])


def _largest(taken, limit, side):
    """Of students by shape with the milliseconds that they took, the largest within the limit, and why."""
    quick = [shape for shape, milliseconds in taken.items() if milliseconds <= limit]
    if not quick:
        shape, milliseconds = min(taken.items(), key=lambda row: row[1])
        raise ValueError(
            f"--latency-ms {limit:g}: no student of the kit is that quick here. The quickest, --width {shape[0]} "
            f"--depth {shape[1]}, took {milliseconds:.2f} ms for one image of {side}x{side}. Give more, or a smaller "
            "--size."
        )
    width, depth = quick[-1]
    slower = [shape for shape in taken if shape not in quick and shape > quick[-1]]
    beyond = f"; --width {slower[0][0]} --depth {slower[0][1]} took {taken[slower[0]]:.2f} ms" if slower else ""
    return (
        width,
        depth,
        (
            f"Student: --width {width} --depth {depth}, the largest of {len(taken)} that answers in {limit:g} ms: it "
            f"took {taken[quick[-1]]:.2f} ms for one image of {side}x{side} here{beyond}."
        ),
    )


def _epochs(options, data, usual_epochs, teacher, seen, shape):
    """How many epochs fit in the minutes, and the reason in a sentence."""
    batch_size, usual = kdkit.training.proposed(len(data.train), usual_epochs, options.batch_size)
    steps, network = -(-len(data.train) // batch_size), _network(options, data, *shape)
    step, validation = _seconds(network, data, batch_size)
    runs = 1 if teacher is None else 2 * options.seeds
    an_epoch = runs * (steps * step + validation)
    what = f"{runs} training{'s' * (runs != 1)} of {steps} steps of {step:.3f} s an epoch"
    if teacher is not None:
        image = _answering(teacher, seen)
        an_epoch += image * len(data.train)
        what += f", and {image:.4f} s of the teacher for each image"
    return _fitting(60 * options.minutes, an_epoch, MOST * usual, what)


def _fitting(seconds, an_epoch, most, what):
    """How many epochs of ``an_epoch`` seconds fit, at most ``most``, and why."""
    epochs = math.floor(KEPT_BACK * seconds / an_epoch)
    if epochs < 1:
        raise ValueError(
            f"--minutes {seconds / 60:g}: one epoch alone takes about {an_epoch / 60 / KEPT_BACK:.1f} minutes here "
            f"({what}). Give more minutes, or fewer --seeds, --train-images, or a smaller --size."
        )
    enough = f"; more than {most} hardly teach more" if epochs > most else ""
    epochs = min(epochs, most)
    return epochs, (
        f"Epochs: --epochs {epochs}, for {seconds / 60:g} minutes ({what}; a fifth of the time is kept back{enough})."
    )


def _seconds(network, data, batch_size):
    """Seconds of a training step, and of a look at the validation images after an epoch."""
    few = data.first(min(len(data.train), TRIED_STEPS * batch_size))
    kdkit.metrics.predict(network, data.val.images)  # a network's first answer takes longer
    began = time.perf_counter()
    kdkit.metrics.predict(network, data.val.images)
    validation = time.perf_counter() - began
    taken = kdkit.train(network, few, epochs=1, batch_size=batch_size, progress=False).seconds
    return max(1e-6, taken - validation) / -(-len(few.train) // batch_size), validation


def _answering(teacher, seen):
    """Seconds that a teacher takes for an image, many at once."""
    images = seen.train.images[: kdkit.models.evaluation_batch(seen.train.images)]
    kdkit.metrics.predict(teacher, images[:8])
    began = time.perf_counter()
    kdkit.metrics.predict(teacher, images)
    return (time.perf_counter() - began) / len(images)
