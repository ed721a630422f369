"""Public names that train, read, keep and draw, each as a use of it: what cannot be used must be refused.

Rows as those of ``bad_inputs.table()``. A constructor stands here with a first use of what it makes, so that it cannot
take in silence what fails later; what a use gives back are the numbers, texts and tensors that came of it.
"""

import functools

import reading
import tiny
import torch
from bad_inputs import NEW, random
from matplotlib.figure import Figure
from PIL import Image

import kdkit
from kdkit import data, models, studies, zoo
from kdkit.course import figures, measured
from kdkit.course.widgets import FlipBook, MorphPanel, TemperaturePanel
from kdkit.data import ImageSet, Splits, Views, things, tokens
from kdkit.measure import metrics, profiling
from kdkit.models import bert
from kdkit.training import masked_lm
from kdkit.training.cache import ViewCache

IMAGES = torch.arange(2 * 3 * 12 * 12).remainder(256).byte().view(2, 3, 12, 12)
SMALL = {"small": studies.Setting(images=60, epochs=1, students=((2, 3),), shift=0, batch_size=30)}

splits = functools.cache(tiny.splits)
teacher = functools.cache(lambda: tiny.net(seed=7, width=2).eval())
reader = functools.cache(reading.teacher)


def new(value, make):
    return make() if value is NEW else value


# --------------------------------------------------------------------------------------------- uses


def train(student, **given):
    run = kdkit.train(new(student, tiny.net), **given)
    return run.history, run.seconds


def view_cache(teacher, data, path):
    with ViewCache(teacher, data, path) as cache:
        return cache.val_logits()


def kept_logits(index, view, inputs):
    return ViewCache(teacher(), splits()).outputs(index, view, inputs)["logits"]


def checked_cache(sample, seed, tolerance):
    cache, index = ViewCache(teacher(), splits()), torch.arange(8)
    views = splits().views
    cache.outputs(index, index, views.take(views.pad(splits().train.images[:8]), index, index))
    return cache.check(sample, seed=seed, tolerance=tolerance)


def train_reader(student, **given):
    run = masked_lm.train(new(student, lambda: bert.student(reader(), 1)), **given)
    return run.history, run.seconds


def triple_loss(logits, hidden, teacher_logits, teacher_hidden, **given):
    return tuple(masked_lm.triple_loss((logits, hidden), (teacher_logits, teacher_hidden), **given))


def seen_views(flip, shift):
    views = Views(flip, shift)
    index = torch.arange(2)
    return views.take(views.pad(IMAGES), index, views.schedule(2, 0))


def image_set(images, labels, classes, name):
    made = ImageSet(images, labels, classes, name)
    data.describe(Splits(made, made, made))
    return metrics.predict(models.student(2, 3, max(2, len(made.classes)), made.images.shape[1]), made.images)


def all_splits(train, val, test, views, source):
    made = Splits(train, val, test, views, source)
    data.describe(made)
    return kdkit.train(tiny.net(), made, epochs=1, batch_size=48, progress=False).history


def save(model, path, card):
    zoo.save(model, path, card)
    return metrics.predict(zoo.read(path), IMAGES)


def fight(name, **given):
    return studies.run(name, **given).rows


def drawn(function):
    """A use of a figure: all that is in it finds its place."""

    def draw(**given):
        made = function(**given)
        made.draw_without_rendering()

    return draw


def table_of(rows):
    table = figures.Table(rows)
    return repr(table), table._repr_html_()


def temperature_panel(**given):
    panel = TemperaturePanel(**given)
    return panel.probabilities, panel.sentence


def morph_panel(**given):
    panel = MorphPanel(**given)
    panel.keep(0.5)
    return panel.probabilities, panel.sentence


def flip_book(pages, description):
    book = FlipBook(pages, description)
    return book.sentence, book.still()[:20], repr(book)


def latency(calls, rounds):
    return [spread.median for spread in profiling.latency(calls, rounds).values()]


# --------------------------------------------------------------------------------------------- the table


def prepare(folder):
    """What some of the rows read: a folder of pictures, and a network in a file."""
    for shade, name in enumerate(("cat", "dog")):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(15):
            Image.new("RGB", (12, 12), (200 * shade, number, 0)).save(folder / "pictures" / name / f"{number}.png")
    zoo.save(tiny.net(), folder / "net.safetensors", {})


def table():
    """Uses by name, each with arguments that it takes, by their names."""
    return {**_trainings(), **_data_sets(), **_files(), **_figures(), **_panels()}


