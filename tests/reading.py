"""A small text to read, its tokenizer, and networks that read it in milliseconds."""

import functools

import torch

from kdkit.data import tokens
from kdkit.models import bert

SUBJECTS = ("the cat", "a dog", "the old man", "a small student", "the teacher")
VERBS = ("sees", "hears", "meets", "follows", "teaches")
FEW = ["--epochs", "5", "--width", "8", "--depth", "1", "--vocab-size", "97"]  # for the command line
OBJECTS = ("a bird.", "the student.", "a long story.", "the other cat.", "nobody.")


def documents(count=40):
    """Documents of ten sentences each; whose subject it is tells the verb and the object: a dict of name to text.

    Between sentences stands a number that comes once, so that no document repeats another. No token, never masked.
    """
    sentences = [" ".join(parts) for parts in zip(SUBJECTS, VERBS, OBJECTS, strict=True)]
    drawn = torch.randint(len(sentences), (count, 10), generator=torch.Generator().manual_seed(0)).tolist()
    return {
        f"document {n}": " ".join(f"{sentences[k]} {10 * n + place}" for place, k in enumerate(numbers))
        for n, numbers in enumerate(drawn)
    }


@functools.cache
def tokenizer():
    """Of whole words and letters. (The trainer of word pieces chooses as it happens where some are equally common.)"""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = sorted({word for text in documents().values() for word in text.replace(".", " . ").split()})
    words = [word for word in words if word != "a" and not word.isdigit()]
    return tokens.tokenizer([*tokens.SPECIAL, *words, *letters, *(f"##{letter}" for letter in letters)])


@functools.cache
def corpus():
    return tokens.corpus(documents(), tokenizer(), max_length=24)


def teacher(seed=0, depth=4):
    return bert.teacher(16, depth, vocab_size=len(tokenizer()), max_length=24, seed=seed)


def masked_batch(count=6, seed=0):
    """The first sequences of the training texts with some tokens masked."""
    return tokens.mask_tokens(corpus().train.at(slice(0, count)), tokenizer(), torch.Generator().manual_seed(seed))
