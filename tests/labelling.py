"""Labelled texts whose class a word tells, a tokenizer for them, and small classifiers, one of which has learnt."""

import copy
import functools
import tempfile
from pathlib import Path

import torch

from kdkit import data, models
from kdkit.data import tokens
from kdkit.models import bert
from kdkit.models.for_texts import ForTexts
from kdkit.training import texts

WORDS = {"fruit": ["apple", "pear", "plum", "cherry", "grape"], "tools": ["hammer", "saw", "drill", "wrench", "chisel"]}
FILLER = ["the", "a", "big", "small", "old", "new", "and", "then", "with", "on"]


def a_text(name, number):
    """A few words among others: whose class they are tells the class."""
    drawn = torch.Generator().manual_seed(1000 * sorted(WORDS).index(name) + number)
    pick = lambda words: words[int(torch.randint(len(words), (1,), generator=drawn))]  # noqa: E731
    length = int(torch.randint(1, 9, (1,), generator=drawn))
    return " ".join([*(pick(FILLER) for _ in range(length)), pick(WORDS[name]), pick(FILLER), str(number)])


def write(folder, count=40, first=0):
    for name in WORDS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            (folder / name / f"{number}.txt").write_text(a_text(name, number), encoding="utf-8")
    return folder


@functools.cache
def tokenizer(letters=False):
    """Of whole words; or of letters alone, another tokenizer for the same texts."""
    pieces = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("0123456789")
    words = [] if letters else [word for word in [*FILLER, *WORDS["fruit"], *WORDS["tools"]] if len(word) > 1]
    return tokens.tokenizer([*tokens.SPECIAL, *words, *pieces, *(f"##{piece}" for piece in pieces)])


def classifier(width, depth, seed=0, letters=False, max_length=48):
    own = tokenizer(letters)
    body = bert.teacher(width, depth, vocab_size=len(own), max_length=max_length, seed=seed)
    return ForTexts(bert.classifier(body, 2, seed=seed), own, max_length=max_length)


@functools.cache
def toy():
    """80 texts of each class, in splits."""
    with tempfile.TemporaryDirectory() as folder:
        return data.labelled_texts(write(Path(folder) / "things", 80))


@functools.cache
def teacher():
    """One that reads whole words, and has learnt."""
    network = classifier(32, 2)
    texts.train(network, toy(), epochs=20, lr=3e-3, progress=False)
    models.eval_mode(network)
    return network


def keep_teacher(folder, classes=("Tools", "Fruit")):
    """The teacher as Hugging Face keeps it, its ``classes`` by name and in another order than the folders'."""
    network = copy.deepcopy(teacher().network)
    with torch.no_grad():
        network.classifier.weight.copy_(teacher().network.classifier.weight.flip(0))
        network.classifier.bias.copy_(teacher().network.classifier.bias.flip(0))
    network.config.id2label = dict(enumerate(classes))
    network.save_pretrained(folder)
    teacher().tokenizer.save_pretrained(folder)
    return str(folder)