def _trainings():
    schedule = {"epochs": 1, "seed": 0, "checkpoint": None, "progress": False}
    weights = {"temperature": 2.0, "soft_weight": 0.5, "hard_weight": 0.5}
    index, states = torch.arange(4), random(2, 5, 6)
    hidden = {"hidden": states, "teacher_hidden": states + 1}
    tokens_of = {
        "logits": random(2, 5, 7),
        "teacher_logits": random(2, 5, 7) + 1,
        "labels": torch.arange(10).view(2, 5) % 7,
    }
    return {
        "train": (
            train,
            {"student": NEW, "data": splits(), "teacher": teacher(), "cache": ViewCache(teacher(), splits())}
            | {**weights, **schedule, "batch_size": 48, "lr": 0.1, "max_grad_norm": 2.0},
        ),
        "train alone": (
            train,
            {"student": NEW, "data": splits(), **schedule, "batch_size": 48},
        ),
        "ViewCache": (view_cache, {"teacher": teacher(), "data": splits(), "path": None}),
        "ViewCache.logits": (
            kept_logits,
            {"index": index, "view": index, "inputs": models.as_input(IMAGES[[0, 1, 0, 1]])},
        ),
        "ViewCache.check": (checked_cache, {"sample": 4, "seed": 0, "tolerance": 1e-5}),
        "masked_lm.train": (
            train_reader,
            {"student": NEW, "corpus": reading.corpus(), "teacher": reader(), **weights, "cosine_weight": 1.0}
            | {**schedule, "batch_size": 32, "lr": 1e-3},
        ),
        "triple_loss": (
            triple_loss,
            {
                **tokens_of,
                **hidden,
                "attention_mask": torch.ones(2, 5, dtype=torch.bool),
                **weights,
                "cosine_weight": 1.0,
            },
        ),
        "studies.run": (
            fight,
            {"name": "small", "data": splits(), "teacher": teacher(), "seeds": 1, "folder": "fight"}
            | {"about": None, "path": None, "say": lambda row: None},
        ),
        "bert.teacher": (bert.teacher, {"width": 8, "depth": 1, "vocab_size": 20, "max_length": 16, "seed": 0}),
        "bert.student": (bert.student, {"teacher": reader(), "depth": 1, "seed": 0}),
    }


def _data_sets():
    images = splits().train.images[:12]
    labels = torch.arange(12) % 3
    return {
        "data.load": (data.load, {"name": "pictures"}),
        "image_folder": (data.image_folder, {"path": "pictures", "size": 12}),
        "things.make": (things.make, {"per_class": 1, "seed": 0}),
        "things.splits": (things.splits, {"per_class": 1, "seed": 0}),
        "things.morph": (things.morph, {"start": "chair", "end": "sofa", "amounts": [0.0, 0.5], "seed": 0}),
        "Views": (seen_views, {"flip": True, "shift": 1}),
        "ImageSet": (image_set, {"images": images, "labels": labels, "classes": ("a", "b", "c"), "name": "some"}),
        "Splits": (
            all_splits,
            {part: getattr(splits(), part) for part in ("train", "val", "test", "views", "source")},
        ),
        "tokens.encode": (tokens.encode, {"texts": ["the cat"], "tokenizer": reading.tokenizer(), "max_length": 8}),
    }


def _files():
    return {
        "zoo.load": (zoo.load, {"name": "things-teacher"}),
        "zoo.card": (zoo.card, {"name": "things-teacher"}),
        "zoo.tokenizer": (zoo.tokenizer, {"name": "python-teacher"}),
        "zoo.read": (zoo.read, {"path": "net.safetensors"}),
        "zoo.save": (save, {"model": tiny.net(), "path": "new.safetensors", "card": {"name": "new"}}),
        "measured.load": (measured.load, {"name": "shapes"}),
    }


def _figures():
    chances, classes = torch.tensor([0.7, 0.2, 0.1]), ("a", "b", "c")
    square = torch.tensor([[0.8, 0.1, 0.1]] * 3)
    picture = {"probabilities": chances, "classes": classes, "label": 0}
    curves = {"x": [1, 2, 3], "curves": {"one": [0.1, 0.2, 0.3]}}
    both = {"student": chances, "image": IMAGES[0]}
    return {
        "figures.show": (lambda fig, alt: figures.show(fig, alt), {"fig": Figure(), "alt": "a picture"}),
        "figures.Table": (table_of, {"rows": {"a": {"b": "c"}}}),
        "figures.pictures": (drawn(figures.pictures), {"images": IMAGES, "captions": ["a", "b"], "columns": 2}),
        "figures.soft_target": (drawn(figures.soft_target), {**picture, **both}),
        "figures.hard_and_soft": (drawn(figures.hard_and_soft), picture),
        "figures.side_by_side": (
            drawn(figures.side_by_side),
            {"panels": {"one": chances, "two": chances}, "classes": classes, "label": 0},
        ),
        "figures.matrix": (drawn(figures.matrix), {"values": square, "classes": classes}),
        "figures.in_words": (figures.in_words, {"probabilities": chances, "classes": classes}),
        "figures.lines": (drawn(functools.partial(figures.lines, xlabel="x", ylabel="y")), curves),
    }


def _panels():
    logits, pages = random(2, 3), {"one": (Figure(), "a sentence")}
    return {
        "TemperaturePanel": (
            temperature_panel,
            {"logits": logits, "classes": ("a", "b", "c"), "labels": torch.tensor([0, 1])}
            | {"student_logits": logits + 1, "images": IMAGES, "temperature": 1.0},
        ),
        "MorphPanel": (
            morph_panel,
            {"model": models.student(2, 3), "start": "chair", "end": "sofa", "seed": 0, "watched": "tree"},
        ),
        "FlipBook": (flip_book, {"pages": pages, "description": "Page"}),
    }
